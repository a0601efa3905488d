"""Which key objects are rejection notes, and what they name."""

from io import BytesIO
from typing import Any

import pytest

from imaging_fhir.images import read_image
from imaging_fhir.images.rejection_note import rejection_note
from imaging_fhir.model.rejection import KEY_OBJECT_SELECTION, TITLES, RejectionNote
from imaging_fhir.model.study import DicomInstance
from tests.dicom_samples import ct_instance, data_set, dicom_file


def key_object(title: dict[str, str] | None, *studies: dict[str, Any]) -> DicomInstance:
    attributes = {
        "SOPClassUID": KEY_OBJECT_SELECTION,
        "Modality": "KO",
        "SOPInstanceUID": "1.2.9",
        "ConceptNameCodeSequence": [title] if title else None,
        "CurrentRequestedProcedureEvidenceSequence": list(studies) or None,
    }
    return read(dicom_file(data_set(attributes)))


def read(content: bytes) -> DicomInstance:
    found = read_image(BytesIO(content))
    assert isinstance(found, DicomInstance)
    return found


def title(code: str, scheme: str = "DCM") -> dict[str, str]:
    return {"CodeValue": code, "CodingSchemeDesignator": scheme, "CodeMeaning": "Rejected"}


def study(uid: str, *series: tuple[str, ...]) -> dict[str, Any]:
    return {
        "StudyInstanceUID": uid,
        "ReferencedSeriesSequence": [
            {
                "SeriesInstanceUID": f"{uid}.1",
                "ReferencedSOPSequence": [
                    {"ReferencedSOPClassUID": "1.2.3", "ReferencedSOPInstanceUID": one}
                    for one in instances
                ],
            }
            for instances in series
        ],
    }


@pytest.mark.parametrize("code", TITLES)
def test_all_that_it_names_in_all_studies_is_read(code: str) -> None:
    image = key_object(
        title(code), study("1.1", ("1.1.1", "1.1.2"), ("1.1.3",)), study("1.2", ("1.2.1",))
    )
    assert rejection_note(image) == RejectionNote(
        sop_instance_uid="1.2.9",
        code=code,
        named=(("1.1", "1.1.1"), ("1.1", "1.1.2"), ("1.1", "1.1.3"), ("1.2", "1.2.1")),
    )


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(key_object(title("113000"), study("1.1", ("1.1.1",))), id="of interest"),
        pytest.param(key_object(title("113001", "99X"), study("1.1", ("1.1.1",))), id="99X"),
        pytest.param(key_object(None, study("1.1", ("1.1.1",))), id="no title"),
        pytest.param(key_object(title("113001")), id="names nothing"),
        pytest.param(
            read(ct_instance(ConceptNameCodeSequence=[title("113001")])), id="no key object"
        ),
    ],
)
def test_another_object_is_none(image: DicomInstance) -> None:
    assert rejection_note(image) is None
