"""A transaction of many entries: as many statements as for few, and the same as one by one."""

import base64
import copy
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from benchmarks.fhir_scale import transaction
from benchmarks.statements import counting
from imaging_fhir.errors import VersionConflict
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.change import Change
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.services.transaction import supported_part
from imaging_fhir.settings import Settings
from imaging_fhir.storage.schema import (
    INDEX_TABLES,
    commit_clock,
    outbox,
    resource,
    token_index,
    version,
)
from tests.dicom_samples import STUDY, ct_instance
from tests.house import HOSPITAL, VISITS, issued_by

FEW, MANY = 20, 200
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
STAMP = re.compile(r'"lastUpdated":"[^"]*"')
CLASS = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    services = build_services(settings)
    yield services
    services.close()


def run(services: Services, entries: list[Resource], kind: str = "transaction") -> Resource:
    bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
    return services.transactions.run(bundle, LOCAL)


def statuses(answer: Resource) -> Counter[str]:
    return Counter(one["response"]["status"][:3] for one in answer["entry"])


def put(content: Resource, **request: str) -> Resource:
    url = f"{content['resourceType']}/{content['id']}"
    return {"resource": content, "request": {"method": "PUT", "url": url, **request}}


def post(content: Resource, full_url: str = "", **request: str) -> Resource:
    entry: Resource = {
        "resource": content,
        "request": {"method": "POST", "url": content["resourceType"], **request},
    }
    return {"fullUrl": full_url, **entry} if full_url else entry


def patient(id_: str, number: str = "", **more: Any) -> Resource:
    numbers = {"identifier": [{"system": HOSPITAL, "value": number}]} if number else {}
    return {"resourceType": "Patient", "id": id_, **numbers, **more}


def encounter(id_: str, subject: str, **more: Any) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": CLASS,
        "subject": {"reference": f"Patient/{subject}"},
        **more,
    }


def order(id_: str, about: str, visit: str, **more: Any) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{about}"},
        "encounter": {"reference": f"Encounter/{visit}"},
        **more,
    }


def observation(id_: str, about: str, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": "pulse"},
        "subject": {"reference": f"Patient/{about}"},
        **more,
    }


def document(id_: str, subject: str, **more: Any) -> Resource:
    data = base64.b64encode(b"what was said").decode()
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "subject": {"reference": f"Patient/{subject}"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
        **more,
    }


# the number of statements


def created(entries: int) -> list[Resource]:
    found: list[Resource] = transaction(entries, random.Random(entries))["entry"]  # type: ignore[assignment]
    return found


def updates(entries: list[Resource], answer: Resource) -> list[Resource]:
    """The same resources once more, each with another value."""
    made = {
        entry["fullUrl"]: one["response"]["location"].partition("/_history")[0]
        for entry, one in zip(entries, answer["entry"], strict=True)
    }
    found = []
    for entry in entries:
        content = copy.deepcopy(entry["resource"])
        content |= {"id": made[entry["fullUrl"]].partition("/")[2], "language": "en"}
        for name in ("subject", "encounter"):
            if name in content:
                content[name]["reference"] = made[content[name]["reference"]]
        found.append(put(content))
    return found


def population(people: int) -> list[Resource]:
    """Patients, each with a visit and an order."""
    ids = [f"{people}-{number}" for number in range(people)]
    patients = [put(patient(id_, id_)) for id_ in ids]
    visits = [put(encounter(f"v{id_}", id_)) for id_ in ids]
    return patients + visits + [put(order(f"o{id_}", id_, f"v{id_}")) for id_ in ids]


def test_creates_and_updates_cost_no_more_statements_for_more_entries(services: Services) -> None:
    run(services, created(FEW))  # what is read once is not counted
    counts = {}
    for size in (FEW, MANY):
        entries = created(size)
        with counting(services.database) as creating:
            answer = run(services, entries)
        again = updates(entries, answer)
        with counting(services.database) as updating:
            assert statuses(run(services, again)) == {"200": size}
        counts[size] = len(creating), len(updating)
    assert counts[MANY] == counts[FEW]
    assert max(counts[MANY]) < 100


