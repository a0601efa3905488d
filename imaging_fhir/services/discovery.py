"""What an authorization server says of itself: where its keys and end points are.

SMART's document, OpenID Connect's or RFC 8414's, whichever there is first.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from imaging_fhir.channel.fetch import FetchFailed
from imaging_fhir.services.issuer_keys import Get

FRESH_SECONDS = 3600
RETRY_SECONDS = 10

Document = Mapping[str, Any]


class Discovery:
    def __init__(
        self,
        fetcher: Get,
        issuer: str,
        *,
        address: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fetcher = fetcher
        self.issuer = issuer
        self.addresses = [address] if address else well_known(issuer)
        self.clock = clock
        self.lock = threading.Lock()
        self.found: Document = {}
        self.ask_again = float("-inf")

    def document(self) -> Document:
        """The one that was found last; raise FetchFailed where none ever was."""
        with self.lock:
            if self.clock() >= self.ask_again:
                self.ask()
            if not self.found:
                raise FetchFailed("There is no discovery document.")
            return self.found

    def ask(self) -> None:
        self.ask_again = self.clock() + RETRY_SECONDS
        for address in self.addresses:
            try:
                document = self.fetcher.get(address).document
            except FetchFailed:
                continue
            if self.is_its_own(document):
                self.found = document
                self.ask_again = self.clock() + FRESH_SECONDS
                return

    def is_its_own(self, document: Any) -> bool:
        """RFC 8414 3.3: it names the very issuer; SMART's may name none."""
        if not isinstance(document, dict):
            return False
        named = document.get("issuer", self.issuer)
        return named == self.issuer and isinstance(document.get("jwks_uri", ""), str)

    def jwks_address(self) -> str:
        """Raise FetchFailed."""
        address: str = self.document().get("jwks_uri", "")
        if not address:
            raise FetchFailed("The discovery document names no JWKS.")
        return address


def well_known(issuer: str) -> list[str]:
    parts = urlsplit(issuer)
    base, path = issuer.rstrip("/"), parts.path.rstrip("/")
    return [
        f"{base}/.well-known/smart-configuration",
        f"{base}/.well-known/openid-configuration",
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
    ]
