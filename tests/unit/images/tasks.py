"""What the children of test_decode do; a module that imports little, as each child imports it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imaging_fhir.errors import ResourceNotFound, UnsupportedImage
from imaging_fhir.images.decode import MIB


@dataclass(frozen=True)
class Answer:
    text: str
    number: int


def reads(stream: BinaryIO, number: int) -> Answer:
    return Answer(text=stream.read(10).decode(), number=number)


def length(stream: BinaryIO) -> int:
    return len(stream.read())


def fails(stream: BinaryIO) -> int:
    raise KeyError(stream.read(3))


def refuses(stream: BinaryIO, is_missing: bool) -> int:
    if is_missing:
        raise ResourceNotFound("There is no such frame.")
    raise UnsupportedImage("There is no picture.")


def allocates(stream: BinaryIO, mebibytes: int) -> int:
    return len(bytearray(mebibytes * MIB))


def computes(stream: BinaryIO) -> int:
    while True:
        pass


def sleeps(stream: BinaryIO, seconds: float) -> int:
    time.sleep(seconds)
    return 0


def crashes(stream: BinaryIO) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def leaves(stream: BinaryIO) -> int:
    os._exit(3)


def writes(stream: BinaryIO, path: str) -> int:
    return Path(path).write_bytes(b"content")


def opens_many(stream: BinaryIO) -> int:
    files = [open(os.devnull) for _ in range(100)]  # noqa: SIM115
    return len(files)


def answers_much(stream: BinaryIO, mebibytes: int) -> bytes:
    return bytes(mebibytes * MIB)


def answers_otherwise(stream: BinaryIO) -> int:
    return "no number"  # type: ignore[return-value]


def environment(stream: BinaryIO) -> dict[str, str]:
    return dict(os.environ)


def process(stream: BinaryIO) -> int:
    time.sleep(0.05)
    return os.getpid()
