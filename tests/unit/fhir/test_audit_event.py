"""The AuditEvent of a row of the audit trail: valid, and as IHE BALP has it."""

import pytest

from imaging_fhir.fhir.audit_event import PROFILES, SUBTYPES, audit_event
from imaging_fhir.fhir.provenance import ACTIVITIES
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.audit import ACTIONS, Agent, Event, agent_of
from imaging_fhir.model.caller import LOCAL, Caller
from imaging_fhir.model.codec import Resource

BASE = "https://images.example/fhir"
JANE = Agent(
    name="dr.jane",
    fhir_user="Practitioner/jane",
    issuer="https://ehr.example",
    subject="dr.jane",
    client_id="viewer",
    roles=("clinician",),
)
NOBODY = agent_of(Caller(address="10.1.2.3"))


def event(kind: str, agent: Agent = JANE, **given: object) -> Event:
    facts: dict[str, object] = {
        "id": "a",
        "recorded": 1_773_483_300_000,
        "kind": kind,
        "agent": agent.text,
        "address": "10.1.2.3",
        "request": "r1",
        "purposes": ("TREAT",),
        "patient": "ann",
        "entity": "ImagingStudy/1.2.3",
        "query": "/fhir/ImagingStudy?patient=ann" if kind == "search" else None,
    }
    return Event(**{**facts, **given})  # type: ignore[arg-type]


def shown(given: Event) -> Resource:
    found = audit_event(given, base=BASE)
    assert check(found) == []
    return found


def test_every_kind_of_event_has_an_action_and_subtypes() -> None:
    assert SUBTYPES.keys() == ACTIONS.keys()
    assert PROFILES.keys() <= ACTIONS.keys()


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("agent", [JANE, NOBODY, agent_of(LOCAL)])
@pytest.mark.parametrize("patient", ["ann", None])
def test_every_kind_is_a_valid_audit_event(kind: str, agent: Agent, patient: str | None) -> None:
    found = shown(event(kind, agent, patient=patient))
    assert found["action"] == ACTIONS[kind]
    persons = [one for one in found["entity"] if one["type"]["code"] == "1"]
    assert len(persons) == (patient is not None)
    roles = [one["type"]["coding"][0]["code"] for one in found["agent"]]
    assert len(roles) == len(set(roles)) == (3 if agent is JANE else 2)
    assert sum(one["requestor"] for one in found["agent"]) == 1


@pytest.mark.parametrize(("kind", "profile"), PROFILES.items())
def test_what_went_well_claims_the_profile_of_its_interaction(kind: str, profile: str) -> None:
    [claimed] = shown(event(kind))["meta"]["profile"]
    assert claimed.endswith(f"/IHE.BasicAudit.Patient{profile}")
    [claimed] = shown(event(kind, patient=None))["meta"]["profile"]
    assert claimed.endswith(f"/IHE.BasicAudit.{profile}")
    assert "profile" not in shown(event(kind, outcome="4", status=404))["meta"]


def test_data_flows_to_who_reads_and_from_who_writes() -> None:
    for kind, codes in (("read", ["110152", "110153"]), ("update", ["110153", "110152"])):
        agents = shown(event(kind))["agent"]
        assert [one["type"]["coding"][0]["code"] for one in agents[:2]] == codes


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_a_correction_says_which_and_names_all_that_it_touched(activity: str) -> None:
    found = shown(
        event("correct", NOBODY, activity=activity, mentions=("Patient/ann", "Patient/jane"))
    )
    assert [one["code"] for one in found["subtype"]] == ["update", activity]
    assert [one["what"].get("reference") for one in found["entity"]] == [
        "ImagingStudy/1.2.3",
        "Patient/ann",
        "Patient/jane",
        None,
    ]


def test_who_was_erased_is_shown_as_nobody() -> None:
    found = shown(Event(id="a", recorded=0, kind="read", agent="", address="10.1.2.3"))
    assert found["agent"][0]["who"] == {"display": "Erased"}
