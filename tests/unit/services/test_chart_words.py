from datetime import date
from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.services.chart_words import (
    age,
    class_text,
    counted,
    human_name,
    identifier_label,
    laterality_text,
    modality_name,
    names_of,
    rule_in_words,
    shown_fact,
    shown_moment,
    shown_period,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2025", "2025"),
        ("2025-03", "Mar 2025"),
        ("2025-03-02", "2 Mar 2025"),
        ("2025-03-02T09:05:00+01:00", "2 Mar 2025, 09:05"),
        ("2025-03-02T23:30:00.125Z", "2 Mar 2025, 23:30 UTC"),
    ],
)
def test_a_moment_is_shown_as_precisely_as_it_is_known(text: str, shown: str) -> None:
    assert shown_moment(text, None) == shown


def test_a_moment_is_shown_in_the_zone_of_the_site() -> None:
    assert shown_moment("2025-07-02T23:30:00Z", BERLIN) == "3 Jul 2025, 01:30"
    assert shown_moment("2025-07-02", BERLIN) == "2 Jul 2025"


@pytest.mark.parametrize(
    ("period", "shown"),
    [
        (("2025-03-04T09:00:00+01:00", "2025-03-04T12:00:00+01:00"), "09:00 to 12:00"),
        (
            ("2025-03-04T21:40:00+01:00", "2025-03-05T04:40:00+01:00"),
            "21:40 to 5 Mar 2025, 04:40",
        ),
        (("2025-03-04T09:00:00+01:00", None), "09:00, no end recorded"),
        (("2025-03-04T09:00:00+01:00", "2025-03-04T09:00:00+01:00"), "09:00"),
        (("2025-03-04", "2025-03-04"), ""),
    ],
)
def test_a_visit_is_shown_by_its_day_and_hours(period: tuple[str, str | None], shown: str) -> None:
    start, end = period
    value = {"start": start} | ({"end": end} if end else {})
    assert shown_period(value, None) == ("4 Mar 2025", shown)


def test_a_visit_without_a_start_says_so() -> None:
    assert shown_period({}, None) == ("Date not known", "")
    assert shown_period({"end": "2025-03-04"}, None) == ("Date not known", "until 4 Mar 2025")


@pytest.mark.parametrize(
    ("born", "shown"),
    [
        ("1967-03-12", "57 y"),
        ("1967-03-11", "58 y"),
        ("2023-03-11", "2 y"),
        ("2023-03-12", "23 mo"),
        ("2025-01-11", "2 mo"),
        ("2025-03-01", "10 d"),
        ("2025-03-12", ""),
        ("1967-03", "about 58 y"),
        ("1967", "about 58 y"),
    ],
)
def test_an_age_is_in_the_unit_that_fits(born: str, shown: str) -> None:
    assert age(born, date(2025, 3, 11)) == shown


def test_a_name_is_shown_family_name_first() -> None:
    name = {"family": "Okafor", "given": ["Amara", "B."], "prefix": ["Dr"], "suffix": ["MD"]}
    assert human_name(name) == "Okafor, Amara B. (Dr MD)"
    assert human_name({"text": "Amara Okafor"}) == "Amara Okafor"
    assert human_name({"given": ["Amara"]}) == "Amara"


def test_the_official_name_comes_before_the_maiden_name() -> None:
    maiden = {"use": "maiden", "family": "Eze"}
    assert names_of({"name": [maiden, {"use": "official", "family": "Okafor"}]}) == [
        "Okafor",
        "Eze",
    ]


def test_a_medical_record_number_is_called_so() -> None:
    system = "http://terminology.hl7.org/CodeSystem/v2-0203"
    assert identifier_label({"type": {"coding": [{"system": system, "code": "MR"}]}}) == "MRN"
    assert identifier_label({"type": {"text": "Passport"}}) == "Passport"
    assert identifier_label({"value": "1"}) == "ID"


def test_codes_are_shown_in_words() -> None:
    assert modality_name("CT") == "Computed tomography"
    assert modality_name("ZZ") == "ZZ"
    assert class_text({"code": "EMER", "display": "emergency"}) == "Emergency"
    assert class_text({"code": "own", "display": "tele visit"}) == "Tele visit"
    assert laterality_text({"code": "7771000"}) == "Left"
    assert shown_fact("PatientBirthDate", "1957-06-30") == "30 Jun 1957"
    assert shown_fact("PatientSex", "female") == "Female"


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(1, "image") == "1 image"
    assert counted(1200, "image") == "1,200 images"
    assert counted(1, "series", "series") == "1 series"


def test_every_rule_of_linking_is_told_in_words() -> None:
    assert rule_in_words("patient-identifier") == "Matched by the patient identifier in the file"
    assert rule_in_words("some-new-rule") == "Some new rule"
