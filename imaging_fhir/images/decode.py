"""Looks into hostile bytes in a child process with limits: one child a file, one file a child.

The children are forked by the decode server (decode_server.py), a process of its own that holds
the decoders and none of this process's memory, environment or descriptors. An answer comes back
as MessagePack of a known type, never as a pickle: a decoder that its input has taken over must
not take over the server as well.
"""

import atexit
import os
import pickle
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar, get_type_hints

import msgspec

from imaging_fhir.errors import (
    DecodingBusy,
    ImagingError,
    ResourceNotFound,
    UnreadableImage,
    UnsupportedImage,
)

T = TypeVar("T")
Source = Path | BinaryIO | bytes

MIB = 1024 * 1024
SIMULTANEOUS_CHILDREN = 2
START_SECONDS = 60  # the decode server imports its libraries once
ENDING_SECONDS = 0.2
MESSAGE_LENGTH = 500
MAY_BE_THE_MACHINE = {
    -signal.SIGALRM,
    -signal.SIGKILL,
}  # exit codes, of the clock and of the kernel
GRACE_SECONDS = 5  # a child ends itself at its time limit; after this it is ended from outside

FRAME = struct.Struct(">cQ")  # kind, length of the payload that follows
ANSWER, DEATH, REFUSAL = b"A", b"D", b"R"
LOST = b"L"  # on no wire: nobody answered
REFUSALS: dict[str, type[ImagingError]] = {
    error.__name__: error for error in (UnreadableImage, UnsupportedImage, ResourceNotFound)
}


class DecodingEnded(UnreadableImage):
    """The child was ended from outside, or on the clock: on a busy machine, of any image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What one child may use; past any of them its file is refused, and no other."""

    memory_bytes: int = 384 * MIB  # on top of what an idle child has mapped
    cpu_seconds: int = 20
    seconds: int = 30  # on the clock
    pixels: int = 100_000_000  # decoded at once; asked by the functions that decode
    output_bytes: int = 32 * MIB


DEFAULT_LIMITS = DecodeLimits()
HEADER_LIMITS = DecodeLimits(cpu_seconds=5, seconds=15)  # to read what a file says of itself


def run_limited(
    function: Callable[..., T],
    source: Source,
    /,
    *args: object,
    limits: DecodeLimits | None = None,
    patience: float | None = None,
) -> T:
    """`function(stream, *args)` in a child, over the whole of `source` from its beginning.

    The function is one of a module, annotated with a return type that msgspec encodes. Raise
    UnreadableImage when it fails, dies or passes a limit (DecodingEnded where another try may go
    well), and its own UnsupportedImage and ResourceNotFound; a stream's position is kept.
    DecodingBusy where no child was free for `patience` seconds; without it one waits.
    """
    limits = limits or DEFAULT_LIMITS
    request = pickle.dumps((function, args, limits))
    with _slot(patience), _descriptor(source) as descriptor:
        kind, payload = _asked(request, descriptor, limits)
    if kind == ANSWER:
        returned: type[T] = get_type_hints(function)["return"]
        return _answer(payload, returned)
    raise _refusal(kind, payload, limits)


@contextmanager
def _slot(patience: float | None) -> Iterator[None]:
    if not _slots.acquire(timeout=patience):
        raise DecodingBusy("All decoders are busy; try again.")
    try:
        yield
    finally:
        _slots.release()


def _asked(request: bytes, descriptor: int, limits: DecodeLimits) -> tuple[bytes, bytes]:
    """Once more where the decode server itself has died: that is no fault of the image."""
    server = _server()
    kind, payload = server.call(request, descriptor, limits)
    if kind == LOST and server.has_ended():
        return _server().call(request, descriptor, limits)
    return kind, payload


def start_decoding() -> None:
    """Start this process's decode server now, so that the first file need not wait for it."""
    _server()


def _answer(payload: bytes, type_: type[T]) -> T:
    try:
        answer = msgspec.msgpack.decode(payload, type=type_)
    except msgspec.DecodeError as error:
        raise UnreadableImage("The image was decoded to something else than expected.") from error
    return answer


