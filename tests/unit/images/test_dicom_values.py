import pytest

from imaging_fhir.images.dicom_values import (
    fhir_date,
    fhir_offset,
    fhir_time,
    is_strict_uid,
    is_uid,
    local_date_time,
    name_components,
    person_name,
    unsigned_int,
)
from imaging_fhir.model.person import NameComponents
from imaging_fhir.model.study import LocalDateTime


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20240229", "2024-02-29"),
        ("2022.01.05", "2022-01-05"),
        ("1975", "1975"),
        ("197503", "1975-03"),
        ("20220230", None),
        ("20230229", None),
        ("19750000", None),
        ("00000000", None),
        ("197513", None),
        ("2022-01-05", None),
        ("19", None),
        ("٢٠٢٢٠١٠٥", None),
    ],
)
def test_a_date_keeps_its_precision_and_is_one_of_the_calendar(
    value: str, expected: str | None
) -> None:
    assert fhir_date(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("101530", "10:15:30"),
        ("101530.1", "10:15:30.1"),
        ("101530.123456", "10:15:30.123456"),
        ("101530.123456789", "10:15:30.123456"),
        ("10:15:30", "10:15:30"),
        ("1015", "10:15:00"),
        ("235960", "23:59:59"),
        ("10", None),
        ("2561", None),
        ("240000", None),
        ("101561", None),
        ("101530.", None),
    ],
)
def test_a_time_has_hour_and_minute_of_the_day(value: str, expected: str | None) -> None:
    assert fhir_time(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("+0100", "+01:00"),
        ("-0330", "-03:30"),
        ("+0000", "+00:00"),
        ("+1400", "+14:00"),
        ("-1200", "-12:00"),
        ("-0000", None),
        ("+1401", None),
        ("-1201", None),
        ("+0160", None),
        ("0100", None),
        ("+01:00", None),
    ],
)
def test_an_offset_is_within_the_range_of_the_standard(value: str, expected: str | None) -> None:
    assert fhir_offset(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2022", LocalDateTime(date="2022")),
        ("20220105", LocalDateTime(date="2022-01-05")),
        ("202201051015", LocalDateTime(date="2022-01-05", time="10:15:00")),
        (
            "20220105101530.5+0200",
            LocalDateTime(date="2022-01-05", time="10:15:30.5", offset="+02:00"),
        ),
        ("20220105256100", None),
        ("20220230101530", None),
        ("20220105101530+9900", None),
        ("today", None),
    ],
)
def test_a_date_time_is_taken_whole_or_not_at_all(
    value: str, expected: LocalDateTime | None
) -> None:
    assert local_date_time(value) == expected


def test_a_uid_is_made_of_digits_and_dots_only() -> None:
    assert is_uid("1.2.840.10008")
    assert not is_uid("1.2.840/../x")
    assert not is_uid("1." * 32 + "1")
    assert not is_uid("١.٢")  # noqa: RUF001  # digits, but not ASCII's


def test_a_leading_zero_is_not_strictly_legal() -> None:
    assert is_strict_uid("1.0.2")
    assert not is_strict_uid("1.02")
    assert not is_strict_uid("1..2")


def test_an_unsigned_int_is_what_fhir_takes() -> None:
    assert [unsigned_int(number) for number in (0, 7, 2**31 - 1)] == [0, 7, 2**31 - 1]
    assert [unsigned_int(number) for number in (-1, 2**31, None, "7")] == [None] * 4


def test_a_name_is_split_into_its_five_components() -> None:
    assert name_components("Adams^John Robert^Quincy^Rev.^B.A. M.Div.") == NameComponents(
        family="Adams",
        given=("John Robert", "Quincy"),
        prefix=("Rev.",),
        suffix=("B.A. M.Div.",),
    )


def test_a_name_of_delimiters_alone_is_no_name() -> None:
    assert person_name({"Alphabetic": "^^^^"}) is None
    assert person_name({}) is None


def test_each_component_group_is_a_name_of_its_own() -> None:
    name = person_name({"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"})
    assert name is not None
    assert name.ideographic == NameComponents(family="山田", given=("太郎",))
    assert name.phonetic is None
