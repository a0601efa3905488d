"""The progress of a long ingest: how far, how fast, how long it will take."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from imaging_fhir.services.backload import FileResult


def ingest_progress(paths: Iterable[Path], results: Iterable[FileResult]) -> Iterator[FileResult]:
    """The results as they come, with a bar on standard error where that is a terminal."""
    with Progress(
        TextColumn("{task.fields[images]} images"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("ingest", total=total_size(paths), images=0)
        images = 0
        for result in results:
            images += len(result.outcomes)
            progress.update(task, advance=result.size, images=images)
            yield result


def total_size(paths: Iterable[Path]) -> int:
    """Bytes below the paths; what cannot be looked at counts for nothing."""
    return sum(size_of(file) for path in paths for file in files_below(path))


def files_below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
