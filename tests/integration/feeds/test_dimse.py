"""C-STORE and C-ECHO as a peer meets them, with everything between the socket and the commit."""

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

from imaging_fhir.errors import StorageFull
from imaging_fhir.feeds import dimse
from imaging_fhir.services.erase import Erase
from imaging_fhir.settings import Site, Source
from tests.dicom_samples import INSTANCE, ct_instance, data_set, dicom_file
from tests.dimse import SITE, VERIFICATION, associated, association_request, door, peer, split
from tests.house import HOSPITAL, House, build_house

CT = (CTImageStorage, [ExplicitVRLittleEndian])
ECHO = (VERIFICATION, [ImplicitVRLittleEndian])
ACCEPTED, REJECTED, RELEASED, ABORTED = 2, 3, 6, 7
OK, HELD = 0x0000, 0xB100


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    yield house
    house.close()


@pytest.fixture
def server(house: House) -> Iterator[dimse.DimseServer]:
    with door(house.ingest) as server:
        yield server


def kept(house: House) -> list[bytes]:
    """The bytes of every file in the store."""
    found = []
    for blob in house.store.blobs():
        with house.store.open(blob) as stream:
            found.append(stream.read())
    return found


def test_verification_is_answered(server: dimse.DimseServer) -> None:
    with associated(server, ECHO) as one:
        assert [one.echo(), one.echo()] == [OK, OK]
        assert one.release().type == RELEASED


def test_what_is_acknowledged_is_filed_as_it_was_sent(
    server: dimse.DimseServer, house: House
) -> None:
    file = ct_instance(rows=64, columns=64)
    with associated(server, CT) as one:
        assert one.store(file) == OK
        (stored,) = kept(house)
    assert split(stored)[1] == split(file)[1]
    meta = pydicom.dcmread(BytesIO(stored)).file_meta
    assert meta.MediaStorageSOPInstanceUID == INSTANCE
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.SourceApplicationEntityTitle == "MODALITY"
    assert meta.ImplementationVersionName == "IMAGING_FHIR"
    assert house.read("ImagingStudy/" + split_study(file))["numberOfInstances"] == 1


def split_study(file: bytes) -> str:
    return str(pydicom.dcmread(BytesIO(file)).StudyInstanceUID)


@pytest.mark.parametrize("size", [16, 100, 4096])
def test_data_sets_come_in_fragments_of_any_size(
    server: dimse.DimseServer, house: House, size: int
) -> None:
    file = ct_instance()
    with peer(server, max_pdu=size) as one:
        assert one.associate(CT).type == ACCEPTED
        assert one.store(file) == OK
    assert split(kept(house)[0])[1] == split(file)[1]


def test_the_source_of_the_ae_says_what_numbers_and_times_mean(
    house: House,
) -> None:
    house.patient("jane", "4711", name=[{"family": "Roe", "given": ["Jane"]}])
    source = Source(
        id="ct",
        ae_titles=("MODALITY",),
        addresses=("127.0.0.1",),
        patient_id_system=HOSPITAL,
        time_zone="America/New_York",
    )
    with door(house.ingest, site=Site(sources=(source,))) as server, associated(server, CT) as one:
        assert one.store(ct_instance()) == OK
    study = house.read("ImagingStudy/" + split_study(ct_instance()))
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["started"] == "2026-03-14T10:15:00-04:00"


def test_the_same_instance_again_is_a_success_and_another_one_a_warning(
    server: dimse.DimseServer, house: House
) -> None:
    with associated(server, CT) as one:
        assert one.store(ct_instance()) == OK
        assert one.store(ct_instance()) == OK
        assert one.store(ct_instance(rows=8, PatientComments="other")) == HELD
    assert len(kept(house)) == 2
    assert len(house.open_tasks()) == 1


@pytest.mark.parametrize(
    ("sop_class", "sop_instance", "status"),
    [
        (CTImageStorage, "1.2.3", 0xA900),
        (MRImageStorage, INSTANCE, 0xA900),
        (VERIFICATION, INSTANCE, 0x0122),
        (CTImageStorage, "not a UID", 0x0117),
        (CTImageStorage, "", 0x0117),
    ],
)
def test_a_command_that_is_of_something_else_is_refused_and_the_next_is_served(
    server: dimse.DimseServer, house: House, sop_class: str, sop_instance: str, status: int
) -> None:
    file = ct_instance(rows=200, columns=200)
    with associated(server, CT) as one:
        one.begin_store(sop_class, sop_instance)
        one.send_data_set(split(file)[1])
        assert one.status() == status
        assert kept(house) == []
        assert one.store(file) == OK


