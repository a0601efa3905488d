from datetime import UTC, datetime

from imaging_fhir.fhir.search_dates import micros
from imaging_fhir.model.search import OPEN_HIGH, OPEN_LOW
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.services.moments import acquired, instant_bounds, period, zone_of

HOUR = 3_600_000_000
DAY = 24 * HOUR


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return micros(datetime(year, month, day, hour, minute, tzinfo=UTC))


def test_a_time_with_its_own_offset_is_one_moment() -> None:
    made = acquired(LocalDateTime(date="2024-05-01", time="10:00:00", offset="+02:00"), None)
    assert made == (at(2024, 5, 1, 8), at(2024, 5, 1, 8))


def test_a_time_without_any_zone_is_no_moment() -> None:
    assert acquired(LocalDateTime(date="2024-05-01", time="10:00:00"), None) is None


def test_a_date_alone_is_its_whole_day_in_the_zone() -> None:
    made = acquired(LocalDateTime(date="2024-05-01"), zone_of("Europe/Berlin"))
    assert made == (at(2024, 4, 30, 22), at(2024, 5, 1, 22) - 1)


def test_a_day_of_the_change_of_the_clock_has_its_own_length() -> None:
    made = acquired(LocalDateTime(date="2024-10-27"), zone_of("Europe/Berlin"))
    assert made is not None
    assert made[1] - made[0] == 25 * HOUR - 1


def test_a_time_that_the_clock_shows_twice_counts_as_both() -> None:
    made = acquired(LocalDateTime(date="2024-10-27", time="02:30:00"), zone_of("Europe/Berlin"))
    assert made == (at(2024, 10, 27, 0, 30), at(2024, 10, 27, 1, 30))


def test_a_partial_date_is_no_moment() -> None:
    assert acquired(LocalDateTime(date="2024-05"), UTC) is None


def test_a_period_without_end_is_open_for_its_days() -> None:
    assert period({"start": "2024-05-01T08:00:00Z"}, open_days=2) == (
        at(2024, 5, 1, 8),
        at(2024, 5, 3, 8),
    )


def test_a_period_of_dates_ends_with_its_last_day() -> None:
    found = period({"start": "2024-05-01", "end": "2024-05-02"}, open_days=1)
    assert found == (at(2024, 5, 1), at(2024, 5, 3) - 1)


def test_a_period_without_start_is_open() -> None:
    assert period({}, open_days=1) == (OPEN_LOW, OPEN_HIGH)


def test_partial_dates_are_whole_years_and_months() -> None:
    assert instant_bounds("2024") == (at(2024, 1, 1), at(2025, 1, 1) - 1)
    assert instant_bounds("2024-02") == (at(2024, 2, 1), at(2024, 3, 1) - 1)


def test_offsets_and_names_are_zones() -> None:
    assert acquired(LocalDateTime(date="2024-01-01", time="00:00:00"), zone_of("-05:30")) == (
        at(2024, 1, 1, 5, 30),
        at(2024, 1, 1, 5, 30),
    )
    assert zone_of("") is None
