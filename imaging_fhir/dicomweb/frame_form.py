"""In which form frames are sent (PS3.18 8.7.3.3, 10.4.1.1.6): what is accepted, best first."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from imaging_fhir.dicomweb.media_type import (
    AS_STORED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    FRAME_TYPES,
    OCTET_STREAM,
    MediaRange,
)

OCTET_RANGES = (OCTET_STREAM, "application/*", "*/*")
MADE = {  # the transfer syntax that frames of a type are compressed in, where they are not so yet
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameForm:
    """Alone or in parts, the type of each, and the transfer syntax of its bytes."""

    is_multipart: bool
    media_type: str
    transfer_syntax: str

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


def frame_forms(
    ranges: tuple[MediaRange, ...], stored: str, *, single: bool
) -> Iterator[FrameForm]:
    """What is accepted of frames that are stored so, best first; as stored before all else of the
    same quality.

    `stored` is Explicit VR Little Endian for all that is not compressed. Without a transfer syntax
    octets are uncompressed, and an image type stands for what is stored in it.
    """
    for _, alike in groupby(ranges, key=lambda one: one.quality):
        found = [form for one in alike for form in forms(one, stored, single=single)]
        yield from sorted(found, key=lambda form: form.transfer_syntax != stored)
    if any(one.media_type == "*/*" for one in ranges):
        yield FrameForm(is_multipart=True, media_type=own_type(stored), transfer_syntax=stored)


def forms(accepted: MediaRange, stored: str, *, single: bool) -> Iterator[FrameForm]:
    is_multipart = accepted.is_multipart or accepted.media_type == "*/*"
    if not (is_multipart or single):
        return
    for media_type, syntax in contents(accepted, stored):
        yield FrameForm(is_multipart=is_multipart, media_type=media_type, transfer_syntax=syntax)


def contents(accepted: MediaRange, stored: str) -> Iterator[tuple[str, str]]:
    media_type, asked = accepted.media_type, accepted.transfer_syntax
    if media_type in OCTET_RANGES:
        wanted = asked or EXPLICIT_VR_LITTLE_ENDIAN
        yield OCTET_STREAM, stored if wanted == AS_STORED else wanted
        return
    own = own_type(stored)
    if media_type in (own, own.partition("/")[0] + "/*") and asked in (None, AS_STORED, stored):
        yield own, stored
    elif media_type in MADE and asked in (None, MADE[media_type]):
        yield media_type, MADE[media_type]


def own_type(stored: str) -> str:
    return FRAME_TYPES.get(stored, OCTET_STREAM)
