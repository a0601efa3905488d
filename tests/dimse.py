"""A DIMSE door in this process, and a peer that can also do what peers should not."""

import socket
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pydicom
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from imaging_fhir.feeds.command_set import elements, encoded
from imaging_fhir.feeds.dimse import DimseServer
from imaging_fhir.feeds.upper_layer import Pdu, fragments
from imaging_fhir.images.dicom_stream import start_of_file
from imaging_fhir.services.ingest import Ingest
from imaging_fhir.settings import Settings, Site, Source

TITLE = "MODALITY"
VERIFICATION = "1.2.840.10008.1.1"
SITE = Site(sources=(Source(id="ct", ae_titles=(TITLE,), addresses=("127.0.0.1",)),))
STATUS, COMMENT = 0x0900, 0x0902


@contextmanager
def door(ingest: Ingest, *, site: Site = SITE, **settings: Any) -> Iterator[DimseServer]:
    server = DimseServer(Settings(**settings), site, ingest)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@dataclass
class Peer:
    """`max_pdu` is that of the P-DATA it sends."""

    socket: socket.socket
    max_pdu: int = 16384
    message_id: int = 0

    def receive(self) -> Pdu:
        """The next PDU; raise ConnectionError where there is none."""
        type_, length = struct.unpack(">BxL", self.exactly(6))
        return Pdu(type_, self.exactly(length))

    def exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            some = self.socket.recv(count - len(received))
            if not some:
                raise ConnectionError("closed")
            received += some
        return received

    def associate(
        self,
        *contexts: tuple[str, Sequence[str]],
        calling: str = TITLE,
        called: str = "IMAGING_FHIR",
    ) -> Pdu:
        """Ask for an association; the answer."""
        self.socket.sendall(association_request(contexts, calling, called))
        return self.receive()

    def send(self, type_: int, body: bytes) -> None:
        self.socket.sendall(struct.pack(">BxL", type_, len(body)) + body)

    def command(self, context_id: int, values: dict[int, bytes]) -> None:
        body = b"".join(encoded(element, value) for element, value in sorted(values.items()))
        command_set = encoded(0, struct.pack("<L", len(body))) + body
        self.fragment(context_id, 0b11, command_set)

    def fragment(self, context_id: int, control: int, data: bytes) -> None:
        self.send(4, struct.pack(">LBB", len(data) + 2, context_id, control) + data)

    def begin_store(self, sop_class: str, sop_instance: str, *, context_id: int = 1) -> None:
        self.message_id += 1
        self.command(
            context_id,
            {
                0x0002: padded(sop_class),
                0x0100: b"\x01\x00",
                0x0110: struct.pack("<H", self.message_id),
                0x0700: b"\x00\x00",
                0x0800: b"\x01\x00",
                0x1000: padded(sop_instance),
            },
        )

    def send_data_set(self, data: bytes, *, context_id: int = 1) -> None:
        size = self.max_pdu - 6
        for start in range(0, len(data), size):
            is_last = start + size >= len(data)
            self.fragment(context_id, 0b10 if is_last else 0, data[start : start + size])

    def store(self, file: bytes, *, context_id: int = 1) -> int:
        """C-STORE of a DICOM file; the status."""
        head, data = split(file)
        self.begin_store(head.SOPClassUID, head.SOPInstanceUID, context_id=context_id)
        self.send_data_set(data, context_id=context_id)
        return self.status()

    def echo(self, *, context_id: int = 1) -> int:
        self.message_id += 1
        message_id = struct.pack("<H", self.message_id)
        values = {2: padded(VERIFICATION), 0x0100: b"\x30\0", 0x0110: message_id, 0x800: b"\1\1"}
        self.command(context_id, values)
        return self.status()

    def status(self) -> int:
        return int.from_bytes(self.response()[STATUS], "little")

    def response(self) -> dict[int, bytes]:
        answer = self.receive()
        assert answer.type == 4, answer
        (one,) = fragments(answer.body)
        assert one.is_command
        assert one.is_last
        return elements(one.data)

    def release(self) -> Pdu:
        self.send(5, bytes(4))
        return self.receive()


@contextmanager
def connected(port: int, *, max_pdu: int = 16384) -> Iterator[Peer]:
    with closing(socket.create_connection(("127.0.0.1", port), 20)) as found:
        yield Peer(found, max_pdu)


def peer(server: DimseServer, *, max_pdu: int = 16384) -> AbstractContextManager[Peer]:
    return connected(server.port, max_pdu=max_pdu)


@contextmanager
def associated(server: DimseServer, *contexts: tuple[str, Sequence[str]]) -> Iterator[Peer]:
    with peer(server) as one:
        answer = one.associate(*contexts)
        assert answer.type == 2, answer
        yield one


def association_request(
    contexts: Sequence[tuple[str, Sequence[str]]], calling: str, called: str
) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    proposed = [build_context(uid, list(syntaxes)) for uid, syntaxes in contexts]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = proposed
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, class_uid]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def split(file: bytes) -> tuple[pydicom.Dataset, bytes]:
    """The header of a file, and its data set as it is encoded there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, about values that are none of ours
        head = pydicom.dcmread(BytesIO(file), stop_before_pixels=True)
        _ = head.SOPClassUID, head.SOPInstanceUID  # decoded here
    return head, file[start_of_file(BytesIO(file)).offset :]


def padded(uid: str) -> bytes:
    value = uid.encode()
    return value + b"\0" * (len(value) % 2)
