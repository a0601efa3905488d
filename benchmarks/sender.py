"""Clients that cost little: a process each, a socket kept open, a body that is there already."""

import multiprocessing
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.instances import Template

BOUNDARY = "benchmark-boundary-5b2f"
PART = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()
Instance = tuple[int, int]  # study, number in it
TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where instances are sent to, one a request."""

    name: str
    host: str
    port: int
    path: str
    is_multipart: bool
    answers: int = 200  # to each instance; 202 where it waits for the EHR

    def template(self) -> Template:
        return Template(PART, END) if self.is_multipart else Template()

    def head(self, length: int) -> bytes:
        content_type = "application/dicom"
        if self.is_multipart:
            content_type = f'multipart/related; type="{content_type}"; boundary={BOUNDARY}'
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Accept: */*\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


class Connection:
    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, head: bytes, body: bytearray | bytes = b"") -> None:
        sent = self.socket.sendmsg([head, body])
        if sent < len(head) + len(body):
            self.socket.sendall(memoryview(body)[sent - len(head) :])

    def receive(self) -> tuple[int, bytes]:
        """Status and body of the answer, which has a Content-Length."""
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self.more()
        head, body = received[:end], bytearray(received[end + 4 :])
        length = content_length(head)
        while len(body) < length:
            body += self.more()
        return int(head[9:12]), bytes(body)

    def more(self) -> bytes:
        chunk = self.socket.recv(256 * 1024)
        if not chunk:
            raise ConnectionError("The server closed the connection.")
        return chunk

    def get(self, path: str, host: str) -> bytes:
        self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode())
        status, body = self.receive()
        if status != 200:
            raise ValueError(f"{path} was answered {status}: {body[:300]!r}")
        return body

    def post(self, path: str, host: str, content_type: str, body: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.send(head.encode(), body)
        status, answer = self.receive()
        if status not in (200, 201):
            raise ValueError(f"{path} was answered {status}: {answer[:300]!r}")
        return answer

    def close(self) -> None:
        self.socket.close()


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("The answer has no Content-Length.")


def send_all(door: Door, instances: Sequence[Instance], clients: int) -> float:
    """Send the instances, each client every n-th; seconds from the first byte to the last answer.

    The processes are there, and their bodies too, before the clock starts.
    """
    context = multiprocessing.get_context("fork")  # they have all that this process has loaded
    template = door.template()
    ready, failures = context.Barrier(clients + 1), context.SimpleQueue()
    processes = [
        context.Process(
            target=client, args=(door, template, instances[n::clients], ready, failures)
        )
        for n in range(clients)
    ]
    for process in processes:
        process.start()
    ready.wait(TIMEOUT_SECONDS)
    started = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - started
    if not failures.empty():
        raise RuntimeError(failures.get())
    if any(process.exitcode for process in processes):
        raise RuntimeError("A client died.")
    return seconds


def client(door: Door, template: Template, instances: Sequence[Instance], ready, failures) -> None:  # type: ignore[no-untyped-def]
    connection = Connection(door.host, door.port)
    head = door.head(len(template.body))
    ready.wait(TIMEOUT_SECONDS)
    for study, number in instances:
        connection.send(head, template.set(study, number))
        status, body = connection.receive()
        if status != door.answers:
            failures.put(f"{door.name}: {status}: {body[:500]!r}")
            return
    connection.close()


def numbered(first_study: int, count: int, per_study: int) -> list[Instance]:
    return [(first_study + n // per_study, n % per_study) for n in range(count)]


def studies_of(instances: Sequence[Instance]) -> Iterator[int]:
    return iter(sorted({study for study, _ in instances}))
