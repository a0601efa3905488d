"""One HTTP request to a subscriber: to a checked address, bounded in time, no answer trusted.

Nothing is followed (a redirect is a failure), no proxy of the environment is used, and the body of
the answer is not read.
"""

import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from imaging_fhir.channel.address import AddressRefused, Guard, Target

FORBIDDEN = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that a subscriber may not choose: of the connection, or told by what is sent."""


class DeliveryFailed(Exception):
    """The subscriber did not take it; the text is for them, and says nothing of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 10


class CheckedConnection(HTTPConnection):
    """Connects to the address that was checked, whatever the name means by now."""

    def __init__(self, target: Target, address: str, seconds: float, tls: ssl.SSLContext | None):
        super().__init__(target.host, target.port, timeout=seconds)
        self.address = address
        self.tls = tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), self.timeout)
        if self.tls is not None:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.host)


@dataclass(frozen=True, slots=True)
class RestHook:
    guard: Guard
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def send(self, message: Message) -> None:
        """Raise AddressRefused, DeliveryFailed; no error means that it was taken (2xx)."""
        target = self.guard.target(message.url)
        try:
            addresses = self.guard.resolve(target)
            status = self.status(target, addresses[0], message)
        except AddressRefused:
            raise
        except ssl.SSLError as error:
            raise DeliveryFailed("TLS with the endpoint failed.") from error
        except (OSError, HTTPException, UnicodeError, IndexError) as error:
            raise DeliveryFailed("The endpoint did not answer in time, or not in HTTP.") from error
        if not 200 <= status < 300:
            raise DeliveryFailed(f"The endpoint answered {status}.")

    def check(self, url: str) -> None:
        """Could anything be sent there? Raise AddressRefused, DeliveryFailed."""
        try:
            self.guard.resolve(self.guard.target(url))
        except (OSError, UnicodeError) as error:
            raise DeliveryFailed("The host of the endpoint is not known.") from error

    def status(self, target: Target, address: str, message: Message) -> int:
        tls = self.tls if target.scheme == "https" else None
        connection = CheckedConnection(target, address, message.seconds, tls)
        over = threading.Event()
        deadline = threading.Timer(message.seconds, end, [connection, over])
        deadline.daemon = True
        deadline.start()
        try:
            connection.connect()
            self.write(connection, target, message)
            status = connection.getresponse().status
            if over.is_set():
                raise TimeoutError  # what is left of the answer may be less than was said
            return status
        finally:
            deadline.cancel()
            connection.close()

    def write(self, connection: HTTPConnection, target: Target, message: Message) -> None:
        connection.putrequest(
            message.method, target.path, skip_host=True, skip_accept_encoding=True
        )
        fixed = {
            "Host": target.authority,
            "User-Agent": "imaging-fhir",
            "Connection": "close",
            "Content-Length": str(len(message.body)),
        }
        for name, value in {**fixed, **message.headers}.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(message.body or None)


def end(connection: HTTPConnection, over: threading.Event) -> None:
    """However slowly it answers, byte by byte: it was given its time."""
    over.set()
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
