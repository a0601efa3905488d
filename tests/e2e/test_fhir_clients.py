"""Clients of FHIR that others wrote, over real sockets, each doing all that a client does."""

from typing import Any

import pytest

from tests.dicom_samples import ROOT, ct_instance
from tests.e2e.fhir_clients import CLIENTS, Seen
from tests.e2e.server import Server
from tests.house import issued_by

STUDIES = 5


def instance_of_known_number(study: int) -> bytes:
    """All of one patient: a number with its issuer names the same person everywhere."""
    uid = f"{ROOT}.81.{study}"
    return ct_instance(
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.1",
        IssuerOfPatientIDQualifiersSequence=issued_by("urn:oid:1.2.3.81"),
    )


@pytest.fixture(scope="module")
def studies(server: Server) -> list[Any]:
    """What the server says itself of the studies of one patient, in the order of their UID."""
    content = [instance_of_known_number(n) for n in range(STUDIES)]
    answer = server.store(*content)
    assert answer.status == 200, answer.body
    found = server.fhir("ImagingStudy?_sort=identifier&_count=50")["entry"]
    resources = [entry["resource"] for entry in found]
    assert len(resources) == STUDIES
    assert len({study["subject"]["reference"] for study in resources}) == 1
    return resources


@pytest.fixture(scope="module", params=CLIENTS)
def seen(request: pytest.FixtureRequest, server: Server, studies: list[Any]) -> Seen:
    return CLIENTS[request.param](server.base, studies[0]["subject"]["reference"])


def test_a_search_is_followed_to_its_last_page_with_what_it_includes(
    seen: Seen, studies: list[Any]
) -> None:
    patient = studies[0]["subject"]["reference"]
    endpoint = next(one["reference"] for one in studies[0]["endpoint"])
    for pages in [seen[name] for name in ("pages", "posted") if name in seen]:
        matches = [[name for mode, name in page if mode == "match"] for page in pages]
        ids = [f"ImagingStudy/{study['id']}" for study in studies]
        assert matches == [ids[:2], ids[2:4], ids[4:]]
        for page in pages:
            included = {name for mode, name in page if mode == "include"}
            assert included == {patient, endpoint}


def test_all_pages_are_one_list_to_who_wants_it_so(seen: Seen, studies: list[Any]) -> None:
    """fhirpy iterates over matches; fhirclient (npm) puts the subject in its reference's place."""
    assert seen.get("flat", [study["id"] for study in studies]) == [one["id"] for one in studies]
    assert seen.get("subjects", ["Patient"] * STUDIES) == ["Patient"] * STUDIES


def test_an_update_on_an_old_version_is_the_clients_own_error(seen: Seen) -> None:
    created, updated = seen["created"], seen["updated"]
    assert created["meta"]["versionId"] == "1"
    assert updated["id"] == created["id"]
    assert (updated["gender"], updated["meta"]["versionId"]) == ("other", "2")
    assert seen["conflict"] == {"status": 412, "code": "conflict"}


def test_a_patch_changes_that_element_alone(seen: Seen) -> None:
    before, after = dict(seen["updated"]), dict(seen["patched"])
    assert after.pop("meta")["versionId"] == "3"
    before.pop("meta")
    assert after.pop("name") == [{"family": "Patched"}]
    before.pop("name")
    assert after == before


def test_versions_stay_and_what_is_deleted_is_gone(seen: Seen) -> None:
    assert seen["history"] == ["3", "2", "1"]
    assert seen["first"] == seen["created"]
    assert seen["deleted"] in (200, 204)
    assert seen["gone"] == {"status": 410, "code": "deleted"}


def test_a_transaction_is_all_or_nothing(seen: Seen, server: Server) -> None:
    entries = seen["transaction"]["entry"]
    assert [entry["response"]["status"][:3] for entry in entries] == ["201", "201"]
    patient, encounter = (
        entry["response"]["location"].rpartition("/_history")[0] for entry in entries
    )
    stored = server.fhir(encounter.removeprefix(f"{server.base}/"))
    assert stored["subject"]["reference"] == patient.removeprefix(f"{server.base}/")
    assert seen["refused"]["status"] == 422
    assert seen["refused"]["code"] is not None
    whole = server.fhir("Patient?family=whole&_count=50")["entry"]
    encounters = server.fhir("Encounter?subject.family=whole&_count=50")["entry"]
    assert len(whole) == len(encounters)
