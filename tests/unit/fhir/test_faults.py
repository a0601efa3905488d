import pytest

from imaging_fhir.fhir.faults import MAX_ISSUES, Faults, TooManyFaults


def test_the_list_of_faults_is_bounded() -> None:
    faults = Faults()
    for _ in range(MAX_ISSUES - 1):
        faults.error("Patient", "is wrong", "invalid")
    with pytest.raises(TooManyFaults):
        faults.error("Patient", "is wrong", "invalid")
    assert len(faults.issues) == MAX_ISSUES