def _refusal(kind: bytes, payload: bytes, limits: DecodeLimits) -> ImagingError:
    if kind == DEATH:
        exit_code = int.from_bytes(payload[:4], "big", signed=True)
        ended = DecodingEnded if exit_code in MAY_BE_THE_MACHINE else UnreadableImage
        return ended(_cause_of_death(exit_code, limits))
    if kind == LOST:
        return DecodingEnded(_cause_of_death(-signal.SIGKILL, limits))
    name, _, message = payload[:MESSAGE_LENGTH].decode("utf-8", "replace").partition(":")
    return REFUSALS.get(name, UnreadableImage)(message)


def _cause_of_death(exit_code: int, limits: DecodeLimits) -> str:
    """What the limits say to an exit code (negative: the signal)."""
    return {
        -signal.SIGALRM: f"The image was not decoded within {limits.seconds} s.",
        -signal.SIGXCPU: f"The image needs more than {limits.cpu_seconds} s of processor time.",
        -signal.SIGKILL: "Decoding the image was ended: it used too much time or memory.",
    }.get(exit_code, f"The image crashed its decoder (exit code {exit_code}).")


class _DecodeServer:
    """This process's end of its decode server."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own module, no outside word
                [sys.executable, "-m", f"{__package__}.decode_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # an interrupt at the terminal is for us to handle
            )
        self.control.settimeout(START_SECONDS)
        if self.control.recv(1) != b"r":
            raise ImagingError("The decode server did not start.")

    def call(self, request: bytes, descriptor: int, limits: DecodeLimits) -> tuple[bytes, bytes]:
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(limits.seconds + GRACE_SECONDS)
            try:
                with theirs:
                    socket.send_fds(self.control, [b"c"], [theirs.fileno(), descriptor])
                ours.sendall(len(request).to_bytes(8, "big") + request)
                return _read_frame(ours, limits)
            except (EOFError, OSError):  # closing `ours` ends the child
                return LOST, b""

    def has_ended(self) -> bool:
        try:
            self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        self.control.close()
        self.process.wait()


def _environment() -> dict[str, str]:
    """Where to import from, one thread a library, and none of the server's secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ")
            if name in os.environ}  # fmt: skip
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return (
        kept | threads | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    )


def _read_frame(connection: socket.socket, limits: DecodeLimits) -> tuple[bytes, bytes]:
    kind, length = FRAME.unpack(read_exactly(connection, FRAME.size))
    if length > limits.output_bytes:
        return REFUSAL, b"UnreadableImage:The decoded image is larger than allowed."
    return kind, read_exactly(connection, length)


def read_exactly(connection: socket.socket, length: int) -> bytes:
    """The next `length` bytes; raise EOFError where there are fewer."""
    content = bytearray()
    while len(content) < length:
        part = connection.recv(min(length - len(content), MIB))
        if not part:
            raise EOFError
        content += part
    return bytes(content)


@contextmanager
def _descriptor(source: Source) -> Iterator[int]:
    """A descriptor to read all of `source` from; a plain file is not copied."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file.fileno()
    elif not isinstance(source, bytes) and isinstance(getattr(source, "raw", source), FileIO):
        yield from _lent(source)
    else:
        with tempfile.TemporaryFile() as file:
            _copy(source, file)
            yield file.fileno()


def _lent(stream: BinaryIO) -> Iterator[int]:
    """The stream's own descriptor; the child moves its position, so that is put back."""
    if stream.writable():
        stream.flush()
    descriptor = stream.fileno()
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        yield descriptor
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)


def _copy(source: BinaryIO | bytes, target: BinaryIO) -> None:
    if isinstance(source, bytes):
        target.write(source)
    else:
        position = source.tell()
        source.seek(0)
        shutil.copyfileobj(source, target)
        source.seek(position)
    target.flush()


_slots = threading.BoundedSemaphore(SIMULTANEOUS_CHILDREN)
_starting = threading.Lock()
_servers: dict[int, _DecodeServer] = {}  # by process: a fork needs a server of its own


def _server() -> _DecodeServer:
    with _starting:
        server = _servers.get(os.getpid())
        if server is not None and server.process.poll() is not None:
            server.control.close()
            server = None
        if server is None:
            server = _servers[os.getpid()] = _DecodeServer()
        return server


def _forget_after_fork() -> None:
    """The parent's decode server stays the parent's, and no lock stays taken."""
    global _slots, _starting
    _slots, _starting = threading.BoundedSemaphore(SIMULTANEOUS_CHILDREN), threading.Lock()
    for server in _servers.values():
        server.control.close()


def _stop() -> None:
    server = _servers.pop(os.getpid(), None)
    if server is not None:
        server.close()


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_stop)
