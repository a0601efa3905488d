"""The children that decode: what ends them, and that nothing of it reaches the server."""

import gc
import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imaging_fhir.errors import ResourceNotFound, UnreadableImage, UnsupportedImage
from imaging_fhir.images.decode import MIB, DecodeLimits, DecodingEnded, run_limited, start_decoding
from tests.unit.images.tasks import (
    Answer,
    allocates,
    answers_much,
    answers_otherwise,
    computes,
    crashes,
    environment,
    fails,
    leaves,
    length,
    opens_many,
    process,
    reads,
    refuses,
    sleeps,
    writes,
)

CONTENT = b"0123456789" * 1000


def test_an_answer_comes_back_as_the_type_it_was() -> None:
    assert run_limited(reads, CONTENT, 7) == Answer(text="0123456789", number=7)


def test_each_call_has_a_process_of_its_own() -> None:
    found = {run_limited(process, b"") for _ in range(3)}
    assert len(found) == 3
    assert os.getpid() not in found


def test_a_file_is_read_by_path_stream_or_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with path.open("rb") as stream, path.open("rb", buffering=0) as raw:
        for source in (path, stream, raw, CONTENT, io.BytesIO(CONTENT)):
            assert run_limited(length, source) == len(CONTENT)


@pytest.mark.parametrize("position", [0, 5, 9995])
def test_a_stream_is_read_from_its_beginning_and_left_where_it_was(
    tmp_path: Path, position: int
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with (tmp_path / "file").open("rb") as file:
        for stream in (file, io.BytesIO(CONTENT)):
            stream.seek(position)
            assert run_limited(length, stream) == len(CONTENT)
            assert stream.read() == CONTENT[position:]


def test_what_was_written_just_now_is_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as stream:
        stream.write(CONTENT)
        assert run_limited(length, stream) == len(CONTENT)


def test_an_exception_is_a_damaged_image() -> None:
    with pytest.raises(UnreadableImage, match=r"damaged \(KeyError\)"):
        run_limited(fails, CONTENT)


def test_a_refusal_keeps_its_class_and_its_words() -> None:
    with pytest.raises(UnsupportedImage, match=r"^There is no picture\.$"):
        run_limited(refuses, b"", False)
    with pytest.raises(ResourceNotFound, match=r"^There is no such frame\.$"):
        run_limited(refuses, b"", True)


def test_memory_is_limited() -> None:
    limits = DecodeLimits(memory_bytes=100 * MIB)
    assert run_limited(allocates, b"", 50, limits=limits) == 50 * MIB
    with pytest.raises(UnreadableImage, match="more memory than allowed"):
        run_limited(allocates, b"", 150, limits=limits)


def test_processor_time_is_limited() -> None:
    with pytest.raises(UnreadableImage, match="1 s of processor time") as caught:
        run_limited(computes, b"", limits=DecodeLimits(cpu_seconds=1))
    assert not isinstance(caught.value, DecodingEnded)


def test_time_is_limited() -> None:
    started = time.monotonic()
    with pytest.raises(DecodingEnded, match="not decoded within 1 s"):  # a busy machine, perhaps
        run_limited(sleeps, b"", 60, limits=DecodeLimits(seconds=1))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("function", [crashes, leaves])
def test_a_death_is_an_error_of_that_file_alone(function: object) -> None:
    with pytest.raises(UnreadableImage, match="crashed its decoder"):
        run_limited(function, CONTENT)  # type: ignore[arg-type]
    assert run_limited(length, CONTENT) == len(CONTENT)


def test_a_child_writes_no_file_and_opens_few(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="OSError"):
        run_limited(writes, b"", str(tmp_path / "file"))
    with pytest.raises(UnreadableImage, match="OSError"):
        run_limited(opens_many, b"")


def test_an_answer_is_limited() -> None:
    limits = DecodeLimits(output_bytes=2 * MIB)
    assert len(run_limited(answers_much, b"", 1, limits=limits)) == MIB
    with pytest.raises(UnreadableImage, match="larger than allowed"):
        run_limited(answers_much, b"", 3, limits=limits)


def test_an_answer_of_another_type_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="something else than expected"):
        run_limited(answers_otherwise, b"")


