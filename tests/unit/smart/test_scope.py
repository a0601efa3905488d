"""Scopes are read to the letter, and what is not understood grants nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_fhir.model.caller import Scope
from imaging_fhir.smart.scope import PARAMETERS, parse_scope, parse_scopes, written


@pytest.mark.parametrize(
    ("text", "permissions"),
    [
        ("patient/ImagingStudy.rs", "rs"),
        ("patient/ImagingStudy.read", "rs"),
        ("user/*.write", "cud"),
        ("system/*.*", "cruds"),
        ("user/Patient.cruds", "cruds"),
        ("http://smarthealthit.org/fhir/scopes/patient/*.r", "r"),
    ],
)
def test_permissions_of_both_versions(text: str, permissions: str) -> None:
    scope = parse_scope(text)
    assert scope is not None
    assert scope.permissions == frozenset(permissions)


@pytest.mark.parametrize(
    "text",
    [
        "openid",
        "launch/patient",
        "patient/ImagingStudy",
        "patient/ImagingStudy.",
        "patient/ImagingStudy.sr",
        "patient/ImagingStudy.dus",
        "patient/ImagingStudy.rr",
        "patient/ImagingStudy.Rs",
        "patient/imagingStudy.rs",
        "Patient/ImagingStudy.rs",
        "patient/ImagingStudy.rs ",
        "patient/ImagingStudy.rs\n",
        "patient/**.rs",
        "patient/ImagingStudy.rs?",
        "patient/ImagingStudy.rs?modality",
        "patient/ImagingStudy.rs?modality=",
        "patient/ImagingStudy.rs?modality=%20",
        "patient/ImagingStudy.rs?modality=CT&",
        "patient/ImagingStudy.rs?modality=%FF",
        "patient/ImagingStudy.rs?modality:not=CT",
        "patient/ImagingStudy.rs?patient.name=x",
        "patient/ImagingStudy.rs?colour=red",
        "patient/ImagingStudy.rs?modality=CT&colour=red",
        "https://smarthealthit.org/fhir/scopes/patient/*.r",
    ],
)
def test_what_is_not_understood_is_no_scope(text: str) -> None:
    assert parse_scope(text) is None


def test_parameters_narrow_a_scope() -> None:
    scope = parse_scope(
        "patient/DocumentReference.rs?category=http://x.example|a%26b&status=current"
    )
    assert scope is not None
    assert scope.parameters == (("category", "http://x.example|a&b"), ("status", "current"))


def test_scopes_are_told_once_and_in_order() -> None:
    found = parse_scopes("openid user/Patient.rs launch patient/*.read user/Patient.read")
    assert [written(scope) for scope in found] == ["user/Patient.rs", "patient/*.rs"]


SCOPES = st.builds(
    Scope,
    context=st.sampled_from(["patient", "user", "system"]),
    resource_type=st.sampled_from(["*", "ImagingStudy", "Patient"]),
    permissions=st.sets(st.sampled_from("cruds"), min_size=1).map(frozenset),
    parameters=st.lists(
        st.tuples(
            st.sampled_from(sorted(PARAMETERS)),
            st.text(min_size=1).filter(lambda text: text.isprintable() and bool(text.strip())),
        ),
        max_size=3,
    ).map(tuple),
)


@given(SCOPES)
def test_what_is_written_is_read_back(scope: Scope) -> None:
    assert parse_scope(written(scope)) == scope


@given(st.text() | st.from_regex(r"(patient|user|system)/[A-Z*.]+[cruds.]*(\?.*)?", fullmatch=True))
def test_any_text_is_read_or_left(text: str) -> None:
    for scope in parse_scopes(text):
        assert scope.permissions <= frozenset("cruds")
        assert {name for name, _ in scope.parameters} <= PARAMETERS
