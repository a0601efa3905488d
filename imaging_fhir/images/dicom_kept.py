"""What an instance says, from the DICOM JSON that is kept of it: as if its file were read again."""

from dataclasses import dataclass

from imaging_fhir.images.dicom_attributes import Attributes
from imaging_fhir.images.dicom_elements import ANATOMY, FRAME_ANATOMY, PER_FRAME_FUNCTIONAL_GROUPS
from imaging_fhir.images.dicom_facts import person, series_attributes, study_attributes, visit
from imaging_fhir.images.dicom_warnings import ReadWarnings
from imaging_fhir.model.codec import decode
from imaging_fhir.model.person import Person, Visit
from imaging_fhir.model.study import SeriesAttributes, StudyAttributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    person: Person
    visit: Visit
    study: StudyAttributes
    series: SeriesAttributes


def said(dicom_json: bytes, study_instance_uid: str, series_instance_uid: str) -> Said:
    attributes = Attributes(decode(dicom_json), ReadWarnings())
    return Said(
        person=person(attributes),
        visit=visit(attributes),
        study=study_attributes(attributes, study_instance_uid),
        series=series_attributes(attributes, series_instance_uid, frame_anatomies(attributes)),
    )


def frame_anatomies(attributes: Attributes) -> list[Attributes]:
    """The distinct ones of its frames, in their order."""
    found: dict[str, Attributes] = {}
    for frame in attributes.items(PER_FRAME_FUNCTIONAL_GROUPS):
        for item in frame.items(FRAME_ANATOMY)[:1]:
            anatomy = {tag: item.data_set[tag] for tag in ANATOMY if tag in item.data_set}
            found.setdefault(
                repr(anatomy), Attributes(anatomy, attributes.warnings, attributes.schemes)
            )
    return list(found.values())
