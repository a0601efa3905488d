"""The benchmarks run; how fast is for `make bench` to say."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.dimse import has_storescu

ROOT = Path(__file__).resolve().parent.parent


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
    assert all(one["median"] > 0 for one in results)
    names = " ".join(one["name"] for one in results)
    for part in ("STOW-RS", "$import-image", "in a study of", "imaging-fhir ingest"):
        assert f"{part}" in names
    assert ("C-STORE, associations: 4" in names) == has_storescu()
    for part in (
        "read of a Patient",
        "rendered, cold",
        "search by identifier",
        "away / up",
        "sustained",
    ):
        assert f"{part}" in names
    for part in ("patient= and _include", "Patient/$everything", "transaction of 10"):
        assert f"SQLite: {part}" in names
