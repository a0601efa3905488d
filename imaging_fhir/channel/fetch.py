"""Documents of an authorization server: keys, discovery, introspection.

Over https, or http on loopback; to a checked address, bounded in time and size; no redirect is
followed, no proxy of the environment is used. Who is asked may not lead the service elsewhere.
"""

import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

from imaging_fhir.channel.address import AddressRefused, Guard, Target, is_network
from imaging_fhir.channel.rest_hook import CheckedConnection, end
from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.codec import decode

LARGEST = 512 * 1024  # bytes of an answer; a JWKS has a few thousand
SECONDS = 5.0
MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")


class FetchFailed(Exception):
    """There is no answer that can be used; the text is for the log, and names no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    status: int
    document: Any  # the JSON; None where the status is not 200
    max_age: int | None  # seconds, where Cache-Control says so


@dataclass(frozen=True, slots=True)
class Fetcher:
    """`hosts` are named by the operator, and may be anywhere; all others must be public."""

    hosts: frozenset[str]
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    seconds: float = SECONDS

    def get(self, url: str) -> Fetched:
        """Raise FetchFailed."""
        return self.fetch("GET", url, {}, b"")

    def post(self, url: str, form: Mapping[str, str], authorization: str) -> Fetched:
        """Raise FetchFailed."""
        headers = {
            "Authorization": authorization,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self.fetch("POST", url, headers, urlencode(form).encode())

    def fetch(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Fetched:
        guard = Guard(self.hosts, allow_http=True)
        try:
            target = guard.target(url)
            if target.scheme != "https" and not is_loopback(target.host):
                raise FetchFailed("The address is not of https.")
            addresses = guard.resolve(target)
            return self.exchange(target, addresses[0], method, headers, body)
        except AddressRefused as error:
            raise FetchFailed("The address is not public, and not listed in hosts.") from error
        except ssl.SSLError as error:
            raise FetchFailed("TLS failed.") from error
        except (OSError, HTTPException, UnicodeError, IndexError, ValueError) as error:
            raise FetchFailed("There was no answer in time, or not in HTTP.") from error

    def exchange(
        self, target: Target, address: str, method: str, headers: Mapping[str, str], body: bytes
    ) -> Fetched:
        tls = self.tls if target.scheme == "https" else None
        connection = CheckedConnection(target, address, self.seconds, tls)
        over = threading.Event()
        deadline = threading.Timer(self.seconds, end, [connection, over])
        deadline.daemon = True
        deadline.start()
        try:
            connection.connect()
            connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
            fixed = {
                "Host": target.authority,
                "User-Agent": "imaging-fhir",
                "Accept": "application/json",
                "Connection": "close",
                "Content-Length": str(len(body)),
            }
            for name, value in {**fixed, **headers}.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(body or None)
            fetched = read(connection.getresponse())
            if over.is_set():
                raise TimeoutError
            return fetched
        finally:
            deadline.cancel()
            connection.close()


def read(response: HTTPResponse) -> Fetched:
    """Raise FetchFailed for an answer that is too large, or is to be JSON and is none."""
    if response.status != 200:
        return Fetched(status=response.status, document=None, max_age=None)
    content = response.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise FetchFailed("The answer is too large.")
    try:
        document = decode(content)
    except InvalidRequest as error:
        raise FetchFailed("The answer is no JSON.") from error
    age = MAX_AGE.search(response.headers.get("Cache-Control", "").lower())
    return Fetched(status=200, document=document, max_age=int(age[1]) if age else None)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    return is_network(host) and ip_address(host).is_loopback
