"""The process that forks a limited child for each file to look into (see decode.py).

It has one thread, holds the decoders ready, and ends when the process that started it does. One
child always waits for its file, so that no file waits for a child to be forked.
"""

import gc
import os
import pickle
import resource
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from PIL import Image

from imaging_fhir.images import (  # each child has the decoders loaded
    render,  # noqa: F401
    report_html,  # noqa: F401
    transcode,  # noqa: F401
    warm,
)
from imaging_fhir.images.decode import (
    ANSWER,
    DEATH,
    FRAME,
    MESSAGE_LENGTH,
    REFUSAL,
    REFUSALS,
    DecodeLimits,
    read_exactly,
)

OPEN_FILES = 32


class ChildTable:
    """The children at work, each with the connection its caller waits at."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.exits, wakeup = socket.socketpair()
        self.wakeup = wakeup
        wakeup.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the poll below
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        self.children: dict[int, socket.socket] = {}
        self.spare: tuple[int, socket.socket] | None = None  # a child, and the line to it
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.poll.register(self.exits, select.POLLIN)

    def serve(self) -> None:
        """Until the caller's process has ended."""
        self.spare = self.forked()
        while True:
            ready = {descriptor for descriptor, _ in self.poll.poll()}
            # new children come last: one may get the number of a descriptor closed just now
            self.end_children_of(ready)
            if self.exits.fileno() in ready:
                self.exits.recv(4096)
                self.reap()
            if self.control.fileno() in ready and not self.accept():
                return

    def accept(self) -> bool:
        _, descriptors, _, _ = socket.recv_fds(self.control, 1, 2)
        if not descriptors:
            return False
        connection = socket.socket(fileno=descriptors[0])
        child = self.hand_over(descriptors)
        os.close(descriptors[1])
        self.children[child] = connection
        self.poll.register(connection, 0)  # tells only that the caller has gone
        self.spare = self.forked()
        return True

    def hand_over(self, descriptors: list[int]) -> int:
        """To the child that waits, or to a new one where that has died."""
        while True:
            child, line = self.spare or self.forked()
            self.spare = None
            with line, suppress(OSError):
                socket.send_fds(line, [b"c"], descriptors)
                return child

    def forked(self) -> tuple[int, socket.socket]:
        """A child that waits for a file, and the line over which it gets one."""
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            self.leave()
            wait_for_work(theirs)
        theirs.close()
        return child, ours

    def leave(self) -> None:
        """In a child: nothing of the other children or of the server stays open."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for connection in (self.control, self.exits, self.wakeup, *self.children.values()):
            connection.close()

    def end_children_of(self, gone: set[int]) -> None:
        """Whose caller waits no longer; one that has answered is at its end anyway."""
        for child, connection in self.children.items():
            if connection.fileno() in gone:
                self.poll.unregister(connection)
                os.kill(child, signal.SIGKILL)

    def reap(self) -> None:
        while self.children or self.spare:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            if self.spare and child == self.spare[0]:  # it died while it waited
                self.spare[1].close()
                self.spare = self.forked()
            elif child in self.children:
                with self.children.pop(child) as connection:
                    self.forget(connection)
                    report_death(connection, os.waitstatus_to_exitcode(status))

    def forget(self, connection: socket.socket) -> None:
        try:
            self.poll.unregister(connection)
        except KeyError:  # its caller had gone
            return


def report_death(connection: socket.socket, exit_code: int) -> None:
    """Nobody may be listening, and nothing here waits for them."""
    if exit_code != 0:
        frame = FRAME.pack(DEATH, 4) + exit_code.to_bytes(4, "big", signed=True)
        try:
            connection.send(frame, socket.MSG_DONTWAIT)
        except OSError:
            return


def wait_for_work(line: socket.socket) -> NoReturn:
    """In a child: until its file comes, or the server ends."""
    with line:
        _, descriptors, _, _ = socket.recv_fds(line, 1, 2)
    if len(descriptors) == 2:
        work(socket.socket(fileno=descriptors[0]), descriptors[1])
    os._exit(0)


def work(connection: socket.socket, descriptor: int) -> NoReturn:
    """In a child: one request, one answer, and the end."""
    try:
        length = int.from_bytes(read_exactly(connection, 8), "big")
        function, args, limits = pickle.loads(read_exactly(connection, length))  # noqa: S301 - ours
        confine(limits)
        kind, payload = outcome(function, descriptor, args)
        connection.sendall(FRAME.pack(kind, len(payload)) + payload)
    except BaseException:  # whatever it is, a child never returns into the server's loop
        os._exit(1)
    os._exit(0)


def outcome(
    function: Callable[..., Any], descriptor: int, args: tuple[Any, ...]
) -> tuple[bytes, bytes]:
    try:
        with open(descriptor, "rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream.seek(0)
            return ANSWER, msgspec.msgpack.encode(function(stream, *args))
    except tuple(REFUSALS.values()) as error:
        return refusal(type(error).__name__, str(error))
    except MemoryError:
        return refusal("UnreadableImage", "The image needs more memory than allowed.")
    except Exception as error:  # damaged bytes raise struct.error, OSError, TypeError, ...
        return refusal("UnreadableImage", f"The image is damaged ({type(error).__name__}).")


def refusal(name: str, message: str) -> tuple[bytes, bytes]:
    return REFUSAL, f"{name}:{message}".encode()[:MESSAGE_LENGTH]


def confine(limits: DecodeLimits) -> None:
    """From here on: no files, no core dump, little memory, and the end at the time limit."""
    silence = os.open(os.devnull, os.O_WRONLY)  # decoders in C talk of every fault they find
    os.dup2(silence, sys.stdout.fileno())
    os.dup2(silence, sys.stderr.fileno())
    sys.dont_write_bytecode = True
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    lower(resource.RLIMIT_AS, mapped_bytes() + limits.memory_bytes)
    lower(resource.RLIMIT_CPU, limits.cpu_seconds)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, also inside C
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)


def lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (soft, hard))


def mapped_bytes() -> int:
    """What this process has mapped already: libraries for the most part."""
    statm = Path("/proc/self/statm")
    if not statm.exists():  # no Linux: RLIMIT_AS counts little there
        return 4 * 1024**3
    return int(statm.read_text().split()[0]) * resource.getpagesize()


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    Image.init()  # loads the plug-ins: 30 ms that no child needs to spend
    warm.warm()
    gc.collect()
    gc.freeze()
    gc.disable()  # no child lives long enough to need it
    control.send(b"r")
    table = ChildTable(control)
    table.serve()
    signal.set_wakeup_fd(-1)
    for child in [*table.children, *(table.spare or ())[:1]]:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
