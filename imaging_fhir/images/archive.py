"""The members of a ZIP archive (APPNOTE 6.3.10), none of whose claims is believed."""

import io
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from imaging_fhir.errors import ImagingError, UnreadableImage, UnsupportedImage, UploadTooLarge
from imaging_fhir.images.folder import HEAD_LENGTH, is_dicomdir, is_junk

MIB = 1024 * 1024
GIB = 1024 * MIB
ZIP_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA may ask for gigabytes of memory
ENCRYPTED = 0x1  # general purpose bit flag
DIRECTORY_BYTES_PER_ENTRY = 256  # a name of 200 letters
LOCAL_HEADER_LENGTH = 30  # without the name
NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """What one archive may unpack to, with the archives in it."""

    entries: int = 50_000
    member_bytes: int = 8 * GIB
    total_bytes: int = 64 * GIB
    ratio: int = 200  # unpacked to packed, of a member larger than the next line
    ratio_free_bytes: int = 64 * MIB
    depth: int = 2  # archives in archives; 0 is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in an archive."""

    name: str  # as the archive says it, for whoever sent it: never a path to open or to write
    open: Callable[[], BinaryIO]  # a stream that cannot seek; it and its `read` raise ImagingError


@dataclass(slots=True)
class _Budget:
    """What is left of the limits, over all archives in one."""

    entries: int
    total_bytes: int


def is_archive(head: bytes) -> bool:
    return head.startswith(ZIP_BEGINNINGS)


def members(stream: BinaryIO, *, limits: ArchiveLimits | None = None) -> Iterator[Member]:
    """The files in the archive and in the archives in it, in the archive's order.

    A member is open to read only until the next one is asked for. One that is encrypted, a link,
    packed in an unusual way or beyond a limit raises when it is opened or read, and the others
    are unharmed. Folders, junk and a DICOMDIR are left out. Raise UnreadableImage for a damaged
    archive, UploadTooLarge for one with too many entries.
    """
    limits = limits or ArchiveLimits()
    budget = _Budget(limits.entries, limits.total_bytes)
    yield from _members(stream, "", limits.depth, limits, budget)


def _members(
    stream: BinaryIO, prefix: str, depth: int, limits: ArchiveLimits, budget: _Budget
) -> Iterator[Member]:
    with _archive(stream, budget) as archive:
        overlapping = _overlapping(archive)
        for entry in archive.infolist():
            if entry.is_dir() or is_junk(PurePosixPath(_name(entry))):
                continue
            member = _member(
                archive, entry, prefix, entry.header_offset in overlapping, limits, budget
            )
            head = _head(member)
            if is_archive(head):
                yield from _nested(member, depth, limits, budget)
            elif not is_dicomdir(head):
                yield member


def _archive(stream: BinaryIO, budget: _Budget) -> zipfile.ZipFile:
    """The opened archive, whose directory was never read when it is absurdly long."""
    try:
        archive = zipfile.ZipFile(_ShortReads(stream, budget.entries * DIRECTORY_BYTES_PER_ENTRY))
    except ImagingError:
        raise
    except Exception as error:  # damaged bytes raise BadZipFile, struct.error, OSError, ...
        raise UnreadableImage("The ZIP archive is damaged.") from error
    budget.entries -= len(archive.infolist())
    if budget.entries < 0:
        raise _too_many_entries()
    return archive


def _too_many_entries() -> UploadTooLarge:
    return UploadTooLarge("The ZIP archive has more entries than allowed.")


def _overlapping(archive: zipfile.ZipFile) -> frozenset[int]:
    """Where entries begin that share bytes: how a small archive unpacks to terabytes."""
    found: set[int] = set()
    end, previous = 0, -1
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            found |= {entry.header_offset, previous}
        end = max(end, entry.header_offset + LOCAL_HEADER_LENGTH + entry.compress_size)
        previous = entry.header_offset
    return frozenset(found)


