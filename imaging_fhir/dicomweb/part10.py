"""The head of a DICOM file (PS3.10 7.1), for data sets that arrived without one."""

import struct

PREAMBLE = bytes(128)
PREFIX = b"DICM"
IMPLEMENTATION_CLASS_UID = "2.25.96994915303825324247227136224151237658"
IMPLEMENTATION_VERSION_NAME = "IMAGING_FHIR"


def preamble() -> bytes:
    return PREAMBLE + PREFIX


def file_head(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
) -> bytes:
    """Preamble, prefix and file meta information; the UIDs are written as they are."""
    meta = element(0x0001, b"OB", b"\0\1")
    for number, uid in (
        (0x0002, sop_class_uid),
        (0x0003, sop_instance_uid),
        (0x0010, transfer_syntax_uid),
        (0x0012, IMPLEMENTATION_CLASS_UID),
    ):
        meta += element(number, b"UI", even(uid.encode(), b"\0"))
    meta += element(0x0013, b"SH", even(IMPLEMENTATION_VERSION_NAME.encode(), b" "))
    if source_ae_title:
        meta += element(0x0016, b"AE", even(source_ae_title.encode(), b" "))
    return preamble() + element(0x0000, b"UL", struct.pack("<L", len(meta))) + meta


def element(number: int, vr: bytes, value: bytes) -> bytes:
    """An element of group 0002, always explicit VR little endian."""
    length = "<HH2s2xL" if vr == b"OB" else "<HH2sH"
    return struct.pack(length, 0x0002, number, vr, len(value)) + value


def even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value
