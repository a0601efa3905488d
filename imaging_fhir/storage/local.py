"""A file that is looked at where it is, and kept nowhere."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from imaging_fhir.model.blob import Blob


@dataclass(frozen=True)
class LocalFile:
    """Stands in for staged bytes where nothing is to be stored: for a dry run."""

    file: Path

    @cached_property
    def sha256(self) -> str:
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @cached_property
    def size(self) -> int:
        return self.file.stat().st_size

    def open(self) -> BinaryIO:
        return self.file.open("rb")

    def path(self) -> Path:
        return self.file

    def place(self, generation: int) -> Blob:
        return Blob(sha256=self.sha256, size=self.size, generation=generation)
