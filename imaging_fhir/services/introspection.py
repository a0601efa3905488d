"""Tokens that only their issuer can read: it is asked about each (RFC 7662).

https://hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html
"""

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote_plus

from imaging_fhir.channel.fetch import Fetched, FetchFailed
from imaging_fhir.errors import IssuerUnavailable
from imaging_fhir.smart.access_token import Claims, Expected, refused, require_introspected

UNTOLD_SECONDS = 30  # what a token counts for that has no end
logger = logging.getLogger(__name__)


class Post(Protocol):
    def post(self, url: str, form: Mapping[str, str], authorization: str) -> Fetched:
        """Raise FetchFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """Of one issuer; `secret` is read when it is needed, so that it may be changed."""

    fetcher: Post
    url: str
    client_id: str
    secret: Callable[[], str]
    expected: Expected

    def claims(self, token: str, *, now: float) -> Claims:
        """Raise Unauthenticated, IssuerUnavailable."""
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            answer = self.fetcher.post(self.url, form, self.authorization())
            if answer.status != 200 or not isinstance(answer.document, dict):
                raise FetchFailed(f"It answered {answer.status}.")
        except FetchFailed as error:
            logger.warning("The introspection of %s failed: %s", self.expected.issuer, error)
            raise IssuerUnavailable(
                "The access token's issuer does not answer at present."
            ) from error
        claims = answer.document
        if claims.get("active") is not True:
            raise refused("The access token does not count, or not any more.")
        require_introspected(claims, self.expected, now=now)
        return {"exp": now + UNTOLD_SECONDS} | claims | {"iss": self.expected.issuer}

    def authorization(self) -> str:
        """RFC 6749 2.3.1: both parts are encoded as in a form."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret())}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
