"""The reader of DICOM files (PS3.10), with or without preamble and file meta information."""

from dataclasses import dataclass
from typing import BinaryIO

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.dicom_attributes import Attributes
from imaging_fhir.images.dicom_elements import ElementReader
from imaging_fhir.images.dicom_facts import (
    instance_attributes,
    person,
    series_attributes,
    study_attributes,
    timezone_offset,
    visit,
)
from imaging_fhir.images.dicom_shared import SharedFacts
from imaging_fhir.images.dicom_stream import (
    PREAMBLE_BYTES,
    PREFIX,
    FileStart,
    plausible_start,
    start_of_file,
)
from imaging_fhir.images.dicom_values import is_strict_uid, is_uid
from imaging_fhir.images.dicom_warnings import ReadWarnings, keyword_of
from imaging_fhir.model.codec import encode
from imaging_fhir.model.person import Person, Visit
from imaging_fhir.model.study import DicomInstance, SeriesAttributes, StudyAttributes

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020002, 0x00020003
SOP_CLASS_UID, SOP_INSTANCE_UID = "00080016", "00080018"
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = "0020000D", "0020000E"
DIRECTORY_RECORD_SEQUENCE = "00041220"
MAX_SHARED_BYTES = 64 * 1024  # of the DICOM JSON of an image whose facts are remembered


class DicomReader:
    media_type = "application/dicom"

    def recognises(self, head: bytes) -> bool:
        """By the prefix after the preamble, else by two elements of the first groups in order."""
        has_prefix = head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(PREFIX)] == PREFIX
        return has_prefix or plausible_start(head)

    def read(self, stream: BinaryIO) -> DicomInstance:
        """The header's facts; raise UnreadableImage where a UID is missing that identifies it."""
        start = start_of_file(stream)
        warnings = ReadWarnings()
        if start.is_transfer_syntax_guessed:
            warnings.add("TransferSyntaxUID", "is missing: told from the bytes")
        elif not has_preamble(stream):
            warnings.add("FilePreamble", "is missing")
        reader = ElementReader(start, warnings)
        attributes = Attributes(reader.read(start), warnings)
        return dicom_instance(start, reader, attributes)


def has_preamble(stream: BinaryIO) -> bool:
    """Whether the file begins as PS3.10 7.1 says; the position in the stream is kept."""
    position = stream.tell()
    stream.seek(PREAMBLE_BYTES)
    prefix = stream.read(len(PREFIX))
    stream.seek(position)
    return prefix == PREFIX


def dicom_instance(
    start: FileStart, reader: ElementReader, attributes: Attributes
) -> DicomInstance:
    """All facts of a header; the warnings are taken last, when all have been made."""
    refuse_directory(start, attributes)
    dicom_json = encode(attributes.data_set)
    instance = instance_attributes(
        attributes,
        sop_instance_uid=identifying_uid(
            attributes, SOP_INSTANCE_UID, start.meta.get(MEDIA_STORAGE_SOP_INSTANCE_UID)
        ),
        sop_class_uid=identifying_uid(
            attributes, SOP_CLASS_UID, start.meta.get(MEDIA_STORAGE_SOP_CLASS_UID)
        ),
        transfer_syntax_uid=start.transfer_syntax_uid,
        has_pixel_data=reader.has_pixel_data,
    )
    if reader.frame_anatomies or len(dicom_json) > MAX_SHARED_BYTES:
        context = context_of(attributes, frames_of(reader, attributes))
    else:
        context = CONTEXTS.of(attributes, attributes.text(SERIES_INSTANCE_UID) or "")
    return DicomInstance(
        instance=instance,
        study=context.study,
        series=context.series,
        person=context.person,
        visit=context.visit,
        timezone_offset=context.timezone_offset,
        dicom_json=dicom_json,
        warnings=attributes.warnings.as_tuple(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the images of a series mostly have in common."""

    study: StudyAttributes
    series: SeriesAttributes
    person: Person
    visit: Visit
    timezone_offset: str | None


def context_of(attributes: Attributes, frames: list[Attributes] | None = None) -> Context:
    return Context(
        study=study_attributes(attributes, identifying_uid(attributes, STUDY_INSTANCE_UID)),
        series=series_attributes(
            attributes, identifying_uid(attributes, SERIES_INSTANCE_UID), frames or []
        ),
        person=person(attributes),
        visit=visit(attributes),
        timezone_offset=timezone_offset(attributes),
    )


CONTEXTS = SharedFacts(context_of)


def frames_of(reader: ElementReader, attributes: Attributes) -> list[Attributes]:
    return [
        Attributes(item, attributes.warnings, attributes.schemes)
        for item in reader.frame_anatomies.values()
    ]


def refuse_directory(start: FileStart, attributes: Attributes) -> None:
    """A DICOMDIR lists files; the files are read, not the list."""
    sop_class = start.meta.get(MEDIA_STORAGE_SOP_CLASS_UID) or attributes.text(SOP_CLASS_UID)
    if sop_class == MEDIA_STORAGE_DIRECTORY or DIRECTORY_RECORD_SEQUENCE in attributes.data_set:
        raise UnsupportedImage("The file is a DICOMDIR: it lists images, and is none itself.")


def identifying_uid(attributes: Attributes, tag: str, in_file_meta: str | None = None) -> str:
    """A UID without which the object cannot be filed; raise UnreadableImage naming its keyword."""
    keyword = keyword_of(int(tag, 16))
    uid = attributes.text(tag)
    if uid is None and in_file_meta is not None:
        attributes.warnings.add(keyword, "is missing: taken from the file meta information")
        uid = in_file_meta
    if uid is None:
        raise UnreadableImage(f"The DICOM file has no {keyword}.", expression=keyword)
    if not is_uid(uid):
        raise UnreadableImage(f"The DICOM file's {keyword} is not a UID.", expression=keyword)
    if not is_strict_uid(uid):
        attributes.warnings.add(keyword, "has a component with a leading zero or none at all")
    return uid