def _member(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    prefix: str,
    overlaps: bool,
    limits: ArchiveLimits,
    budget: _Budget,
) -> Member:
    def open_() -> BinaryIO:
        fault = _fault(entry, overlaps, limits)
        if fault:
            raise fault
        return io.BufferedReader(_MemberStream(_open(archive, entry), entry, limits, budget))

    return Member(name=prefix + _name(entry), open=open_)


def _open(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(entry)
    except Exception as error:  # a local header that is damaged raises much
        raise UnreadableImage("The archive's entry is damaged.") from error


def _fault(entry: zipfile.ZipInfo, overlaps: bool, limits: ArchiveLimits) -> ImagingError | None:
    """Why the entry is not opened at all."""
    if entry.flag_bits & ENCRYPTED:
        return UnsupportedImage("The archive's entry is encrypted.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return UnsupportedImage("The archive's entry is a link, not a file.")
    if entry.compress_type not in METHODS:
        return UnsupportedImage("The archive's entry is packed in a way that is not supported.")
    if overlaps:
        return UnreadableImage("The archive's entry shares its bytes with another entry.")
    if entry.file_size > limits.member_bytes:
        return UploadTooLarge("The archive's entry is larger than allowed.")
    return None


def _nested(member: Member, depth: int, limits: ArchiveLimits, budget: _Budget) -> Iterator[Member]:
    """The members of an archive that is a member; its own fault is that member's."""
    if depth == 0:
        yield _faulty(member.name, UnsupportedImage("Archives are nested deeper than allowed."))
        return
    with tempfile.TemporaryFile() as copy:
        try:
            with member.open() as stream:
                shutil.copyfileobj(stream, copy)
            yield from _members(copy, f"{member.name}/", depth - 1, limits, budget)
        except ImagingError as error:
            yield _faulty(member.name, error)


def _faulty(name: str, error: ImagingError) -> Member:
    def open_() -> BinaryIO:
        raise error

    return Member(name=name, open=open_)


def _head(member: Member) -> bytes:
    try:
        with member.open() as stream:
            return stream.read(HEAD_LENGTH)
    except ImagingError:  # raised again to whoever opens the member
        return b""


def _name(entry: zipfile.ZipInfo) -> str:
    """The entry's name without what could mislead a path, a terminal or a page."""
    text = "".join(c for c in entry.filename.replace("\\", "/") if c.isprintable())
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[-NAME_LENGTH:] or "unnamed"


class _MemberStream(io.RawIOBase):
    """An entry's bytes as they are unpacked, counted against the limits."""

    def __init__(
        self, stream: IO[bytes], entry: zipfile.ZipInfo, limits: ArchiveLimits, budget: _Budget
    ) -> None:
        self.stream = stream
        self.budget = budget
        by_ratio = max(entry.compress_size * limits.ratio, limits.ratio_free_bytes)
        self.left = min(limits.member_bytes, by_ratio)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader's own
        content = self._unpacked(len(buffer))
        self.left -= len(content)
        self.budget.total_bytes -= len(content)
        if self.left < 0:
            raise UploadTooLarge("The archive's entry unpacks to more than allowed.")
        if self.budget.total_bytes < 0:
            raise UploadTooLarge("The archive unpacks to more than allowed.")
        buffer[: len(content)] = content
        return len(content)

    def _unpacked(self, length: int) -> bytes:
        try:
            return self.stream.read(length)
        except Exception as error:  # damaged bytes raise BadZipFile, zlib.error, EOFError, ...
            raise UnreadableImage("The archive's entry is damaged.") from error

    def close(self) -> None:
        self.stream.close()
        super().close()


class _ShortReads(io.BufferedIOBase):
    """A stream of which no more than `longest` bytes are read at once.

    zipfile reads an archive's directory in one go, whatever length the archive gives it.
    """

    def __init__(self, stream: BinaryIO, longest: int) -> None:
        self.stream = stream
        self.longest = max(longest, MIB)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.longest:
            raise _too_many_entries()
        return self.stream.read(self.longest if size is None or size < 0 else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