def test_a_child_knows_none_of_the_servers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGING_FHIR_DATABASE_URL", "postgresql://user:secret@host/db")
    names = run_limited(environment, b"")
    assert not any(name.startswith("IMAGING_FHIR") for name in names)
    assert names["OMP_NUM_THREADS"] == "1"


def test_many_threads_decode_at_once_each_getting_its_own_answer() -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: run_limited(reads, CONTENT, n).number, range(40)))
    assert answers == list(range(40))


def test_no_more_than_two_children_work_at_once() -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: run_limited(sleeps, b"", 0.2), range(6)))
    assert time.monotonic() - started >= 0.6


def children_of(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listing.split()]


def wait_for_children_of(pid: int) -> None:
    """Until all have ended but the one that waits for a file, and none is left as a zombie."""
    deadline = time.monotonic() + 10
    while len(children_of(pid)) != 1:
        assert time.monotonic() < deadline, "children are left over"
        time.sleep(0.01)


def decode_servers() -> list[int]:
    return [
        child
        for child in children_of(os.getpid())
        if b"decode_server" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def held(server: int) -> tuple[int, int, int]:
    """Descriptors here and in the idle decode server, and threads here."""
    gc.collect()
    wait_for_children_of(server)
    time.sleep(0.3)  # it closes a child's connection after the child has gone
    return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{server}/fd")), threads()


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_nothing_is_left_over_after_many_calls() -> None:
    run_limited(length, CONTENT)
    (server,) = decode_servers()
    before = held(server)
    for _ in range(25):
        run_limited(length, CONTENT)
        with pytest.raises(UnreadableImage):
            run_limited(crashes, CONTENT)
    assert held(server) == before
    assert decode_servers() == [server]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_decode_server_that_died_is_started_again() -> None:
    start_decoding()
    for _ in range(3):
        (server,) = decode_servers()
        os.kill(server, signal.SIGKILL)
        assert run_limited(length, CONTENT) == len(CONTENT)
        assert decode_servers() != [server]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_child_that_died_while_it_waited_is_replaced() -> None:
    assert run_limited(length, CONTENT) == len(CONTENT)
    (server,) = decode_servers()
    for _ in range(3):
        wait_for_children_of(server)
        (waiting,) = children_of(server)
        os.kill(waiting, signal.SIGKILL)
        assert is_gone(waiting)
        assert run_limited(length, CONTENT) == len(CONTENT)
    assert decode_servers() == [server]


SCRIPT = """
import os, sys, time
from imaging_fhir.images.decode import run_limited
from tests.unit.images.tasks import length
from tests.unit.images.test_decode import decode_servers
assert run_limited(length, b"12345") == 5
print(decode_servers()[0], flush=True)
child = os.fork()
if child == 0:
    assert run_limited(length, b"123") == 3  # a decode server of its own
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert run_limited(length, b"1234") == 4
if sys.argv[1:] == ["wait"]:
    time.sleep(60)
"""


def run_script(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The script as a program of its own, one that must not run a second time in a child."""
    path = tmp_path / "program"
    path.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "error", str(path), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_program_decodes_also_after_a_fork_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with run_script(tmp_path) as program:
        output, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert is_gone(int(output))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_the_decode_server_ends_with_a_program_that_was_killed(tmp_path: Path) -> None:
    with run_script(tmp_path, "wait") as program:
        assert program.stdout is not None
        server = int(program.stdout.readline())
        wait_for_children_of(server)
        (waiting,) = children_of(server)
        program.kill()
    assert is_gone(server)
    assert is_gone(waiting)
