"""What a site file sets of the rules, and what it may not say."""

from pathlib import Path

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.linking_rules import BY_NAME, PATIENT_RULES, SWITCHES, VISIT_RULES
from imaging_fhir.policy import NO_TOLERANCE, Policy, Tolerance
from imaging_fhir.services import patient_rules, visit_rules
from imaging_fhir.settings import Site

ELSEWHERE = {  # rules that are judged with the study or the EHR at hand
    *("decided", "authoritative-source", "decided-no-longer-holds", "rejected", "ehr-unavailable"),
    *("given-no-longer-holds", "switched-off", "study-of-another-patient"),
    *(
        "series-in-two-studies",
        "rejected-by-note",
        "sop-instance-uid-conflict",
        "visit-of-another-patient",
        "no-evidence",
    ),
}


def test_every_rule_has_a_judge() -> None:
    assert {rule.name for rule in PATIENT_RULES} - ELSEWHERE == set(patient_rules.JUDGES)
    assert {rule.name for rule in VISIT_RULES} - ELSEWHERE | {"switched-off"} == set(
        visit_rules.JUDGES
    )


def test_what_holds_an_image_back_cannot_be_switched_off() -> None:
    for rule in (*PATIENT_RULES, *VISIT_RULES):
        if "held" in rule.proves:
            assert rule.switch == ""


def site(tmp_path: Path, text: str) -> Site:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return Site.from_file(str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[linking]\noff = ["patient-idntifier"]', "there is no rule 'patient-idntifier'"),
        ('[linking]\noff = ["identifiers-conflict"]', "cannot be switched off"),
        ('[linking]\noff = ["no-visit"]', "only with 'period'"),
        ('[linking]\noff = "period"', "linking.off is no list of texts"),
        ("[linking]\non = []", "linking has no 'on'"),
        ('[linking]\ntrusted_sources = ["ct-9"]', "no source 'ct-9'"),
        ("[linking.tolerance]\nbefore_admission = 1441", "minutes from 0 to 1440"),
        ("[linking.tolerance]\nbefore_admission = true", "minutes from 0 to 1440"),
        ("[linking.tolerance_of.CT]\nbefore = 5", "linking.tolerance_of.CT has no 'before'"),
        ("[linking]\ntolerance = 5", "linking.tolerance is no table"),
        ("linking = 5", "linking is no table"),
    ],
)
def test_a_wrong_policy_is_an_error_that_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match="SITE_FILE") as raised:
        site(tmp_path, text)
    assert said in str(raised.value)


def test_no_table_is_the_default(tmp_path: Path) -> None:
    assert site(tmp_path, "").policy == Policy()
    assert not any(Policy().is_off(rule) for rule in BY_NAME.values())


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_switches(tmp_path: Path, switch: str) -> None:
    policy = site(tmp_path, f'[linking]\noff = ["{switch}"]').policy
    off = {rule.name for rule in (*PATIENT_RULES, *VISIT_RULES) if policy.is_off(rule)}
    assert off == {name for name, rule in BY_NAME.items() if rule.switch == switch}


@pytest.mark.parametrize("text", ['[linking]\noff = ["period"]', '[issuers]\nA = "urn:oid:1.2"'])
def test_another_site_file_has_another_fingerprint(tmp_path: Path, text: str) -> None:
    assert site(tmp_path, text).fingerprint == site(tmp_path, f"# again\n{text}").fingerprint
    assert site(tmp_path, text).fingerprint != Site().fingerprint


def test_an_empty_list_trusts_nobody() -> None:
    assert Policy().trusts_issuer("urn:oid:1.2")
    assert not Policy(trusted_issuers=frozenset()).trusts_issuer("urn:oid:1.2")
    assert not Policy(trusted_sources=frozenset()).trusts_source("default")


def test_a_site_adds_to_the_placeholders(tmp_path: Path) -> None:
    policy = site(tmp_path, '[linking]\nplaceholder_ids = ["phys-qa", "Cal-*"]').policy
    for value in ("0", "ANONYMOUS", "PHYS QA", "cal 77"):
        assert policy.is_placeholder(value)
    for value in ("4711", "PHYS-QA-1", "LOCAL1"):
        assert not policy.is_placeholder(value)


@pytest.mark.parametrize(
    "name", ["DOE^JOHN", "Doe12^Jane", "Unknown^", "UNKNOWN^MALE 7", "Trauma^Alpha", "Code^Blue 2"]
)
def test_names_of_the_unidentified_are_told(tmp_path: Path, name: str) -> None:
    policy = site(tmp_path, '[linking]\nemergency_names = ["code^blue*"]').policy
    family, _, given = name.partition("^")
    assert policy.is_unidentified(family, given)


@pytest.mark.parametrize("name", ["Doe^Jack", "Roe^John", "Unknownson^Ann", "^", "Nnamdi^Azikiwe"])
def test_other_names_are_peoples(name: str) -> None:
    family, _, given = name.partition("^")
    assert not Policy().is_unidentified(family, given)


def test_a_study_of_several_modalities_has_the_widest_tolerance() -> None:
    policy = Policy(
        tolerance=Tolerance(after_discharge=10),
        tolerance_of={"XA": Tolerance(before_admission=60), "CT": NO_TOLERANCE},
    )
    assert policy.tolerance_for(()) == policy.tolerance_for(("MR",)) == policy.tolerance
    assert policy.tolerance_for(("CT",)) == NO_TOLERANCE
    assert policy.tolerance_for(("XA", "MR")) == Tolerance(before_admission=60, after_discharge=10)
