"""The head of a DICOM file (PS3.10 7.1), for data sets that arrived without one."""

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

PREAMBLE = bytes(128)
PREFIX = b"DICM"
MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020002, 0x00020003
TRANSFER_SYNTAX_UID, IMPLEMENTATION_VERSION_NAME = 0x00020010, 0x00020013


def preamble() -> bytes:
    return PREAMBLE + PREFIX


def file_head(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble, prefix and file meta information; the UIDs are written as they are."""
    meta = FileMetaDataset()
    for tag, uid in (
        (MEDIA_STORAGE_SOP_CLASS_UID, sop_class_uid),
        (MEDIA_STORAGE_SOP_INSTANCE_UID, sop_instance_uid),
        (TRANSFER_SYNTAX_UID, transfer_syntax_uid),
    ):
        meta.add(DataElement(tag, "UI", uid, validation_mode=config.IGNORE))
    meta.add(DataElement(IMPLEMENTATION_VERSION_NAME, "SH", "IMAGING_FHIR"))
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return preamble() + buffer.getvalue()
