"""The DIMSE door: it listens for associations, and each connection has a thread of its own."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any
from uuid import uuid4

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.feeds.association import Association
from imaging_fhir.feeds.reception import Peer, Reception
from imaging_fhir.feeds.storage import Storage
from imaging_fhir.feeds.upper_layer import Connection, Disconnected
from imaging_fhir.logs import request_id
from imaging_fhir.services.dimse_door import tls_context
from imaging_fhir.services.ingest import Ingest
from imaging_fhir.settings import PREFIX, Settings, Site

ARTIM_SECONDS = 15.0  # for the TLS handshake, and then for the A-ASSOCIATE-RQ (PS3.8 9.1.5)
CONNECTIONS_PER_ASSOCIATION = 4  # that may be open, those without an association included
BACKLOG = 128
STOP_SECONDS = 25.0  # what associations have for the request in hand when the server stops
PAUSE_SECONDS = 0.2  # after a connection that could not be taken, such as for want of files
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Connected:
    """What a connection's thread is at."""

    peer: socket.socket
    association: Association | None = None

    def let_in(self, association: Association) -> None:
        self.association = association

    def hurry(self) -> None:
        """Cut it off unless a request is in hand, of which the peer has to hear."""
        if self.association is None or not self.association.is_busy:
            silence(self.peer)


class DimseServer:
    """It listens from the beginning; raise InvalidSetting where it cannot."""

    def __init__(self, settings: Settings, site: Site, ingest: Ingest) -> None:
        self.settings = settings
        self.tls = tls_context(settings)
        self.stopping = threading.Event()
        self.reception = Reception(
            settings, site, Storage(ingest=ingest), is_over=self.stopping.is_set
        )
        self.connections: dict[threading.Thread, Connected] = {}
        self.lock = threading.Lock()
        self.listener = listening(settings.dimse_address, settings.dimse_port)
        self.port = int(self.listener.getsockname()[1])

    def serve(self) -> None:
        """Take connections until `stop`, and then end those that are open."""
        while not self.stopping.is_set():
            try:
                peer, address = self.listener.accept()
            except OSError:
                self.stopping.wait(PAUSE_SECONDS)
                continue
            self.take(peer, plain_address(address[0]))
        self.listener.close()
        self.end()

    def stop(self) -> None:
        """Let `serve` return once what is being stored is stored and answered."""
        self.stopping.set()
        silence(self.listener)

    def take(self, peer: socket.socket, address: str) -> None:
        most = self.settings.dimse_associations * CONNECTIONS_PER_ASSOCIATION
        one = Connected(peer)
        thread = threading.Thread(target=self.attend, args=(one, address), daemon=True)
        with self.lock:
            if len(self.connections) >= most:
                peer.close()
                return
            self.connections[thread] = one
        thread.start()

    def end(self) -> None:
        latest = time.monotonic() + STOP_SECONDS
        with self.lock:
            connections = dict(self.connections)
        for one in connections.values():
            one.hurry()
        for thread in connections:
            thread.join(max(latest - time.monotonic(), 0))

    def attend(self, one: Connected, address: str) -> None:
        """A connection from its first byte to its last."""
        request_id.set(uuid4().hex[:16])
        try:
            self.converse(one, address)
        except Disconnected as error:
            logger.debug("connection ended: %s", error, extra={"address": address})
        except Exception:
            logger.exception("an association failed")
        finally:
            one.peer.close()
            with self.lock:
                del self.connections[threading.current_thread()]

    def converse(self, one: Connected, address: str) -> None:
        one.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.peer.settimeout(ARTIM_SECONDS)
        names: frozenset[str] = frozenset()
        if self.tls is not None:
            one.peer = secured(self.tls, one.peer)
            names = names_of(one.peer.getpeercert() or {})
        connection = Connection(
            one.peer, max_pdu=self.settings.dimse_max_pdu, seconds=ARTIM_SECONDS
        )
        self.reception.receive(connection, Peer(address, names), one.let_in)


def listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InvalidSetting(f"{PREFIX}DIMSE_PORT: {host}:{port}: {error.strerror}.") from error


def silence(peer: socket.socket) -> None:
    """Wake up whoever waits for it."""
    try:
        peer.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("the connection is gone already")


def plain_address(address: str) -> str:
    """That of IPv4 where a socket for both has it in the form of IPv6."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def secured(tls: ssl.SSLContext, peer: socket.socket) -> ssl.SSLSocket:
    try:
        return tls.wrap_socket(peer, server_side=True)
    except OSError as error:
        reason = getattr(error, "reason", None) or "no word in time"
        if not isinstance(error, ssl.SSLEOFError | ConnectionError):  # who only looks at the port
            logger.info("TLS handshake failed: %s", reason)
        raise Disconnected(reason) from error


def names_of(certificate: Mapping[str, Any]) -> frozenset[str]:
    """Common name and DNS names of a certificate that was verified."""
    subject = {
        value
        for part in certificate.get("subject", ())
        for key, value in part
        if key == "commonName"
    }
    alternatives = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    return frozenset(subject | alternatives)
