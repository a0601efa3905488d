"""batch and transaction (http.html#transaction)."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.services.transaction import supported_part
from tests.integration.web.answers import json_of

Entry = dict[str, Any]
A, B = (
    "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000a",
    "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000b",
)
IDENTIFIER = {"system": "urn:oid:1.2.3", "value": "77"}
CONDITION = "identifier=urn:oid:1.2.3|77"


def post(client: FlaskClient, kind: str, *entries: Entry, prefer: str = "") -> TestResponse:
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return client.post("/fhir", json=bundle, headers={"Prefer": prefer} if prefer else {})


def entry(method: str, url: str, resource: Entry | None = None, **more: Any) -> Entry:
    request = {"method": method, "url": url, **more.pop("request", {})}
    made: Entry = {"request": request, **more}
    if resource is not None:
        made["resource"] = resource
    return made


def patient(**elements: Any) -> Entry:
    return {"resourceType": "Patient", **elements}


def encounter(subject: str, **elements: Any) -> Entry:
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": subject},
        **elements,
    }


def statuses(response: TestResponse) -> list[str]:
    assert response.status_code == 200, json_of(response)
    return [one["response"]["status"][:3] for one in json_of(response)["entry"]]


def located(client: FlaskClient, response: TestResponse, index: int) -> Any:
    """The resource that an entry of the answer says it made."""
    location = json_of(response)["entry"][index]["response"]["location"]
    return json_of(client.get(f"/fhir/{location}"))


def test_references_between_new_resources_are_rewritten_whatever_their_order(
    client: FlaskClient,
) -> None:
    visit = encounter(A, text={"status": "generated", "div": DIV})
    response = post(
        client,
        "transaction",
        entry("POST", "Encounter", visit, fullUrl=B),
        entry("POST", "Patient", patient(), fullUrl=A),
    )
    assert statuses(response) == ["201", "201"]
    made = located(client, response, 0)
    new = located(client, response, 1)
    assert made["subject"]["reference"] == f"Patient/{new['id']}"
    assert f'href="Patient/{new["id"]}"' in made["text"]["div"]


DIV = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{A}">who</a></div>'


def test_circular_references_are_legal(client: FlaskClient) -> None:
    response = post(
        client,
        "transaction",
        entry(
            "POST",
            "Patient",
            patient(link=[{"other": {"reference": B}, "type": "seealso"}]),
            fullUrl=A,
        ),
        entry(
            "POST",
            "Patient",
            patient(link=[{"other": {"reference": A}, "type": "seealso"}]),
            fullUrl=B,
        ),
    )
    one, other = located(client, response, 0), located(client, response, 1)
    assert one["link"][0]["other"]["reference"] == f"Patient/{other['id']}"
    assert other["link"][0]["other"]["reference"] == f"Patient/{one['id']}"


def test_an_attachment_finds_the_binary_of_the_same_transaction(client: FlaskClient) -> None:
    data = base64.b64encode(b"picture").decode()
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": "image/png", "url": A}}],
    }
    binary = {"resourceType": "Binary", "contentType": "image/png", "data": data}
    response = post(
        client,
        "transaction",
        entry("POST", "DocumentReference", document, fullUrl=B),
        entry("POST", "Binary", binary, fullUrl=A),
    )
    assert statuses(response) == ["201", "201"]
    url = located(client, response, 0)["content"][0]["attachment"]["url"]
    assert url.startswith("https://images.example/fhir/Binary/")
    assert client.get(url.removeprefix("https://images.example")).get_data() == b"picture"


def test_one_bad_entry_undoes_all_and_is_named(client: FlaskClient) -> None:
    response = post(
        client,
        "transaction",
        entry("PUT", "Patient/kept-out", patient(id="kept-out")),
        entry("POST", "Patient", patient(gender="robot")),
    )
    assert response.status_code == 422
    assert "Bundle.entry[1]" in json.dumps(json_of(response))
    assert client.get("/fhir/Patient/kept-out").status_code == 404


def test_a_conflict_found_while_writing_undoes_all(client: FlaskClient) -> None:
    data = base64.b64encode(b"x").decode()
    binary = {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": data}
    response = post(
        client,
        "transaction",
        entry("PUT", "Binary/b", binary),
        entry("PUT", "Patient/a", patient(id="a"), request={"ifMatch": 'W/"3"'}),
    )
    assert response.status_code == 412
    assert "Bundle.entry[1]" in json_of(response)["issue"][0]["diagnostics"]
    assert client.get("/fhir/Binary/b").status_code == 404


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (entry("POST", "Condition", {"resourceType": "Condition"}), 404),
        (entry("PUT", "Task/1", {"resourceType": "Task", "id": "1"}), 405),
        (entry("POST", "Patient", encounter("Patient/a")), 400),
        (entry("PUT", "Patient/a", patient(id="b")), 400),
        (entry("POST", "Patient"), 400),
        (entry("BREW", "Patient"), 400),
        (entry("POST", "../etc/passwd"), 400),
        ({"resource": patient()}, 400),
        ({"request": 7}, 400),
        (7, 400),
        (entry("GET", "Patient/nobody"), 404),
        (entry("POST", "Patient", patient(), request={"ifNoneExist": ""}), 422),
        (entry("POST", "Patient", patient(), request={"ifNoneExist": "nonsense=1"}), 400),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else str(value),
)
def test_an_entry_that_cannot_be_done_fails_the_transaction(
    client: FlaskClient, bad: Any, status: int
) -> None:
    response = post(client, "transaction", entry("PUT", "Patient/p", patient(id="p")), bad)
    assert response.status_code == status
    assert "Bundle.entry[1]" in json.dumps(json_of(response))
    assert client.get("/fhir/Patient/p").status_code == 404


def test_nothing_is_touched_twice(client: FlaskClient) -> None:
    response = post(
        client,
        "transaction",
        entry("PUT", "Patient/a", patient(id="a")),
        entry("DELETE", "Patient/a"),
    )
    assert response.status_code == 400
    assert client.get("/fhir/Patient/a").status_code == 404


def test_deletes_come_before_creates_and_reads_last(client: FlaskClient) -> None:
    client.put("/fhir/Patient/old", json=patient(id="old", identifier=[IDENTIFIER]))
    response = post(
        client,
        "transaction",
        entry("GET", "Patient/new"),
        entry("PUT", "Patient/new", patient(id="new", gender="female")),
        entry("DELETE", "Patient/old"),
    )
    assert statuses(response) == ["200", "201", "204"]
    assert json_of(response)["entry"][0]["resource"]["gender"] == "female"
    assert client.get("/fhir/Patient/old").status_code == 410


def test_a_batch_does_what_it_can(client: FlaskClient) -> None:
    response = post(
        client,
        "batch",
        entry("PUT", "Patient/a", patient(id="a")),
        entry("PUT", "Patient/b", patient(id="c")),
        entry("GET", "Patient/a"),
        entry("GET", "Patient/nobody"),
        entry("DELETE", "Patient/a"),
        entry("POST", "Condition", {"resourceType": "Condition"}),
    )
    assert statuses(response) == ["201", "400", "200", "404", "204", "404"]
    assert json_of(response)["type"] == "batch-response"
    outcome = json_of(response)["entry"][1]["response"]["outcome"]
    assert outcome["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert client.get("/fhir/Patient/a").status_code == 410


def test_the_answer_has_the_resources_where_they_are_wanted(client: FlaskClient) -> None:
    one = entry("POST", "Patient", patient())
    assert "resource" not in json_of(post(client, "transaction", one))["entry"][0]
    full = json_of(post(client, "transaction", one, prefer="return=representation"))["entry"][0]
    assert full["resource"]["resourceType"] == "Patient"
    assert full["response"]["etag"] == 'W/"1"'


@pytest.mark.parametrize(
    "bundle",
    [
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle"},
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "batch", "entry": 7},
    ],
)
def test_only_a_batch_or_a_transaction_is_posted_at_the_base(
    client: FlaskClient, bundle: Entry
) -> None:
    assert client.post("/fhir", json=bundle).status_code == 400


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_nothing_to_do_is_done(client: FlaskClient, kind: str) -> None:
    response = client.post("/fhir", json={"resourceType": "Bundle", "type": kind})
    assert response.status_code == 200
    assert json_of(response) == {"resourceType": "Bundle", "type": f"{kind}-response"}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def damaged(value: Any, chance: random.Random) -> Any:
    """A copy in which something else stands in one place, or nothing."""
    copy = json.loads(json.dumps(value))
    *path, last = chance.choice(list(places(copy)))
    owner = copy
    for key in path:
        owner = owner[key]
    if chance.random() < 0.2:
        del owner[last]
    else:
        owner[last] = chance.choice([None, 1, 1.5, "", [], {}, "x", True, [None], {"a": 1}, [[1]]])
    return copy


def test_a_damaged_bundle_is_never_a_fault_of_ours(client: FlaskClient) -> None:
    chance = random.Random(5)
    entries = [
        entry(
            "POST",
            "Patient",
            patient(identifier=[IDENTIFIER], text={"status": "generated", "div": DIV}),
            fullUrl=A,
            request={"ifNoneExist": CONDITION},
        ),
        entry(
            "PUT",
            "DocumentReference/d",
            {
                "resourceType": "DocumentReference",
                "id": "d",
                "status": "current",
                "subject": {"reference": A},
                "content": [{"attachment": {"contentType": "image/png", "data": "AAAA"}}],
            },
            request={"ifNoneMatch": "*"},
        ),
        entry("POST", "Encounter", encounter(f"Patient?{CONDITION}")),
        entry("GET", "Patient?_id=x"),
        entry("DELETE", "Patient/zz"),
    ]
    statuses_seen = set()
    for number in range(150):
        kind = ("batch", "transaction")[number % 2]
        bundle = damaged({"resourceType": "Bundle", "type": kind, "entry": entries}, chance)
        response = client.post("/fhir", json=bundle)
        statuses_seen.add(response.status_code)
        assert response.status_code < 500, bundle
    assert {200, 400, 422} <= statuses_seen


def test_what_exists_already_is_referred_to_and_not_created_again(client: FlaskClient) -> None:
    client.put("/fhir/Patient/known", json=patient(id="known", identifier=[IDENTIFIER]))
    response = post(
        client,
        "transaction",
        entry(
            "POST",
            "Patient",
            patient(identifier=[IDENTIFIER]),
            fullUrl=A,
            request={"ifNoneExist": CONDITION},
        ),
        entry("POST", "Encounter", encounter(A)),
    )
    assert statuses(response) == ["200", "201"]
    assert located(client, response, 1)["subject"]["reference"] == "Patient/known"


def test_a_conditional_reference_finds_what_the_same_transaction_creates(
    client: FlaskClient,
) -> None:
    response = post(
        client,
        "transaction",
        entry("POST", "Encounter", encounter(f"Patient?{CONDITION}")),
        entry("POST", "Patient", patient(identifier=[IDENTIFIER])),
    )
    assert statuses(response) == ["201", "201"]
    new = located(client, response, 1)
    assert located(client, response, 0)["subject"]["reference"] == f"Patient/{new['id']}"


@pytest.mark.parametrize("matches", [0, 2])
def test_a_conditional_reference_must_find_one(client: FlaskClient, matches: int) -> None:
    for number in range(matches):
        client.post("/fhir/Patient", json=patient(identifier=[IDENTIFIER], active=number == 0))
    response = post(
        client, "transaction", entry("POST", "Encounter", encounter(f"Patient?{CONDITION}"))
    )
    assert (response.status_code, json_of(response)["issue"][0]["code"]) == (
        412,
        "multiple-matches",
    )


def test_a_conditional_update_in_a_transaction_writes_to_what_it_finds(client: FlaskClient) -> None:
    client.put("/fhir/Patient/known", json=patient(id="known", identifier=[IDENTIFIER]))
    changed = patient(identifier=[IDENTIFIER], gender="male")
    response = post(client, "transaction", entry("PUT", f"Patient?{CONDITION}", changed))
    assert statuses(response) == ["200"]
    assert json_of(client.get("/fhir/Patient/known"))["gender"] == "male"


def test_a_conditional_update_writes_to_no_other_that_has_the_id(client: FlaskClient) -> None:
    client.put("/fhir/Patient/other", json=patient(id="other", gender="female"))
    changed = patient(id="other", identifier=[IDENTIFIER], gender="male")
    response = post(client, "transaction", entry("PUT", f"Patient?{CONDITION}", changed))
    assert response.status_code == 409
    assert json_of(client.get("/fhir/Patient/other"))["gender"] == "female"
    client.delete("/fhir/Patient/other")
    fresh = entry("PUT", f"Patient?{CONDITION}", changed | {"id": "fresh"})
    assert statuses(post(client, "transaction", fresh)) == ["201"]
    assert json_of(client.get("/fhir/Patient/fresh"))["gender"] == "male"


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_condition_does_not_unsay_if_match(client: FlaskClient, kind: str, method: str) -> None:
    client.put("/fhir/Patient/known", json=patient(id="known", identifier=[IDENTIFIER]))
    changed = patient(identifier=[IDENTIFIER], gender="male") if method == "PUT" else None
    stale = entry(method, f"Patient?{CONDITION}", changed, request={"ifMatch": 'W/"7"'})
    response = post(client, kind, stale)
    assert "412" in (str(response.status_code), *(statuses(response) if kind == "batch" else ()))
    assert json_of(client.get("/fhir/Patient/known"))["meta"]["versionId"] == "1"
    fresh = entry(method, f"Patient?{CONDITION}", changed, request={"ifMatch": 'W/"1"'})
    assert statuses(post(client, kind, fresh)) == ["200" if method == "PUT" else "204"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_summary_takes_no_place_of_the_whole(client: FlaskClient, kind: str) -> None:
    client.put("/fhir/Patient/whole", json=patient(id="whole", identifier=[IDENTIFIER]))
    cut = json_of(client.get("/fhir/Patient/whole?_elements=gender"))
    assert "identifier" not in cut
    response = post(client, kind, entry("PUT", "Patient/whole", cut))
    assert "422" in (str(response.status_code), *(statuses(response) if kind == "batch" else ()))
    assert json_of(client.get("/fhir/Patient/whole"))["identifier"] == [IDENTIFIER]


def test_the_same_identity_by_id_and_by_condition_is_touched_twice(client: FlaskClient) -> None:
    client.put("/fhir/Patient/known", json=patient(id="known", identifier=[IDENTIFIER]))
    response = post(
        client,
        "transaction",
        entry("PUT", "Patient/known", patient(id="known", gender="male")),
        entry("PUT", f"Patient?{CONDITION}", patient(identifier=[IDENTIFIER])),
    )
    assert response.status_code == 400


def test_synthea_bundles_load_but_for_the_types_that_are_not_kept(
    client: FlaskClient, shared_data: Path
) -> None:
    for path in sorted((shared_data / "fhir/synthea_r4").rglob("*.json")):
        bundle = supported_part(json.loads(path.read_bytes()))
        answer = client.post("/fhir", json=bundle)
        assert set(statuses(answer)) == {"201"}
        kinds = {one["response"]["location"].split("/")[0] for one in json_of(answer)["entry"]}
        assert {"Patient", "Organization", "Practitioner", "Encounter"} <= kinds
        assert kinds <= set(RESOURCE_TYPES)
        visits = [
            one for one in json_of(answer)["entry"] if "Encounter/" in one["response"]["location"]
        ]
        visit = json_of(client.get(f"/fhir/{visits[0]['response']['location']}"))
        assert client.get(f"/fhir/{visit['subject']['reference']}").status_code == 200
