"""What a site sets of the rules: switches, trust, how near a visit may be, and placeholders."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.policy import Policy, Tolerance
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import Source
from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, ORDERS, VISITS, House, build_house, issued_by
from tests.samples import SAMPLES

JANE: dict[str, Any] = {
    "name": [{"family": "Roe", "given": ["Jane"]}],
    "birthDate": "1975-03-14",
    "gender": "female",
}
OTHER = "urn:oid:1.2.4"
Open = Callable[..., House]


@pytest.fixture
def house_with(database_url: str, tmp_path: Path) -> Iterator[Open]:
    opened: list[House] = []

    def open_it(**policy: Any) -> House:
        opened.append(build_house(database_url, tmp_path, policy=Policy(**policy)))
        return opened[-1]

    yield open_it
    for house in opened:
        house.close()


def ct(study: int = 1, **attributes: Any) -> bytes:
    """Jane Roe's CT of 14 March 2026, 10:15, with a number that the hospital issued."""
    uid = f"1.2.{study}"
    return ct_instance(
        **{
            "StudyInstanceUID": uid,
            "SeriesInstanceUID": f"{uid}.1",
            "SOPInstanceUID": f"{uid}.1.{attributes.get('InstanceNumber', 1)}",
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            **attributes,
        }
    )


def other_id(value: str, system: str) -> dict[str, Any]:
    return {"PatientID": value, "IssuerOfPatientIDQualifiersSequence": issued_by(system)}


def photo() -> bytes:
    return SAMPLES["image/jpeg"]()


def rules(outcome: Outcome) -> tuple[str, str]:
    assert outcome.filed is not None, outcome.message
    return outcome.filed.rule, outcome.filed.encounter_rule


@pytest.mark.parametrize(
    ("off", "known", "given", "expected"),
    [
        ("patient-identifier", True, None, "switched-off"),
        ("patient-identifier", False, None, "provisional-identifier"),
        ("provisional-identifier", True, None, "patient-identifier"),
        ("provisional-identifier", False, None, "switched-off"),
        ("given-patient-and-identifier", True, "Patient/jane", "patient-identifier"),
    ],
)
def test_what_a_patient_rule_that_is_off_would_file_is_held_or_left_to_the_next(
    house_with: Open, off: str, known: bool, given: str | None, expected: str
) -> None:
    house = house_with(off=frozenset({off}))
    if known:
        house.patient("jane", "4711", **JANE)
    outcome = house.send(ct(), patient=given)
    assert rules(outcome)[0] == expected
    assert (outcome.status == 202) == (expected == "switched-off")


def test_a_study_without_a_number_is_held_where_provisional_patients_are_off(
    house_with: Open,
) -> None:
    house = house_with(off=frozenset({"provisional-alone"}))
    outcome = house.send(ct_instance())
    assert outcome.status == 202
    reason = house.read(outcome.location)["reasonCode"]
    assert reason["coding"][0]["code"] == "switched-off"
    assert "provisional-alone" in reason["text"]


def test_a_sender_names_nobody_where_that_rule_is_off(house_with: Open) -> None:
    house = house_with(off=frozenset({"given-patient"}))
    house.patient("jane", "4711", **JANE)
    assert rules(house.send(photo(), patient="Patient/jane"))[0] == "switched-off"


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        ((), "given-encounter"),
        (("given-encounter",), "visit-number"),
        (("given-encounter", "visit-number"), "order"),
        (("given-encounter", "visit-number", "order"), "period"),
        (("given-encounter", "visit-number", "order", "period"), "switched-off"),
    ],
)
def test_a_visit_rule_that_is_off_leaves_it_to_the_next(
    house_with: Open, off: tuple[str, ...], expected: str
) -> None:
    house = house_with(off=frozenset(off))
    house.patient("jane", "4711", **JANE)
    number = [{"system": VISITS, "value": "V1"}]
    house.encounter("visit", "jane", "2026-03-14", "2026-03-14", identifier=number)
    house.put(
        {
            "resourceType": "ServiceRequest",
            "id": "order",
            "status": "active",
            "intent": "order",
            "identifier": [{"system": ORDERS, "value": "A1"}],
            "subject": {"reference": "Patient/jane"},
            "encounter": {"reference": "Encounter/visit"},
        }
    )
    outcome = house.send(
        ct(
            AdmissionID="V1",
            IssuerOfAdmissionIDSequence=issued_by(VISITS),
            IssuerOfAccessionNumberSequence=issued_by(ORDERS),
        ),
        encounter="Encounter/visit",
    )
    assert rules(outcome)[1] == expected
    assert outcome.filed is not None
    assert outcome.filed.encounter == (None if expected == "switched-off" else "Encounter/visit")


