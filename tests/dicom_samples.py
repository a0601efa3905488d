"""Small DICOM files for tests, made by pydicom: `ct_instance(PatientID="4711", rows=8)`.

Any attribute can be given by its keyword; a sequence is a list of such mappings. An attribute
given as None is left out. A value that is malformed on purpose is written as it is.
"""

import warnings
import zlib
from io import BytesIO
from typing import Any

from pydicom import Dataset, Sequence, dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    VLPhotographicImageStorage,
)

ROOT = "1.2.826.0.1.3680043.10.1561"
STUDY, SERIES, INSTANCE = f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1"


def ct_instance(
    *,
    rows: int = 4,
    columns: int = 4,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> bytes:
    """A complete CT image of some 700 bytes."""
    instance = data_set(
        {
            "SOPClassUID": CTImageStorage,
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "InstanceNumber": 1,
            **pixel_attributes(rows, columns),
            **attributes,
        }
    )
    return dicom_file(instance, transfer_syntax=transfer_syntax)


def pixel_attributes(rows: int, columns: int) -> dict[str, Any]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(2 * rows * columns),
    }


def photo_instance(**attributes: Any) -> bytes:
    """A visible-light photograph without pixels."""
    return dicom_file(
        data_set({"SOPClassUID": VLPhotographicImageStorage, "Modality": "XC", **attributes})
    )


def report_instance(**attributes: Any) -> bytes:
    """A structured report."""
    title = {
        "CodeValue": "18748-4",
        "CodingSchemeDesignator": "LN",
        "CodeMeaning": "Diagnostic imaging report",
    }
    described = {"SOPClassUID": BasicTextSRStorage, "Modality": "SR"}
    return dicom_file(data_set({**described, "ConceptNameCodeSequence": [title], **attributes}))


def pdf_instance(document: bytes = b"%PDF-1.4", **attributes: Any) -> bytes:
    """An encapsulated PDF."""
    described = {
        "SOPClassUID": EncapsulatedPDFStorage,
        "Modality": "DOC",
        "DocumentTitle": "Discharge letter",
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocument": document,
    }
    return dicom_file(data_set({**described, **attributes}))


def data_set(attributes: dict[str, Any]) -> Dataset:
    """A data set of a well-formed patient, study and series, with the given attributes on top."""
    return _data_set(
        {
            "SOPInstanceUID": INSTANCE,
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": SERIES,
            "PatientID": "4711",
            "PatientName": "Roe^Jane",
            "PatientBirthDate": "19750314",
            "PatientSex": "F",
            "StudyDate": "20260314",
            "StudyTime": "101500",
            "StudyID": "S1",
            "AccessionNumber": "A1",
            "SeriesNumber": 1,
            **attributes,
        }
    )


def _data_set(attributes: dict[str, Any]) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        if value is not None:
            _set(made, keyword, value)
    return made


def _set(made: Dataset, keyword: str, value: Any) -> None:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = Sequence([_data_set(item) for item in value])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # malformed on purpose
        setattr(made, keyword, value)


def with_raw_element(made: Dataset, keyword: str, value: bytes) -> Dataset:
    """With bytes as they are, where pydicom would not write such a value."""
    tag = Tag(keyword)
    made[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
    return made


def dicom_file(
    instance: Dataset,
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    preamble: bool = True,
    file_meta: bool = True,
) -> bytes:
    """The bytes of a file, in any transfer syntax that pydicom writes without a codec."""
    syntax = UID(transfer_syntax)
    if not file_meta:
        return bare_data_set(instance, syntax)
    if syntax.is_encapsulated and "PixelData" in instance:
        instance["PixelData"].VR = "OB"
        instance.PixelData = encapsulate([instance.PixelData])
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue() if preamble else buffer.getvalue()[132:]


def bare_data_set(instance: Dataset, syntax: UID) -> bytes:
    """A data set alone, as sent in a C-STORE."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(buffer, instance)
    return buffer.getvalue()


def deflated(data: bytes) -> bytes:
    """A data set as Deflated Explicit VR Little Endian has it (PS3.5 A.5)."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()
