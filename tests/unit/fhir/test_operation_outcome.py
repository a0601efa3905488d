from imaging_fhir.fhir.operation_outcome import issue, operation_outcome, outcome_of


def test_an_outcome_names_the_element_at_fault() -> None:
    assert operation_outcome("required", "There is no name.", expression="Patient.name") == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "required",
                "diagnostics": "There is no name.",
                "expression": ["Patient.name"],
            }
        ],
    }


def test_several_issues_stand_in_one_outcome() -> None:
    issues = [issue("invalid", "a"), issue("value", "b", severity="warning", details="c")]
    found = outcome_of(issues)["issue"]
    assert [one["severity"] for one in found] == ["error", "warning"]
    assert found[1]["details"] == {"text": "c"}


def test_no_issue_is_good_news() -> None:
    (found,) = outcome_of([])["issue"]
    assert (found["severity"], found["code"]) == ("information", "informational")