def test_a_visit_number_of_somebody_else_holds_though_the_rule_is_off(house_with: Open) -> None:
    house = house_with(off=frozenset({"visit-number", "order", "period"}))
    house.patient("jane", "4711", **JANE)
    house.patient("max", "1")
    house.encounter("visit", "max", identifier=[{"system": VISITS, "value": "V1"}])
    content = ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS))
    assert rules(house.send(content))[0] == "visit-number-of-another-patient"


def test_a_number_of_an_issuer_that_is_not_trusted_is_no_key(house_with: Open) -> None:
    house = house_with(trusted_issuers=frozenset({OTHER}))
    house.patient("jane", "4711", **JANE)
    outcome = house.send(ct())
    assert rules(outcome)[0] == "provisional-alone"
    assert outcome.filed is not None
    assert "identifier" not in house.read(outcome.filed.patient)
    house.patient("jo", "9", system=OTHER, name=JANE["name"])
    with_other = ct(2, OtherPatientIDsSequence=[other_id("9", OTHER)])
    found = house.send(with_other)
    assert found.filed is not None
    assert (found.filed.patient, found.filed.rule) == ("Patient/jo", "patient-identifier")


def test_a_sender_who_is_not_trusted_links_nothing_but_may_contradict(house_with: Open) -> None:
    house = house_with(trusted_sources=frozenset({"ward"}))
    ward, other = Source(id="ward"), Source(id="other")
    house.patient("jane", "4711", **JANE)
    house.patient("max", "1")
    house.encounter("visit", "jane")
    assert rules(house.send(photo(), patient="Patient/jane", source=other))[0] == (
        "sender-not-trusted"
    )
    assert rules(house.send(photo(), patient="Patient/jane", source=ward))[0] == "given-patient"
    agreed = house.send(ct(), patient="Patient/jane", encounter="Encounter/visit", source=other)
    assert rules(agreed) == ("patient-identifier", "no-visit")
    contradicted = house.send(ct(2), patient="Patient/max", source=other)
    assert rules(contradicted)[0] == "given-patient-disagrees"
    wrong = house.send(ct(3), encounter="Encounter/visit", patient="Patient/max", source=other)
    assert wrong.status in (202, 422)


MORNING = ("2026-03-14T11:00:00+01:00", "2026-03-14T12:00:00+01:00")  # the image is of 10:15
NIGHT = ("2026-03-14T01:00:00+01:00", "2026-03-14T09:30:00+01:00")
AROUND = ("2026-03-14T10:00:00+01:00", "2026-03-14T10:30:00+01:00")


@pytest.mark.parametrize(
    ("before", "after", "visits", "expected"),
    [
        (44, 0, [MORNING], "no-visit"),
        (45, 0, [MORNING], "near-period"),
        (0, 44, [NIGHT], "no-visit"),
        (0, 45, [NIGHT], "near-period"),
        (45, 45, [NIGHT, MORNING], "period-ambiguous"),
        (45, 45, [NIGHT, AROUND, MORNING], "period"),
    ],
)
def test_a_visit_may_be_near(
    house_with: Open, before: int, after: int, visits: list[tuple[str, str]], expected: str
) -> None:
    house = house_with(tolerance=Tolerance(before_admission=before, after_discharge=after))
    house.patient("jane", "4711", **JANE)
    for index, (start, end) in enumerate(visits):
        house.encounter(f"visit-{index}", "jane", start, end)
    assert rules(house.send(ct()))[1] == expected


