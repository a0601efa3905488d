"""The servers that the tests talk to, for the time of one command:

    python tests/services.py [--in-memory] pytest -n 2

PostgreSQL, Redis and a server of S3's protocol start on free ports in a temporary folder, the
command finds them by IMAGING_FHIR_TEST_* variables, and they stop when it ends, however it ends.
With --in-memory all temporary files are in memory where that is large: a sync takes no time there.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
NODE_MODULES = ROOT / ".venv/node/node_modules"
START_SECONDS = 60
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of its own is made there)
ENOUGH_BYTES = 8 * 1024**3


def main(command: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    place = None
    if command[:1] == ["--in-memory"]:
        place, command = memory(), command[1:]
    with ExitStack() as stack:
        home = tempfile.TemporaryDirectory(prefix="imaging-fhir-", dir=place)
        folder = Path(stack.enter_context(home))
        folder.chmod(0o755)  # PostgreSQL's user must pass through
        environment = {
            "TMPDIR": str(folder if place else tempfile.gettempdir()),
            "IMAGING_FHIR_TEST_POSTGRESQL_URL": stack.enter_context(postgresql(folder)),
            "IMAGING_FHIR_TEST_REDIS_URL": stack.enter_context(redis(folder)),
            "IMAGING_FHIR_TEST_S3_URL": stack.enter_context(s3(folder)),
            "IMAGING_FHIR_TEST_NEWMAN": str(NODE_MODULES / ".bin/newman"),
            "IMAGING_FHIR_TEST_NODE_MODULES": str(NODE_MODULES),
            "IMAGING_FHIR_TEST_CHROMIUM": shutil.which("chromium") or "",
        }
        return run(command, os.environ | environment)


def memory() -> Path | None:
    """A file system in memory; None where there is little of it."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES
    return MEMORY if has_room and total >= 2 * ENOUGH_BYTES else None


def interrupt(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def run(command: list[str], environment: Mapping[str, str]) -> int:
    """Ctrl-C reaches the command by itself, and its last words are worth waiting for."""
    process = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return process.wait()
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """SIGINT is PostgreSQL's "fast" shutdown; Redis and pytest end tidily on it too."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def server(
    name: str, command: list[str], log: Path, *, user: str | None, ready: Callable[[], bool]
) -> Iterator[None]:
    """A server in a session of its own, so that Ctrl-C reaches the tests before it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, user=user, stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_until(ready, process, name, log)
            yield
        finally:
            stop(process)


def wait_until(
    ready: Callable[[], bool], process: "subprocess.Popen[bytes]", name: str, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{name} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A cluster that no power cut will be asked to survive: nothing of it is synced."""
    programs, user, port = postgresql_programs(), unprivileged_user("postgres"), free_port()
    home = folder / "postgresql"
    home.mkdir()
    if user:
        shutil.chown(home, user)
    data = str(home / "data")
    initdb = [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust"]
    options = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    subprocess.run([*initdb, *options], user=user, cwd=home, check=True, stdout=subprocess.DEVNULL)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(home),
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "200",
    }
    command = [str(programs / "postgres"), "-D", data]
    command += [f"--{name}={value}" for name, value in settings.items()]
    is_ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]

    def ready() -> bool:
        return subprocess.run(is_ready, check=False).returncode == 0

    with server("PostgreSQL", command, folder / "postgresql.log", user=user, ready=ready):
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


def postgresql_programs() -> Path:
    """Debian keeps PostgreSQL's programs off the path, one folder a version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=str)
    on_path = shutil.which("initdb")
    if not found and not on_path:
        sys.exit("PostgreSQL is not installed: `make test` installs it.")
    return found[-1].parent if found else Path(on_path or "").parent


def unprivileged_user(name: str) -> str | None:
    """PostgreSQL refuses to run as root; its package brings a user for it."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam(name).pw_name


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--databases", "64"]
    with server(
        "Redis", command, folder / "redis.log", user=None, ready=lambda: is_listening(port)
    ):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """Moto: a stand-in that speaks S3 and keeps its objects in memory."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1"]
    command += ["-p", str(port)]
    with server("Moto", command, folder / "moto.log", user=None, ready=lambda: is_listening(port)):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
