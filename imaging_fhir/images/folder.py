"""The image files of folders and discs (PS3.10 8 and PS3.12)."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from imaging_fhir.errors import InvalidRequest

HEAD_LENGTH = 4096
JUNK_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini"})

# MediaStorageSOPClassUID (0002,0002): Media Storage Directory Storage
_DIRECTORY_CLASS = re.compile(rb"\x02\0\x02\0UI..1\.2\.840\.10008\.1\.3\.10(?![.\d])", re.DOTALL)


def is_dicomdir(head: bytes) -> bool:
    """A DICOMDIR, told by content: it lists a disc's files and is itself no image."""
    return head[128:132] == b"DICM" and bool(_DIRECTORY_CLASS.search(head, 132, 1024))


def is_junk(path: PurePath) -> bool:
    """Hidden, or left there by an operating system."""
    return any(part.startswith(".") or part.casefold() in JUNK_NAMES for part in path.parts)


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Each named file, and in the order of their names the files in each named folder.

    No link leads out of its folder; hidden files, junk and a DICOMDIR are left out, but a
    DICOMDIR that is named stands for its folder. What cannot be opened is among them, so that
    whoever opens it can say so. Raise InvalidRequest for a path that is not there.
    """
    for path in paths:
        if not path.exists():
            raise InvalidRequest(f"There is no file or folder {path}.")
        if path.is_dir():
            yield from _files_in(path)
        elif is_dicomdir(_head(path)):
            yield from _files_in(path.parent)
        else:
            yield path


def _files_in(root: Path) -> Iterator[Path]:
    inside = root.resolve()
    unreadable: list[Path] = []
    for folder, folders, names in os.walk(
        root, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        folders[:] = sorted(name for name in folders if not is_junk(PurePath(name)))
        for name in sorted(names):
            path = Path(folder, name)
            if not is_junk(PurePath(name)) and _is_file_inside(path, inside):
                yield from () if is_dicomdir(_head(path)) else (path,)
    yield from sorted(unreadable)


def _is_file_inside(path: Path, inside: Path) -> bool:
    return path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(inside))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_LENGTH)
    except OSError:  # whoever opens it to read it all will say so
        return b""