def test_what_is_no_data_set_cannot_be_understood(server: dimse.DimseServer, house: House) -> None:
    with associated(server, CT) as one:
        for data in (b"\0", b"no DICOM at all" * 1000, split(ct_instance())[1][:60]):
            one.begin_store(CTImageStorage, INSTANCE)
            one.send_data_set(data)
            assert one.status() == 0xC000
        one.command(
            1,
            {
                0x100: b"\1\0",
                0x110: b"\1\0",
                0x800: b"\1\1",
                2: CTImageStorage.encode() + b"\0",
                0x1000: INSTANCE.encode() + b"\0",
            },
        )
        assert one.status() == 0xC000
    assert kept(house) == []


def test_without_room_the_sender_is_asked_to_try_later(
    server: dimse.DimseServer, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StorageFull("The disk of the stored images is nearly full.")

    file = ct_instance(rows=200, columns=200)
    with associated(server, CT) as one:
        monkeypatch.setattr(house.store, "require_space", full)
        one.begin_store(CTImageStorage, INSTANCE)
        one.send_data_set(split(file)[1])
        answer = one.response()
        assert answer[0x0900] == struct.pack("<H", 0xA700)
        assert b"nearly full" in answer[0x0902]
        monkeypatch.undo()
        assert one.store(file) == OK


def test_what_is_too_large_is_refused_and_not_kept(house: House) -> None:
    house.ingest.max_bytes = 4096
    with door(house.ingest) as server, associated(server, CT) as one:
        assert one.store(ct_instance(rows=64, columns=64)) == 0xA700
        assert one.store(ct_instance()) == OK
    assert len(kept(house)) == 1
    assert list(house.store.incoming.iterdir()) == []


def test_what_was_erased_is_refused(server: dimse.DimseServer, house: House) -> None:
    with associated(server, CT) as one:
        assert one.store(ct_instance()) == OK
        Erase(database=house.database, store=house.store).study(split_study(ct_instance()))
        assert one.store(ct_instance()) == 0x0124


def test_other_services_are_not_offered(server: dimse.DimseServer) -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    unknown, private = "1.2.840.10008.5.1.4.1.1.999.1", "1.2.752.24.3.7.6"
    hanging_protocol = "1.2.840.10008.5.1.4.38.1"
    with peer(server) as one:
        asked = [
            (uid, [ExplicitVRLittleEndian])
            for uid in (find, unknown, private, hanging_protocol, CTImageStorage)
        ]
        answer = one.associate(*asked)
        assert results(answer.body) == {1: 3, 3: 0, 5: 0, 7: 3, 9: 0}
        one.command(9, {2: find.encode() + b"\0", 0x100: b"\x20\0", 0x110: b"\1\0", 0x800: b"\1\1"})
        assert one.status() == 0x0211


def results(acceptance: bytes | bytearray) -> dict[int, int]:
    """The result of each presentation context in an A-ASSOCIATE-AC."""
    return {context_id: result for context_id, (result, _) in answered_contexts(acceptance).items()}


def answered_contexts(acceptance: bytes | bytearray) -> dict[int, tuple[int, str]]:
    found, position = {}, 68
    while position < len(acceptance):
        kind, length = struct.unpack_from(">BxH", acceptance, position)
        if kind == 0x21:
            context_id, result = acceptance[position + 4], acceptance[position + 6]
            syntax = acceptance[position + 12 : position + 4 + length].decode()
            found[context_id] = (result, syntax)
        position += 4 + length
    return found


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([ImplicitVRLittleEndian, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        ([ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless], JPEG2000Lossless),
        ([JPEG2000Lossless, ExplicitVRLittleEndian], JPEG2000Lossless),
        ([ExplicitVRBigEndian], ExplicitVRBigEndian),
        (["1.2.840.113619.5.2", ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        (["1.2.840.113619.5.2"], None),
    ],
)
def test_the_first_known_transfer_syntax_is_taken(
    server: dimse.DimseServer, proposed: list[str], chosen: str | None
) -> None:
    with peer(server) as one:
        answer = one.associate((CTImageStorage, proposed))
    result, syntax = answered_contexts(answer.body)[1]
    assert (result, syntax) == (0, chosen) if chosen else result == 4


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        ({"called": "ELSEWHERE"}, (1, 1, 7)),
        ({"calling": "STRANGER"}, (1, 1, 3)),
        ({"calling": "FAR_AWAY"}, (1, 1, 3)),
    ],
)
def test_who_is_not_known_is_rejected(
    house: House, names: dict[str, str], answer: tuple[int, int, int]
) -> None:
    far_away = Source(id="far", ae_titles=("FAR_AWAY",), addresses=("192.0.2.0/24",))
    with door(house.ingest, site=Site(sources=(*SITE.sources, far_away))) as server:
        with peer(server) as one:
            rejection = one.associate(CT, **names)
        assert rejection.type == REJECTED
        assert tuple(rejection.body[1:]) == answer


def test_a_stranger_is_the_source_without_trust_where_any_may_call(house: House) -> None:
    house.patient("jane", "4711")
    known = Source(id="ct", ae_titles=("CT",), addresses=("192.0.2.1",), patient_id_system=HOSPITAL)
    site = Site(sources=(known,))
    with door(house.ingest, site=site, dimse_callers="any") as server, peer(server) as one:
        assert one.associate(CT, calling="CT").type == ACCEPTED
        assert one.store(ct_instance()) == OK
    assert house.subject("ImagingStudy/" + split_study(ct_instance())) != "Patient/jane"


def test_there_is_a_limit_to_associations(house: House) -> None:
    with door(house.ingest, dimse_associations=2) as server, ExitStack() as stack:
        first, _ = (stack.enter_context(associated(server, ECHO)) for _ in range(2))
        with peer(server) as third:
            rejection = third.associate(ECHO)
            assert (rejection.type, tuple(rejection.body[1:])) == (REJECTED, (2, 3, 2))
        assert first.release().type == RELEASED
        first.socket.close()
        assert accepted_in_time(server)


def accepted_in_time(server: dimse.DimseServer) -> bool:
    for _ in range(100):
        with peer(server) as one:
            if one.associate(ECHO).type == ACCEPTED:
                return True
        time.sleep(0.05)
    return False


def test_many_associations_at_once_lose_nothing(server: dimse.DimseServer, house: House) -> None:
    def send(number: int) -> None:
        with associated(server, CT) as one:
            for image in range(10):
                uid = f"{INSTANCE}.{number}.{image}"
                statuses.append(one.store(ct_instance(SOPInstanceUID=uid)))

    statuses: list[int] = []
    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [OK] * 60
    assert house.read("ImagingStudy/" + split_study(ct_instance()))["numberOfInstances"] == 60


def test_a_sender_that_is_cut_off_leaves_nothing(server: dimse.DimseServer, house: House) -> None:
    file = ct_instance(rows=200, columns=200)
    for abort in (False, True):
        with associated(server, CT) as one:
            one.begin_store(CTImageStorage, INSTANCE)
            one.fragment(1, 0, split(file)[1][:20000])
            if abort:
                one.send(ABORTED, bytes(4))
    assert accepted_in_time(server)
    wait_until_idle(server)
    assert kept(house) == []
    assert list(house.store.incoming.iterdir()) == []


def wait_until_idle(server: dimse.DimseServer) -> None:
    for _ in range(200):
        if not server.connections:
            return
        time.sleep(0.05)
    raise AssertionError("connections do not end")


def test_a_silent_peer_is_let_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimse, "ARTIM_SECONDS", 0.3)
    with door(house.ingest, dimse_timeout=1) as server:
        with peer(server) as one:
            assert one.socket.recv(1) == b""  # never asked for an association
        with associated(server, CT) as one:
            one.begin_store(CTImageStorage, INSTANCE)
            for byte in b"\4\0\0\0":  # a PDU that does not end
                one.socket.sendall(bytes([byte]))
                time.sleep(0.4)
            with pytest.raises(ConnectionError):
                one.response()