def patched(entries: list[Resource], language: str) -> list[Resource]:
    """Patches of what was put by these entries."""
    operations = json.dumps([{"op": "add", "path": "/language", "value": language}])
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(operations.encode()).decode(),
    }
    return [
        {"resource": binary, "request": {"method": "PATCH", "url": entry["request"]["url"]}}
        for entry in entries
    ]


def test_patches_cost_no_more_statements_for_more_entries(services: Services) -> None:
    run(services, population(FEW) + population(MANY // 2))
    counts = []
    for size, language in ((FEW, "en"), (FEW, "de"), (MANY // 2, "fr")):
        entries = population(size)
        with counting(services.database) as statements:
            assert statuses(run(services, patched(entries, language))) == {"200": 3 * size}
        counts.append(len(statements))
    assert counts[1] == counts[2]


def test_a_patch_among_others_is_of_the_version_that_it_says(services: Services) -> None:
    run(services, population(3))
    entries = patched(population(3), "en")
    entries[4]["request"]["ifMatch"] = 'W/"2"'
    with pytest.raises(VersionConflict, match=r"entry\[4\]"):
        run(services, entries)
    entries[4]["request"]["ifMatch"] = 'W/"1"'
    assert statuses(run(services, entries)) == {"200": 9}


@pytest.mark.parametrize("integrity", ["lenient", "strict"])
def test_many_patients_visits_and_orders_cost_no_more_than_few(
    settings: Settings, integrity: str
) -> None:
    chosen = replace(settings, reference_integrity=integrity)
    services = build_services(chosen)
    run(services, population(10))
    counts = []
    for size in (FEW, MANY // 2):
        with counting(services.database) as statements:
            assert statuses(run(services, population(size))) == {"201": 3 * size}
        with counting(services.database) as once_more:
            named = [{**one["resource"], "language": "en"} for one in population(size)]
            assert statuses(run(services, [put(one) for one in named])) == {"200": 3 * size}
        statements += once_more
        counts.append(len(statements))
    services.close()
    assert counts[0] == counts[1]


def test_a_conditional_reference_is_looked_up_once(services: Services) -> None:
    run(
        services,
        [put({"resourceType": "Practitioner", "id": "who", "identifier": [{"value": "w"}]})],
    )
    who = [{"reference": "Practitioner?identifier=w"}]
    counts = []
    for size in (FEW, MANY):
        entries = [put(observation(f"{size}-{one}", "p", performer=who)) for one in range(size)]
        with counting(services.database) as statements:
            assert statuses(run(services, entries)) == {"201": size}
        counts.append(len(statements))
    assert counts[0] == counts[1]
    content = decode(services.resources.read("Observation", "200-7")[1])
    assert content["performer"] == [{"reference": "Practitioner/who"}]


# the same as one by one


def told(services: Services, prefix: str) -> dict[str, list[str]]:
    """All rows of the resources whose ids begin so, without what no two writes have in common."""

    def plain(*values: object) -> str:
        text = " ".join(
            value.decode() if isinstance(value, bytes) else repr(value) for value in values
        )
        return UUID.sub("#", STAMP.sub("", text.replace(prefix, "")))

    found: dict[str, list[str]] = {}
    with services.database.read() as connection:
        bodies = connection.execute(select(resource).order_by(resource.c.rid)).all()
        rows = {row.rid: row for row in bodies if row.id.startswith(prefix) or row.type == "Binary"}
        mine = {
            rid: row
            for rid, row in rows.items()
            if row.type != "Binary" or f"/{prefix}".encode() in (row.body or b"")
        }
        for table in (*INDEX_TABLES, version, outbox):
            columns = [
                column
                for column in table.c
                if column.name not in ("rid", "pk", "last_updated", "first", "last", "body")
            ]
            found[table.name] = sorted(
                plain(mine[row.rid].type, mine[row.rid].id, *row[1:])
                for row in connection.execute(select(table.c.rid, *columns))
                if row.rid in mine
            )
        found["resource"] = sorted(
            plain(row.type, row.id, row.version, row.deleted, row.posted, row.body)
            for row in mine.values()
        )
    return found


def watch(services: Services) -> None:
    """As if there were a subscription."""
    services.database.write(
        lambda transaction: transaction.execute(update(commit_clock).values(watching=True))
    )


def synthea(shared_data: Path, prefix: str) -> list[Resource]:
    """A patient's whole record, under ids that begin so."""
    path = sorted((shared_data / "fhir/synthea_r4").rglob("*.json"))[0]
    text = path.read_text().replace("urn:uuid:", f"urn:uuid:{prefix}")
    bundle = supported_part(json.loads(text))
    addresses = {
        entry["fullUrl"]: f"{entry['resource']['resourceType']}/"
        + entry["fullUrl"].removeprefix("urn:uuid:")
        for entry in bundle["entry"]
    }
    for address, reference in addresses.items():
        text = text.replace(f'"{address}"', f'"{reference}"')
    entries = []
    text = text.replace(f"urn:uuid:{prefix}", "urn:uuid:")  # of types that are not kept
    for entry in supported_part(json.loads(text))["entry"]:
        content = entry["resource"]
        if content["resourceType"] != "ImagingStudy":  # its id is that of its UID
            entries.append(put({**content, "id": prefix + content["id"].removeprefix(prefix)}))
    return entries


def record(prefix: str) -> list[Resource]:
    replaces = [{"code": "replaces", "target": {"reference": f"DocumentReference/{prefix}first"}}]
    return [
        put(patient(f"{prefix}p", active=True)),
        put(encounter(f"{prefix}v", f"{prefix}p")),
        put(document(f"{prefix}first", f"{prefix}p")),
        put(document(f"{prefix}second", f"{prefix}p", relatesTo=replaces)),
        put(observation(f"{prefix}o", f"{prefix}p")),
    ]


def changed(entries: list[Resource], prefix: str) -> list[Resource]:
    """Every second one says something else, and the observation is of another patient."""
    found = copy.deepcopy(entries)
    for entry in found[::2]:
        entry["resource"]["language"] = "de"
    for entry in found:
        if entry["resource"]["id"] == f"{prefix}o":
            entry["resource"]["subject"]["reference"] = f"Patient/{prefix}q"
    return found


def test_what_is_written_together_is_as_if_written_one_by_one(
    services: Services, shared_data: Path
) -> None:
    watch(services)
    found = []
    for prefix, kind in (("one-", "batch"), ("all-", "transaction")):
        entries = synthea(shared_data, prefix) + record(prefix)
        assert statuses(run(services, entries, kind)) == {"201": len(entries)}
        assert statuses(run(services, changed(entries, prefix), kind)) == {"200": len(entries)}
        assert statuses(run(services, patched(entries, "fr"), kind)) == {"200": len(entries)}
        found.append(told(services, prefix))
    one_by_one, together = found
    assert len(one_by_one["resource"]) > 90
    assert len(one_by_one["version"]) > 40
    assert together == one_by_one


def test_what_subscriptions_hear_of_is_in_the_same_transaction(services: Services) -> None:
    watch(services)
    entries = [put(observation(f"o{number}", "p")) for number in range(3)]
    run(services, entries)
    entries[1]["resource"]["subject"]["reference"] = "Patient/q"
    entries[2]["resource"]["status"] = "amended"
    run(services, entries)
    with services.database.read() as connection:
        rows = connection.execute(
            select(resource.c.id, outbox.c.changes, outbox.c.last, resource.c.last_updated)
            .join(resource, resource.c.rid == outbox.c.rid)
            .order_by(outbox.c.pk)
        ).all()
    assert [(row.id, Change(row.changes)) for row in rows] == [
        ("o0", Change.CREATED),
        ("o1", Change.CREATED),
        ("o2", Change.CREATED),
        ("o1", Change.UPDATED | Change.MOVED),
        ("o2", Change.UPDATED),
    ]
    assert {row.last for row in rows[3:]} == {row.last_updated for row in rows[3:]}


# what is written together and has to do with images, or with one another


def test_images_find_their_patient_and_visit_among_many(services: Services) -> None:
    attributes: dict[str, Any] = {
        "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
        "AdmissionID": "A-1",
        "IssuerOfAdmissionIDSequence": issued_by(VISITS),
    }
    source = services.site.source_or_default("default")
    services.ingest.ingest([ct_instance(**attributes)], source=source)
    number = [{"system": VISITS, "value": "A-1"}]
    jane = patient("jane", "4711", name=[{"family": "Roe"}], birthDate="1975-03-14")
    others = population(FEW)
    run(services, [put(encounter("v", "jane", identifier=number)), *others, put(jane)])
    study = decode(services.resources.read("ImagingStudy", STUDY)[1])
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["encounter"]["reference"] == "Encounter/v"
    moved = [put(encounter("v", "20-1", identifier=number)), *others]
    assert statuses(run(services, moved)) == {"200": len(moved)}
    study = decode(services.resources.read("ImagingStudy", STUDY)[1])
    assert study["subject"]["reference"] == "Patient/jane"
    assert "encounter" not in study


def test_references_lead_to_what_a_condition_finds(services: Services) -> None:
    """In Type/id, in other addresses and in narrative."""
    run(services, [put(patient("known", "77"))])
    address = "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000a"
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{address}">her</a></div>'
    linked = observation(
        "o",
        "x",
        subject={"reference": address},
        text={"status": "generated", "div": div},
        extension=[{"url": "http://example.org/about", "valueUri": address}],
    )
    entries = [
        post(patient("x", "77"), address, ifNoneExist=f"identifier={HOSPITAL}|77"),
        put(linked),
    ]
    assert statuses(run(services, entries)) == {"200": 1, "201": 1}
    found = decode(services.resources.read("Observation", "o")[1])
    assert found["subject"]["reference"] == "Patient/known"
    assert found["extension"][0]["valueUri"].endswith("/fhir/Patient/known")
    assert 'href="Patient/known"' in found["text"]["div"]


def test_an_error_among_many_says_which_entry_it_is_of(services: Services) -> None:
    run(services, [put(patient("p")), put(patient("q")), put(document("of-q", "q"))])
    replaces = [{"code": "replaces", "target": {"reference": "DocumentReference/of-q"}}]
    entries = [
        put(observation("o", "p")),
        put(document("d", "p")),
        put(document("wrong", "p", relatesTo=replaces)),
    ]
    with pytest.raises(Exception, match=r"^Bundle\.entry\[2\]: A document cannot replace"):
        run(services, entries)
    with pytest.raises(Exception, match=r"^Bundle\.entry\[1\]: The current version is another"):
        run(services, [put(patient("p")), put(observation("o", "p"), ifMatch='W/"3"')])
    with services.database.read() as connection:
        there = set(connection.execute(select(resource.c.id)).scalars())
    assert not there & {"o", "d", "wrong"}


def test_rows_of_the_index_are_taken_out_of_those_alone_that_changed(services: Services) -> None:
    entries = [put(patient(f"p{number}", f"{number}")) for number in range(FEW)]
    run(services, entries)
    entries[3]["resource"]["identifier"][0]["value"] = "another"
    run(services, entries)
    with services.database.read() as connection:
        values = connection.execute(
            select(token_index.c.value).where(token_index.c.parameter == "Patient.identifier")
        ).scalars()
    assert sorted(values) == sorted([*(str(n) for n in range(FEW) if n != 3), "another"])
