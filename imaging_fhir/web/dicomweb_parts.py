"""A body of metadata and bulk data (PS3.18 10.5.2): read once, what is large put aside on disk."""

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from imaging_fhir.dicomweb.assembly import BulkPart
from imaging_fhir.dicomweb.media_type import DICOM_JSON, DICOM_XML
from imaging_fhir.dicomweb.multipart import Part, split_media_type
from imaging_fhir.dicomweb.xml import from_xml
from imaging_fhir.errors import InvalidRequest, StorageFull, StorageUnavailable, UploadTooLarge
from imaging_fhir.model.codec import decode
from imaging_fhir.model.study import DicomJson

MAX_METADATA = 16 * 1024**2  # bytes of all metadata in a body, which are held in memory
MAX_INSTANCES = 10_000  # that metadata describe
LOCATION = "Content-Location"


def from_json(text: bytes) -> list[DicomJson]:
    """An array of data sets, or one alone."""
    found = decode(text)
    items = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in items):
        raise InvalidRequest("The metadata are no array of data sets in DICOM JSON.")
    if not all(isinstance(element, dict) for one in items for element in one.values()):
        raise InvalidRequest("The metadata have something else than elements.")
    return items


METADATA: Mapping[str, Callable[[bytes], list[DicomJson]]] = {
    DICOM_JSON: from_json,
    DICOM_XML: lambda text: [from_xml(text)],
}


@dataclass(slots=True, kw_only=True)
class Sent:
    """`bulk` is by Content-Location; parts that have one in common are frames, in order."""

    metadata: list[DicomJson] = field(default_factory=list)
    bulk: dict[str, list[BulkPart]] = field(default_factory=dict)


@contextmanager
def put_aside(parts: Iterable[Part], kind: str, *, limit: int) -> Iterator[Sent]:
    """All of the body; its bulk data is in a file that goes with it.

    Raise InvalidRequest for metadata that make no sense, UploadTooLarge, StorageFull.
    """
    with TemporaryFile() as file:
        yield read(parts, kind, cast(BinaryIO, file), limit)


def read(parts: Iterable[Part], kind: str, file: BinaryIO, limit: int) -> Sent:
    sent, left = Sent(), MAX_METADATA
    for part in parts:
        if part.content_type == kind:
            text = whole(part, left)
            left -= len(text)
            sent.metadata += METADATA[kind](text)
            if len(sent.metadata) > MAX_INSTANCES:
                raise UploadTooLarge(f"Metadata may describe at most {MAX_INSTANCES} instances.")
            continue
        location = part.headers.get(LOCATION, "").strip()
        if not location:
            raise InvalidRequest("A part that is no metadata has no Content-Location.")
        sent.bulk.setdefault(location, []).append(written(part, file, limit))
    return sent


def whole(part: Part, limit: int) -> bytes:
    text = bytearray()
    for chunk in part.chunks:
        text += chunk
        if len(text) > limit:
            raise UploadTooLarge(f"All metadata of a body may have {MAX_METADATA} bytes.")
    return bytes(text)


def written(part: Part, file: BinaryIO, limit: int) -> BulkPart:
    start = file.tell()
    try:
        for chunk in part.chunks:
            if file.tell() + len(chunk) > limit:
                raise UploadTooLarge(f"The bulk data of a body may have {limit} bytes.")
            file.write(chunk)
        file.flush()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = StorageFull if full else StorageUnavailable
        raise kind("The bulk data cannot be put aside.") from error
    _, parameters = split_media_type(part.headers.get("Content-Type", ""))
    return BulkPart(
        file=file,
        offset=start,
        size=file.tell() - start,
        media_type=part.content_type,
        transfer_syntax=parameters.get("transfer-syntax"),
    )