MALFORMED = {
    "unknown type": b"\x09\0\0\0\0\4abcd",
    "too long for P-DATA": b"\4\0\xff\xff\xff\xff",
    "too long for A-RELEASE": b"\5\0\0\1\0\0",
    "second request": b"\1\0\0\0\0\4abcd",
    "an answer": b"\2\0\0\0\0\4abcd",
    "release response": b"\6\0\0\0\0\4abcd",
    "value longer than its PDU": b"\4\0\0\0\0\7\0\0\0\xff\1\3a",
    "value without control": b"\4\0\0\0\0\5\0\0\0\1\1",
    "cut off value": b"\4\0\0\0\0\3\0\0\0",
    "context that is not accepted": b"\4\0\0\0\0\7\0\0\0\3\x63\3a",
    "data set without command": b"\4\0\0\0\0\7\0\0\0\3\1\2a",
    "command that is none": b"\4\0\0\0\0\x0e\0\0\0\x0a\1\3abcdefgh",
    "command of another group": b"\4\0\0\0\0\x0e\0\0\0\x0a\1\3\x08\0\0\0\0\0\0\0",
    "command without fields": b"\4\0\0\0\0\x0e\0\0\0\x0a\1\3\0\0\x77\0\0\0\0\0",
    "a response": b"\4\0\0\0\0\x30\0\0\0\x2c\1\3"
    b"\0\0\0\1\2\0\0\0\1\x80\0\0\x10\1\2\0\0\0\1\0\0\0\0\x08\2\0\0\0\1\1"
    + b"\0\0\0\x09\2\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_breaks_the_protocol_is_aborted(server: dimse.DimseServer, name: str) -> None:
    with associated(server, CT) as one:
        one.socket.sendall(MALFORMED[name])
        assert one.receive().type == ABORTED
    with associated(server, ECHO) as one:
        assert one.echo() == OK


def test_random_bytes_do_no_harm(server: dimse.DimseServer, house: House) -> None:
    chance = random.Random(11)
    for _ in range(60):
        with closing(socket.create_connection(("127.0.0.1", server.port), 5)) as stranger:
            stranger.sendall(chance.randbytes(chance.randrange(1, 400)))
    request = association_bytes()
    for _ in range(60):
        damaged = bytearray(request)
        for position in chance.sample(range(len(damaged)), k=4):
            damaged[position] = chance.randrange(256)
        with closing(socket.create_connection(("127.0.0.1", server.port), 5)) as stranger:
            stranger.sendall(damaged)
    with associated(server, CT) as one:
        assert one.store(ct_instance()) == OK
    assert len(kept(house)) == 1


def association_bytes() -> bytes:
    return association_request([CT, ECHO], "MODALITY", "IMAGING_FHIR")


def test_a_stopping_server_answers_what_it_has_in_hand(house: House) -> None:
    file = ct_instance(rows=100, columns=100)
    data = split(file)[1]
    with ExitStack() as stack:
        server = stack.enter_context(door(house.ingest))
        idle = stack.enter_context(associated(server, ECHO))
        busy = stack.enter_context(associated(server, CT))
        busy.begin_store(CTImageStorage, INSTANCE)
        busy.fragment(1, 0, data[:5000])
        wait_until_busy(server)
        server.stop()
        assert idle.socket.recv(1) == b""
        busy.fragment(1, 2, data[5000:])
        assert busy.status() == OK
        assert busy.receive().type == ABORTED
    assert len(kept(house)) == 1


def wait_until_busy(server: dimse.DimseServer) -> None:
    for _ in range(200):
        found = [one.association for one in list(server.connections.values())]
        if any(one is not None and one.is_busy for one in found):
            return
        time.sleep(0.02)
    raise AssertionError("nobody is busy")


def test_a_fault_of_ours_is_one_instances_alone(
    server: dimse.DimseServer, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    with associated(server, CT) as one:
        monkeypatch.setattr(house.ingest, "ingest", faulty)
        assert one.store(ct_instance(rows=200, columns=200)) == 0x0110
        monkeypatch.undo()
        assert one.store(ct_instance()) == OK


def test_other_encodings_are_identified_too(server: dimse.DimseServer, house: House) -> None:
    syntaxes = [ImplicitVRLittleEndian, ExplicitVRBigEndian, "1.2.840.10008.1.2.1.99"]
    contexts = [(CTImageStorage, [syntax]) for syntax in syntaxes]
    with associated(server, *contexts) as one:
        for number, syntax in enumerate(syntaxes):
            uid = f"{INSTANCE}.{number}"
            file = dicom_file(
                data_set({"SOPClassUID": CTImageStorage, "SOPInstanceUID": uid}),
                transfer_syntax=syntax,
            )
            one.begin_store(CTImageStorage, "1.2.3", context_id=2 * number + 1)
            one.send_data_set(split(file)[1], context_id=2 * number + 1)
            assert one.status() == 0xA900
            assert one.store(file, context_id=2 * number + 1) == OK
    assert len(kept(house)) == 3


def test_peers_are_told_apart_by_title_too(house: House) -> None:
    sources = tuple(
        Source(id=title, ae_titles=(title,), addresses=("127.0.0.1",)) for title in ("CT", "MR")
    )
    site = Site(sources=sources)
    assert site.source_of_ae("MR", "127.0.0.1", frozenset()) == sources[1]
    assert site.source_of_ae("MR", "127.0.0.2", frozenset()) is None
    assert site.source_of_address("127.0.0.1").id == "default"
