"""The accession number of a study that a person filed: told where it is an order of its Patient."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.correction import Corrected
from imaging_fhir.model.link import Decision
from imaging_fhir.services.composition import new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.splitting import Part, Splitting
from imaging_fhir.storage import report_studies, resources
from tests.dicom_samples import SERIES, STUDY, ct_instance
from tests.house import HOSPITAL, ORDERS, House, build_house, issued_by

IMAGING_STUDY = f"ImagingStudy/{STUDY}"
A1 = {"system": ORDERS, "value": "A1"}


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711")
    house.patient("john", "9")
    yield house
    house.close()


@pytest.fixture
def corrections(house: House) -> Corrections:
    return Corrections(house.database, house.relinking, new_id=new_id)


def ct(**attributes: Any) -> bytes:
    """Of Jane, by the order A1."""
    return ct_instance(
        **{
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            "AccessionNumber": "A1",
            "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
            "StudyID": "A1",
            **attributes,
        }
    )


def order(patient: str, **more: Any) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "identifier": [A1],
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


def report(patient: str) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        "id": f"of-{patient}",
        "status": "final",
        "code": {"text": "CT"},
        "identifier": [A1],
        "subject": {"reference": f"Patient/{patient}"},
    }


def move(corrections: Corrections, reference: str | None, patient: str) -> Corrected:
    decision = Decision(patient=f"Patient/{patient}")
    return corrections.link(reference or "", decision, reason=None, caller=LOCAL)


def undo(corrections: Corrections, done: Corrected) -> None:
    provenance_id = (done.provenance or "").partition("/")[2]
    corrections.database.write(lambda one: corrections.undo(one, provenance_id, None, LOCAL))


def accessions(house: House, reference: str = IMAGING_STUDY) -> list[str]:
    """By what it says, and by what it is found by."""
    listed = house.read(reference)["identifier"]
    said = [one["value"] for one in listed if one.get("system") != "urn:dicom:uid"]
    with house.database.read() as connection:
        found = report_studies.with_number(connection, "ImagingStudy", [(ORDERS, "A1")])
    assert bool(found) == ("A1" in said)
    return said


def orders_of(house: House, reference: str = IMAGING_STUDY) -> list[Resource]:
    return list(house.read(reference).get("basedOn", ()))


def test_the_number_of_whom_the_files_name_stays_behind_and_is_back_when_that_is_undone(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    assert accessions(house) == ["A1"]
    done = move(corrections, IMAGING_STUDY, "john")
    assert accessions(house) == []
    assert orders_of(house) == []
    house.send(ct(SOPInstanceUID="1.2.9.9"))
    assert accessions(house) == []
    undo(corrections, done)
    assert accessions(house) == ["A1"]
    assert [one["identifier"]["value"] for one in orders_of(house)] == ["A1"]


def test_an_order_of_the_patient_who_has_the_study_now_counts_whenever_it_comes(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    move(corrections, IMAGING_STUDY, "john")
    house.put(order("john"))
    assert accessions(house) == ["A1"]
    assert orders_of(house) == [{"reference": "ServiceRequest/order"}]
    house.put(order("john", status="entered-in-error"))
    assert accessions(house) == []
    house.put(order("jane"))
    assert accessions(house) == []
    assert orders_of(house) == []


def test_a_number_that_is_somebody_else_s_order_is_not_told_whoever_the_files_name(
    house: House, corrections: Corrections
) -> None:
    house.put(order("john"))
    outcome = house.send(ct())
    assert outcome.status == 202
    move(corrections, outcome.location, "jane")
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    assert accessions(house) == []
    house.put(order("jane"))
    assert accessions(house) == ["A1"]


def test_the_number_of_one_whom_nobody_knew_goes_with_the_study(
    house: House, corrections: Corrections
) -> None:
    house.send(ct(PatientID="5000"))
    move(corrections, IMAGING_STUDY, "john")
    assert accessions(house) == ["A1"]


def test_a_report_is_not_tied_to_a_study_that_has_its_number_no_more(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    house.put(report("jane"))
    assert is_tied(house)
    done = move(corrections, IMAGING_STUDY, "john")
    assert not is_tied(house)
    undo(corrections, done)
    assert is_tied(house)


def is_tied(house: House) -> bool:
    with house.database.read() as connection:
        stored = resources.read(connection, "ImagingStudy", STUDY)
        return bool(report_studies.reports_tied_to(connection, stored.rid))


def test_a_part_that_is_split_off_leaves_the_number_behind(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    house.send(ct(SeriesInstanceUID="1.2.9.5", SOPInstanceUID="1.2.9.5.1"))
    done = Splitting(corrections=corrections).split(
        IMAGING_STUDY,
        Part(series=[SERIES]),
        Decision(patient="Patient/john"),
        reason=None,
        caller=LOCAL,
    )
    listed = house.read(done.result)["identifier"]
    assert [one["system"] for one in listed] == ["urn:dicom:uid"]
    assert [one["value"] for one in house.read(IMAGING_STUDY)["identifier"]][1:] == ["A1"]
