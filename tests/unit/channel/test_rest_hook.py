import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from imaging_fhir.channel.address import AddressRefused, Guard
from imaging_fhir.channel.rest_hook import DeliveryFailed, Message, RestHook
from tests.receiver import Receiver

HOOK = RestHook(Guard.of("127.0.0.1,ehr.local", allow_http=True))


def test_what_is_said_arrives() -> None:
    with Receiver().listening() as receiver:
        headers = {"Authorization": "Bearer x", "Content-Type": "application/fhir+json"}
        HOOK.send(Message(url=f"{receiver.url}?a=b", headers=headers, body=b'{"a":1}'))
        HOOK.send(Message(url=receiver.url, method="PUT"))
    first, second = receiver.told
    assert (first.method, first.path, first.body) == ("POST", "/hook?a=b", b'{"a":1}')
    assert first.headers["authorization"] == "Bearer x"
    assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (second.method, second.body, second.headers["content-length"]) == ("PUT", b"", "0")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
def test_no_other_status_than_success_counts_and_no_redirect_is_followed(status: int) -> None:
    with Receiver(answers=[status]).listening() as receiver:
        with pytest.raises(DeliveryFailed, match=str(status)):
            HOOK.send(Message(url=receiver.url))
        assert [one.path for one in receiver.refused] == ["/hook"]
        assert receiver.told == []


def test_the_checked_address_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name means the receiver once; asked again it would mean something else."""
    with Receiver().listening() as receiver:
        answers = ["127.0.0.1"]

        def found(host: str, port: int, **_: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

        with monkeypatch.context() as patched:
            patched.setattr(HOOK.guard.resolve.__globals__["socket"], "getaddrinfo", found)
            target = HOOK.guard.target(f"http://ehr.local:{receiver.port}/hook")
            [address] = HOOK.guard.resolve(target)
        assert HOOK.status(target, address, Message(url="")) == 200
        assert receiver.told[0].headers["host"] == f"ehr.local:{receiver.port}"


def test_nothing_is_sent_to_an_address_that_is_not_listed() -> None:
    with Receiver().listening() as receiver:
        guarded = RestHook(Guard(allow_http=True))
        with pytest.raises(AddressRefused):
            guarded.send(Message(url=receiver.url))
        assert receiver.told == []


def test_a_port_that_nobody_listens_on_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(DeliveryFailed, match="did not answer"):
            HOOK.send(Message(url=url))


@contextmanager
def speaking(*parts: bytes, pause: float) -> Iterator[str]:
    """A server that says the parts one by one, whatever it is asked, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def speak() -> None:
            with server.accept()[0] as connection:
                try:
                    for part in parts:
                        connection.sendall(part)
                        ended.wait(pause)
                    while not ended.is_set():
                        connection.sendall(parts[-1])
                        ended.wait(pause)
                except OSError:
                    return

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        ended.set()
        thread.join()


def test_an_answer_that_drips_is_ended_in_time() -> None:
    began = time.monotonic()
    drip = speaking(b"HTTP/1.1 200 OK\r\n", b"X-More: a\r\n", pause=0.1)
    with drip as url, pytest.raises(DeliveryFailed):
        HOOK.send(Message(url=url, seconds=0.6))
    assert time.monotonic() - began < 3


def test_an_endless_body_is_not_read() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000, pause=0.01) as url:
        HOOK.send(Message(url=url, seconds=5))


@pytest.mark.parametrize("answer", [b"\x00\xff" * 50, b"HTTP/9 abc\r\n\r\n", b"HTTP/1.1 99999\r\n"])
def test_what_is_not_http_is_a_failure(answer: bytes) -> None:
    with speaking(answer, b"\r\n\r\n", pause=0.05) as url, pytest.raises(DeliveryFailed):
        HOOK.send(Message(url=url, seconds=1))
