import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_fhir.feeds.upper_layer import (
    Connection,
    Disconnected,
    Fragment,
    Pdu,
    ProtocolError,
    fragments,
)

Pair = tuple[Connection, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield Connection(ours, max_pdu=64, seconds=0.5), theirs


def test_pdus_come_in_any_pieces(pair: Pair) -> None:
    connection, peer = pair
    sent = struct.pack(">BxL", 4, 5) + b"first" + struct.pack(">BxL", 5, 4) + bytes(4)
    for byte in sent:
        peer.sendall(bytes([byte]))
    assert connection.receive() == Pdu(4, b"first")
    assert connection.receive() == Pdu(5, bytes(4))


@pytest.mark.parametrize(
    ("type_", "length", "reason"), [(0, 4, 1), (8, 4, 1), (4, 65, 6), (5, 5, 6), (1, 2**20 + 1, 6)]
)
def test_what_may_not_come_is_not_read(pair: Pair, type_: int, length: int, reason: int) -> None:
    connection, peer = pair
    peer.sendall(struct.pack(">BxL", type_, length))
    with pytest.raises(ProtocolError) as raised:
        connection.receive()
    assert raised.value.reason == reason


def test_silence_ends_a_connection(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(b"\4\0\0\0")
    with pytest.raises(Disconnected):
        connection.receive()


def test_an_end_amid_a_pdu_is_none(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(struct.pack(">BxL", 4, 20) + b"half")
    peer.close()
    with pytest.raises(Disconnected):
        connection.receive()


def test_a_peer_that_reads_nothing_ends_a_connection(pair: Pair) -> None:
    connection, _ = pair
    with pytest.raises(Disconnected):
        connection.send(4, bytes(60_000_000))


def test_lingering_ends_with_the_peer(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(b"still talking")
    thread = threading.Thread(target=connection.linger)
    thread.start()
    peer.close()
    thread.join(10)
    assert not thread.is_alive()


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 3), st.binary(max_size=40))))
def test_values_are_taken_apart(values: list[tuple[int, int, bytes]]) -> None:
    body = b"".join(
        struct.pack(">LBB", len(data) + 2, context, control) + data
        for context, control, data in values
    )
    assert list(fragments(body)) == [
        Fragment(context, bool(control & 1), bool(control & 2), data)
        for context, control, data in values
    ]


@given(st.binary(min_size=1, max_size=40))
def test_anything_else_is_told(body: bytes) -> None:
    with suppress(ProtocolError):
        assert sum(len(one.data) + 6 for one in fragments(body)) == len(body)