def test_the_widest_tolerance_counts_whatever_modality_comes_first(house_with: Open) -> None:
    house = house_with(tolerance_of={"XA": Tolerance(before_admission=60)})
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", *MORNING)
    assert rules(house.send(ct()))[1] == "no-visit"
    more: dict[str, Any] = {
        "SeriesInstanceUID": "1.2.1.2",
        "SOPInstanceUID": "1.2.1.2.1",
        "SeriesNumber": 2,
    }
    assert rules(house.send(ct(Modality="XA", **more)))[1] == "near-period"
    assert rules(house.send(ct(2, Modality="XA")))[1] == "near-period"


def test_all_numbers_of_a_file_count_together(house_with: Open) -> None:
    house = house_with()
    house.patient("jane", "9", system=OTHER, **JANE)
    both = ct(OtherPatientIDsSequence=[other_id("9", OTHER)])
    assert rules(house.send(both))[0] == "patient-identifier"


def test_two_numbers_of_two_people_hold_whatever_else_is_said(house_with: Open) -> None:
    house = house_with()
    house.patient("jane", "4711", **JANE)
    house.patient("max", "9", system=OTHER)
    both = ct(OtherPatientIDsSequence=[other_id("9", OTHER)])
    outcome = house.send(both, patient="Patient/jane")
    assert (outcome.status, rules(outcome)[0]) == (202, "identifiers-conflict")


def test_the_same_number_of_two_issuers_is_two_people(house_with: Open) -> None:
    house = house_with()
    house.patient("jane", "4711", **JANE)
    house.patient("jo", "4711", system=OTHER, **JANE)
    here = house.send(ct())
    there = house.send(ct(2, IssuerOfPatientIDQualifiersSequence=issued_by(OTHER)))
    assert here.filed is not None
    assert there.filed is not None
    assert (here.filed.patient, there.filed.patient) == ("Patient/jane", "Patient/jo")


def test_a_placeholder_among_the_numbers_is_none(house_with: Open) -> None:
    """Though somebody has written a Patient who carries it."""
    house = house_with(placeholder_ids=frozenset({"QA*"}))
    house.patient("zero", "0", "QA1")
    first = house.send(ct(PatientID="0", OtherPatientIDsSequence=[other_id("77", OTHER)]))
    assert rules(first)[0] == "provisional-identifier"
    assert first.filed is not None
    made = house.read(first.filed.patient)
    assert [one["value"] for one in made["identifier"]] == ["77"]
    assert rules(house.send(ct(2, PatientID="QA1")))[0] == "provisional-alone"
    assert rules(house.send(ct(3, PatientID="0")))[0] == "provisional-alone"


def test_each_study_of_the_unidentified_has_a_patient_of_its_own(house_with: Open) -> None:
    house = house_with()
    sent = [house.send(ct(study, PatientName="Doe^John")) for study in (1, 2)]
    assert [rules(one)[0] for one in sent] == ["provisional-emergency"] * 2
    people = {one.filed.patient for one in sent if one.filed}
    assert len(people) == 2
    assert all("identifier" not in house.read(one) for one in people)


def test_the_unidentified_are_filed_when_somebody_has_their_number(house_with: Open) -> None:
    house = house_with()
    content = ct(PatientName="Doe^John", PatientBirthDate="", PatientSex="M")
    before = house.send(content)
    house.patient("john", "4711", name=[{"family": "Doe", "given": ["John"]}], gender="male")
    assert house.subject(before.location) == "Patient/john"
    assert house.subject(house.send(content).location) == "Patient/john"


def test_whoever_is_identified_since_is_for_a_person_to_tell(house_with: Open) -> None:
    """The name that was made up says nothing against, nor for: it differs, and is held."""
    house = house_with()
    house.patient("jane", "4711", **JANE)
    assert rules(house.send(ct(PatientName="Doe^Jane")))[0] == "demographics-disagree"


def test_the_unidentified_are_as_all_others_where_that_rule_is_off(house_with: Open) -> None:
    house = house_with(off=frozenset({"provisional-emergency"}))
    assert rules(house.send(ct(PatientName="Doe^John")))[0] == "provisional-identifier"
