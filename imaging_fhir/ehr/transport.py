"""Requests to the EHR: pooled, repeated after a pause, bounded in time and size.

No message says more of an address than that it is the EHR's: its query names patients.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from urllib3.exceptions import HTTPError

from imaging_fhir import __version__
from imaging_fhir.ehr.authentication import Authentication, FixedHeader
from imaging_fhir.ehr.breaker import Breaker
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.errors import EhrUnavailable, InvalidRequest
from imaging_fhir.model.codec import decode

CHUNK = 64 * 1024
LARGEST_BODY = 8 * 1024**2  # bytes; a page of a hundred visits is far smaller
CONNECTIONS = 16
CONNECT_SECONDS = 2.0
ATTEMPTS = 3
REPEATED = frozenset({408, 425, 429, 500, 502, 503, 504})
PAUSE = wait_random_exponential(multiplier=0.1, max=2)
ACCEPT = "application/fhir+json, application/json;q=0.9"

# Some of its warnings quote the address that was asked, and so a patient's number.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class Transient(EhrUnavailable):
    """It may go better the next time, `after` seconds from now at the earliest."""

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes

    def json(self) -> Any:
        """Whatever its content type says; raise EhrUnavailable."""
        try:
            return decode(self.body.removeprefix(b"\xef\xbb\xbf"))
        except InvalidRequest:
            raise EhrUnavailable("The EHR answered with what is no JSON.") from None


class Transport:
    def __init__(self, *, breaker: Breaker | None = None) -> None:
        self.breaker = breaker or Breaker()
        self.authentication: Authentication = FixedHeader(None)
        self.session = requests.Session()
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS, max_retries=0)
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)
        self.session.headers.update({"Accept": ACCEPT, "User-Agent": f"imaging-fhir/{__version__}"})

    def close(self) -> None:
        self.session.close()

    def get(self, address: str, parameters: list[tuple[str, str]], deadline: Deadline) -> Reply:
        """Any answer below 500 but 429; raise EhrUnavailable."""
        with self.breaker.attempt():
            reply = self.authenticated(address, parameters, deadline)
            if reply.status == 401 and self.authentication.refused():
                reply = self.authenticated(address, parameters, deadline)
            return reply

    def authenticated(
        self, address: str, parameters: list[tuple[str, str]], deadline: Deadline
    ) -> Reply:
        header = self.authentication.header(deadline)
        headers = {"Authorization": header} if header else {}
        return self.patiently("GET", address, deadline, params=parameters, headers=headers)

    def fetch(self, address: str, deadline: Deadline, *, form: dict[str, str] | None = None) -> Any:
        """JSON that needs no log-in: what a log-in begins with."""
        method = "GET" if form is None else "POST"
        headers = {"Accept": "application/json"}
        reply = self.patiently(method, address, deadline, data=form, headers=headers)
        if reply.status != 200:
            raise EhrUnavailable(f"The log-in at the EHR was answered with {reply.status}.")
        return reply.json()

    def patiently(self, method: str, address: str, deadline: Deadline, **sent: Any) -> Reply:
        """Again after a pause where that may help and the time allows it."""
        retrying = Retrying(
            retry=retry_if_exception_type(Transient),
            wait=pause,
            stop=lambda state: (
                state.attempt_number >= ATTEMPTS or not deadline.leaves(state.upcoming_sleep)
            ),
            reraise=True,
        )
        return retrying(self.once, method, address, deadline, **sent)

    def once(self, method: str, address: str, deadline: Deadline, **sent: Any) -> Reply:
        left = deadline.left()
        try:
            with self.session.request(
                method,
                address,
                timeout=(min(CONNECT_SECONDS, left), left),
                stream=True,
                allow_redirects=False,  # our log-in is for nobody else
                auth=unchanged,
                **sent,
            ) as response:
                if response.status_code in REPEATED:
                    raise Transient(
                        f"The EHR answered with {response.status_code}.",
                        after=retry_after(response.headers),
                    )
                return Reply(response.status_code, bounded(response, deadline))
        except (requests.RequestException, HTTPError, OSError) as error:
            raise Transient(f"The EHR cannot be reached ({type(error).__name__}).") from None
        except ValueError:  # an address that is none
            raise EhrUnavailable("The EHR's address is not one that can be asked.") from None


def unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """In place of the log-in that requests would look for in ~/.netrc."""
    return request


def bounded(response: requests.Response, deadline: Deadline) -> bytes:
    """The body, read as it comes, so that the time is looked at between its pieces."""
    body = bytearray()
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        body += chunk
        if len(body) > LARGEST_BODY:
            raise EhrUnavailable(f"The EHR answered with more than {LARGEST_BODY} bytes.")
        deadline.left()
    return bytes(body)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of Retry-After; a date counts as none (RFC 9110, 10.2.3)."""
    said = headers.get("Retry-After", "").strip()
    return float(said) if re.fullmatch(r"[0-9]{1,6}", said) else 0.0


def pause(state: RetryCallState) -> float:
    """A growing time of chance, and never less than the EHR asked for."""
    error = state.outcome.exception() if state.outcome else None
    return max(PAUSE(state), error.after if isinstance(error, Transient) else 0.0)
