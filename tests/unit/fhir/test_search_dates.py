from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.fhir.search_dates import interval_of, interval_of_text, micros
from imaging_fhir.model.search import OPEN_HIGH, OPEN_LOW

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", "2024-01-01T00:00+01:00", "2025-01-01T00:00+01:00"),
        ("2024-02", "2024-02-01T00:00+01:00", "2024-03-01T00:00+01:00"),
        ("2024-12", "2024-12-01T00:00+01:00", "2025-01-01T00:00+01:00"),
        ("2024-03-31", "2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"),  # 23 hours
        ("2024-10-27", "2024-10-27T00:00+02:00", "2024-10-28T00:00+01:00"),  # 25 hours
        ("2024-05-01T10:20", "2024-05-01T10:20+02:00", "2024-05-01T10:21+02:00"),
        ("2024-05-01T10:20:30Z", "2024-05-01T10:20:30+00:00", "2024-05-01T10:20:31+00:00"),
        ("2024-05-01T10:20:30-05:30", "2024-05-01T15:50:30+00:00", "2024-05-01T15:50:31+00:00"),
        ("2024-05-01T10:20:30.5Z", "2024-05-01T10:20:30.5+00:00", "2024-05-01T10:20:30.6+00:00"),
        (
            "2024-05-01T10:20:30.123456789Z",
            "2024-05-01T10:20:30.123456+00:00",
            "2024-05-01T10:20:30.123457+00:00",
        ),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00", "2017-01-01T00:00:00+00:00"),
    ],
)
def test_a_date_stands_for_all_it_can_mean(text: str, low: str, high: str) -> None:
    assert interval_of_text(text, BERLIN) == (at(low), at(high))


@pytest.mark.parametrize(
    "text",
    ["", "24", "2024-13", "2024-02-30", "2024-1-1", "0000", "2024-05-01T", "2024-05-01T25:00:00Z",
     "2024-05-01T10:00:61Z", "2024-05-01T10:00:00+99:99", "today", "\uff12\uff10\uff12\uff14"],
)  # fmt: skip
def test_what_is_no_date_has_no_interval(text: str) -> None:
    assert interval_of_text(text, UTC) is None


def test_the_last_year_has_an_open_end() -> None:
    assert interval_of_text("9999", UTC) == (at("9999-01-01T00:00+00:00"), OPEN_HIGH)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ({"start": "2024-01-01"}, "2024-01-01T00:00+00:00", None),
        ({"end": "2024-01-01"}, None, "2024-01-02T00:00+00:00"),
        (
            {"event": ["2024-02-01", "2024-01-01"]},
            "2024-01-01T00:00+00:00",
            "2024-02-02T00:00+00:00",
        ),
        (
            {"repeat": {"boundsPeriod": {"start": "2024", "end": "2025"}}},
            "2024-01-01T00:00+00:00",
            "2026-01-01T00:00+00:00",
        ),
    ],
)
def test_periods_and_timings_stand_for_their_outer_bounds(
    value: Any, low: str | None, high: str | None
) -> None:
    bounds = (at(low) if low else OPEN_LOW, at(high) if high else OPEN_HIGH)
    assert interval_of(value, UTC) == bounds


@pytest.mark.parametrize("value", [{}, {"start": "x"}, {"repeat": {"frequency": 1}}, 7, None])
def test_what_says_no_time_has_no_interval(value: Any) -> None:
    assert interval_of(value, UTC) is None
