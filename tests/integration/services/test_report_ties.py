"""Reports and studies find one another, whichever comes first, and part where they disagree."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.model.codec import Resource
from imaging_fhir.services.check import Check
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.settings import Source
from imaging_fhir.storage import report_studies, resources
from tests.dicom_samples import ROOT, STUDY, ct_instance
from tests.house import HOSPITAL, ORDERS, House, build_house, issued_by

NUMBER = {"system": ORDERS, "value": "A-1"}
ACCESSION = {
    "type": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
    },
    **NUMBER,
}
UID = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
OF_ORDER: dict[str, Any] = {"basedOn": [{"reference": "ServiceRequest/order"}]}
TIES = {
    "accession": {"identifier": [ACCESSION]},
    "order": OF_ORDER,
    "study-uid": {"imagingStudy": [{"identifier": UID}]},
}
each_tie = pytest.mark.parametrize(("rule", "said"), TIES.items(), ids=TIES)


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path, issuers={"MAIN": HOSPITAL}, registers=True)
    house.patient("jane", "4711")
    house.patient("john", "9")
    yield house
    assert findings(house) == []
    house.close()


def findings(house: House) -> list[tuple[str, str]]:
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    return [one for one in found if "Endpoint/" not in one[1]]


def order(house: House) -> None:
    house.put(
        {
            "resourceType": "ServiceRequest",
            "id": "order",
            "status": "active",
            "intent": "order",
            "identifier": [ACCESSION],
            "subject": {"reference": "Patient/jane"},
        }
    )


def report(house: House, *, subject: str = "jane", **more: Any) -> Resource:
    content: Resource = {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "status": "final",
        "code": {"text": "CT report"},
        "subject": {"reference": f"Patient/{subject}"},
        **more,
    }
    house.put(content)
    return content


def send(house: House, **attributes: Any) -> None:
    outcome = house.send(
        ct_instance(
            **{
                "PatientID": "4711",
                "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
                "AccessionNumber": "A-1",
                "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
                **attributes,
            }
        )
    )
    assert outcome.status == 201


def ties(house: House) -> dict[str, str]:
    """What the report is tied to, and by which rule; the search index says the same."""
    with house.database.read() as connection:
        stored = resources.find(connection, "DiagnosticReport", "report")
        assert stored is not None
        found = {
            resources.find_by_rid(connection, rid).id: rule
            for rid, rule in report_studies.ties(connection, stored.rid).items()
        }
        rows = connection.exec_driver_sql(
            "SELECT target_id FROM reference_index WHERE target_id IS NOT NULL "  # noqa: S608
            f"AND parameter = 'DiagnosticReport.imaging-study' AND rid = {stored.rid}"
        )
        assert {row.target_id for row in rows} == set(found)
    return found


@each_tie
def test_a_report_after_its_study(house: House, rule: str, said: dict[str, Any]) -> None:
    send(house)
    order(house)
    written = report(house, **said)
    assert ties(house) == {STUDY: rule}
    kept = house.read("DiagnosticReport/report")
    assert kept["meta"]["versionId"] == "1"
    assert {name: kept[name] for name in written} == written  # it is as its author wrote it


@each_tie
def test_a_study_after_its_report(house: House, rule: str, said: dict[str, Any]) -> None:
    report(house, **said)
    assert ties(house) == {}
    send(house)
    order(house)
    assert ties(house) == {STUDY: rule}
    assert house.read("DiagnosticReport/report")["meta"]["versionId"] == "1"


def test_a_report_of_a_registered_study_is_that_of_its_images(house: House) -> None:
    order(house)
    report(house, **OF_ORDER)
    (registered,) = ties(house)
    send(house)
    assert ties(house) == {registered: "order"}
    assert house.read(f"ImagingStudy/{registered}")["status"] == "available"


def test_a_report_that_comes_first_is_tied_to_what_is_registered_then(house: House) -> None:
    report(house, **OF_ORDER)
    order(house)
    assert list(ties(house).values()) == ["order"]
    house.delete("ServiceRequest/order")
    assert ties(house) == {}
    order(house)


def test_all_studies_of_an_order_are_its_reports(house: House) -> None:
    order(house)
    report(house, **OF_ORDER)
    send(house)
    uid = f"{ROOT}.2"
    send(house, StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1")
    assert len(ties(house)) == 2


@pytest.mark.parametrize(
    "said",
    [
        {"identifier": [{"system": "urn:oid:1.2.3.77", "value": "A-1"}]},
        {"identifier": [{"value": "A-1"}]},
        {"identifier": [{**NUMBER, "value": "a-1"}]},
        {"subject": "john", "identifier": [ACCESSION]},
        {"subject": "nobody", "identifier": [ACCESSION]},
        {"status": "entered-in-error", "identifier": [ACCESSION]},
        {"basedOn": [{"reference": "https://other.example/fhir/ServiceRequest/order"}]},
    ],
)
def test_nothing_else_ties(house: House, said: dict[str, Any]) -> None:
    if said.get("subject") == "nobody":
        house.patient("nobody")  # known, and somebody else
    send(house)
    order(house)
    report(house, **said)
    assert ties(house) == {}


def test_a_number_without_an_issuer_counts_as_the_source_says(house: House) -> None:
    report(house, identifier=[NUMBER])
    content = ct_instance(
        PatientID="4711",
        IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL),
        AccessionNumber="A-1",
    )
    house.send(content, source=Source(id="ct", accession_number_system=ORDERS))
    assert ties(house) == {STUDY: "accession"}


def test_a_status_is_followed(house: House) -> None:
    send(house)
    report(house, status="preliminary", identifier=[ACCESSION])
    report(house, status="entered-in-error", identifier=[ACCESSION])
    assert ties(house) == {}
    report(house, status="amended", identifier=[ACCESSION])
    assert ties(house) == {STUDY: "accession"}


def test_a_report_of_somebody_else_by_now_is_let_go(house: House) -> None:
    send(house)
    report(house, identifier=[ACCESSION])
    report(house, subject="john", identifier=[ACCESSION])
    assert ties(house) == {}


def test_a_merge_ties_and_its_end_parts(house: House) -> None:
    send(house)
    report(house, subject="john", identifier=[ACCESSION])
    assert ties(house) == {}
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("john", "9", link=link)
    assert ties(house) == {STUDY: "accession"}
    house.patient("john", "9")
    assert ties(house) == {}


def test_a_study_that_moves_leaves_its_report(house: House) -> None:
    send(house)
    report(house, identifier=[ACCESSION])
    house.patient("jane", "12")
    house.patient("other", "4711")
    assert ties(house) == {}


def test_a_study_that_is_deleted_leaves_its_report(house: House) -> None:
    send(house)
    report(house, identifier=[ACCESSION])
    house.delete(f"ImagingStudy/{STUDY}")
    assert ties(house) == {}


def test_a_report_that_is_deleted_leaves_its_study(house: House) -> None:
    send(house)
    report(house, identifier=[ACCESSION])
    house.delete("DiagnosticReport/report")
    assert ties(house) == {}
    report(house, identifier=[ACCESSION])
    assert ties(house) == {STUDY: "accession"}


def test_what_its_author_names_needs_no_tie(house: House) -> None:
    send(house)
    report(house, identifier=[ACCESSION], imagingStudy=[{"reference": f"ImagingStudy/{STUDY}"}])
    with house.database.read() as connection:
        stored = resources.find(connection, "DiagnosticReport", "report")
        assert stored is not None
        assert report_studies.ties(connection, stored.rid) == {}


def test_an_erased_study_leaves_no_tie(house: House) -> None:
    send(house)
    report(house, identifier=[ACCESSION])
    Erase(database=house.database, store=house.store).study(STUDY)
    assert ties(house) == {}
