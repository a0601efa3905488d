"""An instance that was moved to another study: its UIDs, and what it refers to."""

import random
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import UnreadableImage
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.images.dicom_identity import coerced, coerced_json
from imaging_fhir.images.minted_uids import MintedUids
from imaging_fhir.model.codec import decode
from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance

OTHER, STAYED = f"{INSTANCE}.7", f"{INSTANCE}.8"
MOVED = {STUDY: "2.25.1", SERIES: "2.25.22", INSTANCE: "2.25.333", OTHER: "2.25.4444"}
MINTED = MintedUids(moved=MOVED, at="20260314120000.000+0000")
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def referring(*instances: str) -> dict[str, Any]:
    """Evidence of these instances, all in one series of the study."""
    images = [{"ReferencedSOPClassUID": "1.2.3", "ReferencedSOPInstanceUID": i} for i in instances]
    series = {"SeriesInstanceUID": SERIES, "ReferencedSOPSequence": images}
    return {"StudyInstanceUID": STUDY, "ReferencedSeriesSequence": [series]}


def content(syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    return ct_instance(
        transfer_syntax=syntax,
        StudyDescription="Seen again",
        FrameOfReferenceUID=f"{STUDY}.99",
        CurrentRequestedProcedureEvidenceSequence=[referring(OTHER), referring(OTHER, STAYED)],
        ReferencedImageSequence=[
            {"ReferencedSOPClassUID": "1.2.3", "ReferencedSOPInstanceUID": OTHER}
        ],
        **attributes,
    )


def served(stored: bytes) -> pydicom.Dataset:
    identity = MINTED.origin_of("2.25.1", "2.25.22", "2.25.333")
    found = coerced(BytesIO(stored), len(stored), identity, MINTED)
    with found.stream:
        found.stream.seek(0)
        body = found.stream.read()
    whole = stored[: found.offset] + b"".join(
        piece if isinstance(piece, bytes) else body[piece[0] : piece[1]] for piece in found.pieces
    )
    return pydicom.dcmread(BytesIO(whole), force=True)


def as_json(stored: bytes) -> pydicom.Dataset:
    elements = MINTED.in_json(decode(DicomReader().read(BytesIO(stored)).dicom_json))
    return pydicom.Dataset.from_json({**elements, "7FE00010": {"vr": "OW"}})


def check(found: pydicom.Dataset) -> None:
    assert [found.StudyInstanceUID, found.SeriesInstanceUID] == ["2.25.1", "2.25.22"]
    assert found.SOPInstanceUID == "2.25.333"
    assert found.FrameOfReferenceUID == f"{STUDY}.99"
    assert found.StudyDescription == "Seen again"
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "2.25.4444"
    gone, mixed = found.CurrentRequestedProcedureEvidenceSequence
    assert gone.StudyInstanceUID == "2.25.1"
    [series] = gone.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "2.25.22"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.4444"
    assert mixed.StudyInstanceUID == STUDY
    [series] = mixed.ReferencedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == [
        "2.25.4444",
        STAYED,
    ]
    [*_, item] = found.OriginalAttributesSequence
    [before] = item.ModifiedAttributesSequence
    assert [before.StudyInstanceUID, before.SeriesInstanceUID] == [STUDY, SERIES]
    assert before.SOPInstanceUID == INSTANCE
    assert item.ReasonForTheAttributeModification == "CORRECT"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_its_uids_and_references_are_the_new_ones_in_every_encoding(syntax: str) -> None:
    stored = content(syntax)
    found = served(stored)
    check(found)
    before = pydicom.dcmread(BytesIO(stored), force=True)
    assert found.get("PixelData") == before.get("PixelData")


def test_its_metadata_says_the_same() -> None:
    check(as_json(content()))


def test_what_the_file_says_of_its_past_stays() -> None:
    past = {
        "AttributeModificationDateTime": "20250101000000",
        "ModifyingSystem": "PACS",
        "ReasonForTheAttributeModification": "COERCE",
        "SourceOfPreviousValues": "MODALITY",
        "ModifiedAttributesSequence": [{"StudyInstanceUID": STUDY}],
    }
    stored = content(OriginalAttributesSequence=[past])
    for found in (served(stored), as_json(stored)):
        check(found)
        first, second = found.OriginalAttributesSequence
        assert (first.ModifyingSystem, second.ModifyingSystem) == ("PACS", "IMAGING_FHIR")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom
def test_damaged_bytes_raise_unreadable_and_nothing_else() -> None:
    stored, chance = content(), random.Random(7)
    identity = MINTED.origin_of("2.25.1", "2.25.22", "2.25.333")
    unreadable = 0
    for _ in range(300):
        damaged = bytearray(stored)
        for position in chance.sample(range(200, len(stored)), k=6):
            damaged[position] = chance.randrange(256)
        try:
            coerced(BytesIO(damaged), len(damaged), identity, MINTED)
        except UnreadableImage:
            unreadable += 1
    assert 0 < unreadable < 300


def test_a_whole_file_without_the_uids_stays_as_it_is() -> None:
    stored = ct_instance(StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1", SOPInstanceUID="1.9.2")
    found = coerced_json(decode(DicomReader().read(BytesIO(stored)).dicom_json), {})
    assert MINTED.in_json(found)["0020000D"] == {"vr": "UI", "Value": ["1.9"]}
