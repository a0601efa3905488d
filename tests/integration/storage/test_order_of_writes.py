"""Acknowledged means durable: file synced, folder synced, commit synced, and then the answer.

The kernel's own view of it, by strace, since a power cut asks nobody else.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imaging_fhir.storage import migrations

UPLOAD = """
import os, sys
from pathlib import Path
from imaging_fhir.storage import blobs, schema
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.folder import FolderBlobStore

database, store = Database(sys.argv[1]), FolderBlobStore(Path(sys.argv[2]))
with store.stage([b"first half, ", b"second half"], limit=100) as staged:
    blobs.keep(database, staged, lambda transaction, pk: pk)
    os.write(1, b"answer")
"""
CALLS = "fsync,fdatasync,sync_file_range,link,linkat,rename,write,pwrite64,pwritev"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def trace(tmp_path: Path) -> list[str]:
    """The calls of an upload in their order, each with the paths of its descriptors."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: `make test` installs it")
    url = f"sqlite:///{tmp_path}/test.db"
    migrations.upgrade(url)
    output = tmp_path / "trace"
    options = ["-f", "-y", "-qq", "-e", f"trace={CALLS}", "-o", str(output)]
    upload = [sys.executable, "-c", UPLOAD, url, str(tmp_path / "blobs")]
    done = subprocess.run(
        [strace, *options, *upload], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "ptrace" in done.stderr.lower():
        pytest.skip("this machine does not let strace look at a process")
    assert done.stdout == "answer", done.stderr
    return [line for line in output.read_text().splitlines() if "resumed>" not in line]


def positions(trace: list[str], pattern: str) -> list[int]:
    return [number for number, line in enumerate(trace) if re.search(pattern, line)]


def test_an_upload_is_synced_step_by_step_before_it_is_answered(trace: list[str]) -> None:
    (placed,) = positions(trace, r"\blink(at)?\(.*incoming.*\.0\".*= 0")
    written = positions(trace, r"\bwrite\(.*/incoming/")
    file_synced = positions(trace, r"\bfsync\(.*/incoming/")
    folder_synced = positions(trace, r"\bfsync\(.*/blobs/[0-9a-f]{2}>")
    (answered,) = positions(trace, r"\bwrite\(1<.*answer")
    logged = [n for n in positions(trace, r"\bpwrite64\(.*test\.db-wal>") if n > placed]
    log_syncs = positions(trace, r"\bf(data)?sync\(.*test\.db-wal>")
    log_synced = [n for n in log_syncs if placed < n < answered]  # closing it syncs once more
    assert len(written) == 2
    assert written[-1] < file_synced[0] < placed
    assert placed < folder_synced[0] < logged[0]
    assert logged[-1] < log_synced[-1]
    assert logged[-1] < answered


def test_the_name_of_a_new_folder_is_synced_too(trace: list[str]) -> None:
    root_synced = positions(trace, r"\bfsync\(.*/blobs>")
    (placed,) = positions(trace, r"\blink(at)?\(.*incoming.*\.0\".*= 0")
    first_try = positions(trace, r"\blink(at)?\(.*incoming.*\.0\".*ENOENT")
    assert [n for n in root_synced if (first_try or [0])[0] < n < placed]
