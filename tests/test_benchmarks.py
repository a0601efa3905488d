"""The benchmarks run; how fast is for `make bench` to say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.dimse import has_storescu

ROOT = Path(__file__).resolve().parent.parent


def may_be_nothing(measured: dict[str, Any]) -> bool:
    """Of so few: what memory grows by, differences, and processor time, counted in hundredths."""
    name = measured["name"]
    return measured["unit"] == "MB" or "more than" in name or "processor" in name


@pytest.mark.timeout(900)
def test_every_benchmark_runs() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    assert all(one["median"] > 0 for one in results if not may_be_nothing(one))
    names = " ".join(one["name"] for one in results)
    for part in ("STOW-RS", "$import-image", "in a study of", "imaging-fhir ingest"):
        assert f"{part}" in names
    assert ("C-STORE, associations: 4" in names) == has_storescu()
    for part in (
        "read of a Patient",
        "rendered, cold",
        "studies by PatientID",
        "search by identifier",
        "away / up",
        "sustained",
    ):
        assert f"{part}" in names
    for part in ("patient= and _include", "Patient/$everything", "transaction of 10"):
        assert f"SQLite: {part}" in names
