"""A ZIP archive of files, written as it is sent: no more than a chunk of it is held."""

from collections.abc import Iterable, Iterator
from zipfile import ZIP_STORED, ZipFile, ZipInfo

NO_DATE = (1980, 1, 1, 0, 0, 0)  # the same archive whenever it is asked for


class Written:
    """What has been written and not yet sent; it has no positions, which ZipFile then does without.

    Sizes and checksums follow each file (data descriptors, APPNOTE.TXT 4.3.9).
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is behind it."""

    def close(self) -> None:
        """Nothing was opened."""

    def taken(self) -> bytes:
        content = b"".join(self.pieces)
        self.pieces.clear()
        return content


def zip_archive(files: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """The files by their names, uncompressed and of any size (ZIP64).

    An error of a file is raised as it is, and the archive has no end then.
    """
    written = Written()
    archive = ZipFile(written, "w", ZIP_STORED)
    for name, chunks in files:
        entry = archive.open(ZipInfo(name, NO_DATE), "w", force_zip64=True)
        for chunk in chunks:
            entry.write(chunk)
            yield written.taken()
        entry.close()
        yield written.taken()
    archive.close()
    yield written.taken()
