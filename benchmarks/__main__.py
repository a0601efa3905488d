"""python -m benchmarks [--smoke | --long] [--json] [PART ...]

Parts: ingest, dimse, growth, folder, reads, authorised, rendering, dicomweb, search, fhir, ehr,
sustained; all but the last by default. It takes 20,000 instances (10 GB of disk for each server,
removed afterwards) and comes with --long.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks import (
    authorised,
    dicomweb,
    dimse,
    ehr,
    fhir_scale,
    ingest,
    reads,
    rendering,
    search_growth,
)
from benchmarks.report import Measured, as_json, as_line, as_table

Part = Callable[[Path], Iterable[Measured]]
PARTS: dict[str, Part] = {
    "ingest": lambda root: ingest.compared(root, count=2_000, burst=600, rounds=3),
    "dimse": lambda root: dimse.compared(root, count=400, rounds=3),
    "growth": lambda root: ingest.growth(root, sizes=(100, 1_000, 10_000), rounds=10),
    "folder": lambda root: ingest.from_folder(root, count=600),
    "reads": lambda root: reads.reads(root, instances=1_000, seconds=5, rounds=3),
    "authorised": lambda root: authorised.results(root, reads=2_000, seconds=5, rounds=5),
    "rendering": lambda root: rendering.compared(root, count=100, rounds=3),
    "dicomweb": lambda root: dicomweb.results(
        root, instances=1_000, large=5_000, patients=25, rounds=3
    ),
    "search": lambda root: search_growth.results(root, (1_000, 10_000, 100_000)),
    "fhir": lambda root: fhir_scale.results(
        root, sizes=(1_000, 100_000), seconds=1, rounds=3, entries=1_000
    ),
    "ehr": lambda root: ehr.results(root, look_ups=1_000, burst=400, rounds=5),
}
LONG: dict[str, Part] = {"sustained": lambda root: ingest.sustained(root, count=20_000)}
SMOKE: dict[str, Part] = {
    "ingest": lambda root: ingest.compared(root, count=8, burst=4, rounds=1),
    "dimse": lambda root: dimse.compared(root, count=8, rounds=1),
    "growth": lambda root: ingest.growth(root, sizes=(8, 16), rounds=1),
    "folder": lambda root: ingest.from_folder(root, count=4),
    "reads": lambda root: reads.reads(root, instances=4, seconds=0.2, rounds=1),
    "authorised": lambda root: authorised.results(root, reads=20, seconds=0.2, rounds=1),
    "rendering": lambda root: rendering.compared(root, count=2, rounds=1),
    "dicomweb": lambda root: dicomweb.results(root, instances=4, large=6, patients=3, rounds=1),
    "search": lambda root: search_growth.results(root, (1_000,)),
    "fhir": lambda root: fhir_scale.results(root, sizes=(50,), seconds=0.05, rounds=1, entries=10),
    "ehr": lambda root: ehr.results(root, look_ups=5, burst=10, rounds=1),
    "sustained": lambda root: ingest.sustained(root, count=8),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *SMOKE], metavar="PART")
    parser.add_argument("--smoke", action="store_true", help="only see that everything runs")
    parser.add_argument("--long", action="store_true", help="the sustained run too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    known = SMOKE if given.smoke else PARTS | LONG
    chosen = given.parts or (PARTS | LONG if given.long else SMOKE if given.smoke else PARTS)
    results = list(measured(known, chosen))
    print(as_json(results) if given.json else as_table(results))


def measured(known: dict[str, Part], chosen: Iterable[str]) -> Iterator[Measured]:
    for name in chosen:
        print(f"{name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="imaging-fhir-benchmark-") as folder:
            for one in known[name](Path(folder)):
                print(as_line(one), file=sys.stderr, flush=True)  # kept, should a later one fail
                yield one


if __name__ == "__main__":
    main(sys.argv[1:])
