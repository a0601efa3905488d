"""The AuditEvent of a correction."""

from datetime import UTC, datetime

import pytest

from imaging_fhir.fhir.audit_event import correction_event
from imaging_fhir.fhir.provenance import ACTIVITIES
from imaging_fhir.fhir.validation import check

RECORDED = datetime(2026, 3, 14, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("address", ["10.1.2.3", None])
def test_it_is_valid_and_says_what_was_done_from_where(activity: str, address: str | None) -> None:
    event = correction_event(
        activity,
        what=("ImagingStudy/1.2.3", "Patient/jane"),
        recorded=RECORDED,
        agent="Caller at 10.1.2.3",
        address=address,
    )
    assert check(event) == []
    assert [one["code"] for one in event["subtype"]] == ["update", activity]
    assert [one["role"]["display"] for one in event["entity"]] == ["Domain Resource", "Patient"]
    assert event["agent"][0].get("network", {}).get("address") == address
