"""The DICOM upper layer over TCP (PS3.8 9.3): whole PDUs of a connection, within bounds.

A PDU is read only if it is no larger than what its type may be, and has to arrive in time: what a
peer sends takes no more memory than one PDU.
"""

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ = 0x01, 0x02, 0x03
P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 0x04, 0x05, 0x06, 0x07
KNOWN_TYPES = range(ASSOCIATE_RQ, ABORT + 1)
MAX_ASSOCIATE_BYTES = 1024**2  # 128 presentation contexts with all transfer syntaxes are 300 kB
CONTROL_BYTES = 4  # of A-RELEASE and A-ABORT
LINGER_SECONDS = 5.0
LINGER_BYTES = 1024**2

# A-ABORT, of the service provider (PS3.8 9.3.8)
NOT_SPECIFIED, UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0, 1, 2, 6


class Disconnected(Exception):
    """The peer is gone, or has been silent for too long."""


class ProtocolError(Exception):
    """The peer sent what cannot be there; `reason` is what its A-ABORT says."""

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Pdu:
    type: int
    body: bytes | bytearray


@dataclass(frozen=True, slots=True)
class Fragment:
    """A presentation data value (PS3.8 9.3.5.1, E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: bytes


class Connection:
    """`seconds`: for how long a peer may be silent, and within which a PDU has to be complete."""

    def __init__(self, peer: socket.socket, *, max_pdu: int, seconds: float) -> None:
        self.peer = peer
        self.max_pdu = max_pdu
        self.seconds = seconds

    def receive(self) -> Pdu:
        """The next PDU; raise Disconnected, ProtocolError."""
        head = self.exactly(6)
        type_, length = struct.unpack(">BxL", head)
        if type_ not in KNOWN_TYPES:
            raise ProtocolError(UNRECOGNIZED_PDU, "a PDU of unknown type")
        if length > self.most(type_):
            raise ProtocolError(INVALID_PARAMETER, "a PDU larger than it may be")
        return Pdu(type_, self.exactly(length))

    def most(self, type_: int) -> int:
        """Bytes of a PDU of that type."""
        if type_ == P_DATA:
            return self.max_pdu
        return MAX_ASSOCIATE_BYTES if type_ == ASSOCIATE_RQ else CONTROL_BYTES

    def exactly(self, count: int) -> bytearray:
        latest = time.monotonic() + self.seconds
        received = bytearray(count)
        rest = memoryview(received)
        while rest:
            rest = rest[self.fill(rest, latest) :]
        return received

    def fill(self, buffer: memoryview, latest: float) -> int:
        """Wait for some bytes; how many there are."""
        try:
            self.peer.settimeout(max(latest - time.monotonic(), 0.001))
            count = self.peer.recv_into(buffer)
        except OSError as error:
            raise Disconnected(error.strerror or "no word in time") from error
        if not count:
            raise Disconnected("closed by the peer")
        return count

    def send(self, type_: int, body: bytes) -> None:
        self.send_encoded(struct.pack(">BxL", type_, len(body)) + body)

    def send_encoded(self, pdu: bytes) -> None:
        try:
            self.peer.settimeout(self.seconds)
            self.peer.sendall(pdu)
        except OSError as error:
            raise Disconnected(error.strerror or "no word in time") from error

    def abort(self, reason: int) -> None:
        """As the service provider."""
        self.send(ABORT, struct.pack(">xxBB", 2, reason))

    def linger(self) -> None:
        """Wait until the peer has read the last PDU and closes (9.2: Sta13), but not for long."""
        latest, left = time.monotonic() + LINGER_SECONDS, LINGER_BYTES
        thrown_away = memoryview(bytearray(4096))
        try:
            while left > 0:
                left -= self.fill(thrown_away, latest)
        except Disconnected:
            return


def fragments(body: bytes | bytearray) -> Iterator[Fragment]:
    """The presentation data values of a P-DATA-TF PDU; raise ProtocolError."""
    position = 0
    while position < len(body):
        if position + 6 > len(body):
            raise ProtocolError(INVALID_PARAMETER, "a presentation data value that is cut off")
        length, context_id, control = struct.unpack_from(">LBB", body, position)
        end = position + 4 + length
        if length < 2 or end > len(body):
            raise ProtocolError(INVALID_PARAMETER, "a presentation data value of a wrong length")
        data = bytes(memoryview(body)[position + 6 : end])
        yield Fragment(context_id, bool(control & 1), bool(control & 2), data)
        position = end
