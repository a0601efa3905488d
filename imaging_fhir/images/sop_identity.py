"""Which SOP Instance the beginning of a data set is of, before the rest of it has arrived."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

from imaging_fhir.errors import ImagingError
from imaging_fhir.images.dicom_stream import LONG_VRS, InflatedStream, SeekableBytes, encoding_found

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
MAX_UID_BYTES = 66
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class SopIdentity:
    """What the data set says of itself; None where it does not, or not so early."""

    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None


def sop_identity(beginning: bytes, *, is_deflated: bool) -> SopIdentity:
    """As far as the first bytes of a data set tell."""
    stream: SeekableBytes = BytesIO(beginning)
    if is_deflated:
        stream = InflatedStream(BytesIO(beginning))
    try:
        found = uids(stream)
    except (ImagingError, zlib.error):
        return SopIdentity()
    return SopIdentity(
        sop_class_uid=found.get(SOP_CLASS_UID), sop_instance_uid=found.get(SOP_INSTANCE_UID)
    )


def uids(stream: SeekableBytes) -> dict[int, str]:
    """The elements up to SOPInstanceUID that are one of the two; they are in order of tags."""
    found: dict[int, str] = {}
    implicit_vr, little_endian = encoding_found(stream)
    order = "<" if little_endian else ">"
    while len(header := stream.read(8)) == 8:
        group, element, length = struct.unpack(f"{order}HHL", header)
        tag = group << 16 | element
        if not implicit_vr:
            length = explicit_length(stream, header[4:8], order)
        if tag > SOP_INSTANCE_UID or length == UNDEFINED_LENGTH:
            break
        if tag in (SOP_CLASS_UID, SOP_INSTANCE_UID) and length <= MAX_UID_BYTES:
            value = stream.read(length)
            if len(value) == length:
                found[tag] = value.decode("ascii", "replace").strip(" \0")
        else:
            stream.seek(length, 1)
    return {tag: uid for tag, uid in found.items() if uid}


def explicit_length(stream: SeekableBytes, vr_and_length: bytes, order: str) -> int:
    if vr_and_length[:2] in LONG_VRS:
        return int.from_bytes(stream.read(4), "little" if order == "<" else "big")
    return int(struct.unpack(f"{order}H", vr_and_length[2:])[0])
