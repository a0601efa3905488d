from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.fhir.datatypes import (
    codeable_concept,
    date_time,
    human_names,
    issued_identifier,
    reference,
    string,
    universal_system,
    without_empty,
)
from imaging_fhir.model.person import IssuedId, Issuer, NameComponents, PersonName
from imaging_fhir.model.study import CodedConcept, LocalDateTime

BERLIN = ZoneInfo("Europe/Berlin")


def test_elements_without_a_value_are_left_out_and_false_and_zero_are_kept() -> None:
    elements: dict[str, object] = {
        "a": None,
        "b": "",
        "c": [],
        "d": {},
        "e": False,
        "f": 0,
        "g": "x",
    }
    assert without_empty(elements) == {"e": False, "f": 0, "g": "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (" \t", None),
        ("a\x00b\x1b", "ab"),
        (" a\nb ", "a\nb"),
        ("x\ud800", "x"),
        ("山田", "山田"),
    ],
)
def test_a_string_has_no_character_that_r4_forbids(text: str | None, expected: str | None) -> None:
    assert string(text) == expected


@pytest.mark.parametrize(
    ("date", "time", "offset", "expected"),
    [
        ("2024", None, None, "2024"),
        ("2024-05", None, None, "2024-05"),
        ("2024-05-01", "13:45:07.25", None, "2024-05-01T13:45:07.25+02:00"),
        ("2024-01-01", "13:45:07", None, "2024-01-01T13:45:07+01:00"),
        ("2024-05-01", "13:45:07", "-05:00", "2024-05-01T13:45:07-05:00"),
        ("2024-05-01", "13:45:07", "Z", "2024-05-01T13:45:07Z"),
        ("2024-05-01", "13:45:07", "+15:00", "2024-05-01"),
        ("2024-10-27", "02:30:00", None, "2024-10-27T02:30:00+02:00"),  # shown twice: the first
        ("2024-03-31", "02:30:00", None, "2024-03-31T03:30:00+02:00"),  # skipped
        ("2016-12-31", "23:59:60", "Z", "2016-12-31T23:59:59Z"),
        ("1890-01-01", "12:00:00", None, "1890-01-01T11:06:32+00:00"),  # before time zones
        ("0001-01-01", "00:00:00", None, "0001-01-01"),
    ],
)
def test_a_date_time_takes_the_files_offset_or_the_zones(
    date: str, time: str | None, offset: str | None, expected: str
) -> None:
    assert date_time(LocalDateTime(date=date, time=time, offset=offset), BERLIN) == expected


def test_without_a_zone_a_date_time_is_the_date_alone() -> None:
    assert date_time(LocalDateTime(date="2024-05-01", time="13:45:07"), None) == "2024-05-01"


@pytest.mark.parametrize(
    ("entity", "type_", "expected"),
    [
        ("1.2.3", "ISO", "urn:oid:1.2.3"),
        ("1.02.3", "ISO", None),
        ("https://a.example/ids", "URI", "https://a.example/ids"),
        ("no uri", "URI", None),
        (
            "0E5E1B0A-6F64-4B5B-9B0C-3E6E2B0E6C11",
            "UUID",
            "urn:uuid:0e5e1b0a-6f64-4b5b-9b0c-3e6e2b0e6c11",
        ),
        ("Hospital.example", "DNS", "dns:hospital.example"),
        ("1.2.3", None, None),
    ],
)
def test_an_issuer_names_its_own_system(entity: str, type_: str, expected: str | None) -> None:
    issuer = Issuer(universal_entity_id=entity, universal_entity_id_type=type_)
    assert universal_system(issuer) == expected


def test_an_issuer_without_a_system_stays_readable() -> None:
    issued = IssuedId(value="7", issuer=Issuer(local_namespace_entity_id="RIS"))
    assert issued_identifier(issued, universal_system) == {
        "value": "7",
        "assigner": {"display": "RIS"},
    }


def test_each_group_of_a_name_is_marked_by_its_script() -> None:
    name = PersonName(
        alphabetic=NameComponents(family="Yamada"), ideographic=NameComponents(family="山田")
    )
    names = human_names(name)
    assert [found["family"] for found in names] == ["Yamada", "山田"]
    assert [found["extension"][0]["valueCode"] for found in names] == ["ABC", "IDE"]


def test_an_alphabetic_name_alone_needs_no_mark() -> None:
    name = PersonName(alphabetic=NameComponents(family="Gray", given=("Ann",), prefix=("Dr",)))
    assert human_names(name) == [
        {"text": "Dr Ann Gray", "family": "Gray", "given": ["Ann"], "prefix": ["Dr"]}
    ]


def test_a_reference_to_nothing_is_none() -> None:
    assert reference(type_="Device", display=" ") is None


def test_a_code_of_an_unknown_scheme_is_text_alone() -> None:
    concept = CodedConcept(code_value="X", coding_scheme_designator="99X", code_meaning="Thing")
    assert codeable_concept(concept) == {"text": "Thing"}
