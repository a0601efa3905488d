"""Four FHIR clients that others wrote do the same; what each saw comes back in one form.

`pages` are the pages of a search, an entry its mode and `Type/id`; `created`, `updated` and
`patched` are resources; `conflict`, `gone` and `refused` are what the client raised: the status,
and the code of the first issue of the OperationOutcome.
"""

import copy
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.imagingstudy import ImagingStudy
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import (
    MultipleResourcesFound,
    OperationOutcome,
    ResourceNotFound,
)

from tests.conftest import provided

Seen = dict[str, Any]
SCRIPTS = Path(__file__).with_name("clients")
NODE_SECONDS = 120
TRANSACTION: Seen = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
            "resource": {"resourceType": "Patient", "name": [{"family": "Whole"}]},
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "fullUrl": "urn:uuid:1c3151bd-1cbf-4d64-b04d-cd9187a4c6e1",
            "resource": {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                    "code": "AMB",
                },
                "subject": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"},
            },
            "request": {"method": "POST", "url": "Encounter"},
        },
    ],
}


def spoilt() -> Seen:
    bundle = copy.deepcopy(TRANSACTION)
    bundle["entry"][1]["resource"]["status"] = "no such status"
    return bundle


def fhirpath_patch(*operations: tuple[str, str, str]) -> Seen:
    """Replace what each path leads to by a string or code."""
    return {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": path},
                    {"name": "value", kind: value},
                ],
            }
            for path, kind, value in operations
        ],
    }


PATCH = fhirpath_patch(("Patient.name[0].family", "valueString", "Patched"))


def by_fhirpy(base: str, patient: str) -> Seen:
    client = SyncFHIRClient(base)
    search = (
        client.resources("ImagingStudy")
        .search(patient=patient)
        .sort("identifier")
        .limit(2)
        .include("ImagingStudy", "patient")
        .include("ImagingStudy", "endpoint")
    )
    page = search.fetch_raw()
    pages = [entries(page)]
    while following := [link["url"] for link in page["link"] if link["relation"] == "next"]:
        page = client.execute(following[0], method="get")
        pages.append(entries(page))
    seen: Seen = {"pages": pages, "flat": [study["id"] for study in search]}

    mine = client.resource("Patient", name=[{"family": "Py"}], gender="female")
    mine.save()
    seen["created"] = dict(mine)
    guarded = SyncFHIRClient(base, extra_headers={"If-Match": 'W/"1"'})
    changed = guarded.resource("Patient", **{**mine, "gender": "other"})
    changed.save()
    seen["updated"] = dict(changed)
    late = guarded.resource("Patient", **{**mine, "gender": "male"})
    seen["conflict"] = raised_by_fhirpy(late.save)
    seen["patched"] = client.patch("Patient", mine.id, **PATCH)
    history = client.execute(f"Patient/{mine.id}/_history", method="get")
    seen["history"] = [one["resource"]["meta"]["versionId"] for one in history["entry"]]
    seen["first"] = client.execute(f"Patient/{mine.id}/_history/1", method="get")
    seen["deleted"] = client.resources("Patient").search(_id=mine.id).delete()[1]
    seen["gone"] = raised_by_fhirpy(lambda: client.get("Patient", mine.id))
    seen["transaction"] = client.execute("", data=TRANSACTION)
    seen["refused"] = raised_by_fhirpy(lambda: client.execute("", data=spoilt()))
    return plain(seen)


def raised_by_fhirpy(call: Callable[[], object]) -> Seen:
    """fhirpy has an exception for each of these statuses, and names 412 for its other cause."""
    try:
        call()
    except MultipleResourcesFound as error:
        return {"status": 412, "code": json.loads(str(error))["issue"][0]["code"]}
    except ResourceNotFound as error:
        return {"status": 410, "code": json.loads(str(error))["issue"][0]["code"]}
    except OperationOutcome as error:
        return {"status": 422, "code": error.resource["issue"][0]["code"]}
    return {"status": 200, "code": None}


def entries(bundle: Any) -> list[list[str]]:
    return [
        [one["search"]["mode"], f"{one['resource']['resourceType']}/{one['resource']['id']}"]
        for one in bundle.get("entry", [])
    ]


def plain(seen: Seen) -> Seen:
    """As JSON has it, without the client's own types."""
    copied: Seen = json.loads(json.dumps(seen))
    return copied


def by_fhirclient(base: str, patient: str) -> Seen:
    """fhirclient (Python) has no patch and no If-Match: a transaction and its session have."""
    server = FHIRClient(settings={"app_id": "tests", "api_base": base}).server
    assert server.capabilityStatement.fhirVersion == "4.0.1"
    search = ImagingStudy.where({"patient": patient, "_sort": "identifier", "_count": "2"})
    bundles = search.include("subject").include("endpoint").perform_iter(server)
    seen: Seen = {"pages": [entries(bundle.as_json()) for bundle in bundles]}

    mine = Patient({"resourceType": "Patient", "name": [{"family": "Py"}], "gender": "female"})
    seen["created"] = mine.create(server)
    mine = Patient.read(seen["created"]["id"], server)
    server.session.headers["If-Match"] = f'W/"{mine.meta.versionId}"'
    mine.gender = "other"
    seen["updated"] = mine.update()
    mine.gender = "male"
    seen["conflict"] = raised_by_fhirclient(mine.update)
    del server.session.headers["If-Match"]
    request = {"method": "PATCH", "url": mine.relativePath()}
    patching = Bundle(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"resource": PATCH, "request": request}],
        }
    )
    server.session.headers["Prefer"] = "return=representation"
    seen["patched"] = server.post_json("", patching.as_json()).json()["entry"][0]["resource"]
    del server.session.headers["Prefer"]
    history = Bundle.read_from(f"{mine.relativePath()}/_history", server)
    seen["history"] = [one.resource.meta.versionId for one in history.entry]
    seen["first"] = Patient.read_from(f"{mine.relativePath()}/_history/1", server).as_json()
    seen["deleted"] = server.delete_json(mine.relativePath()).status_code
    seen["gone"] = raised_by_fhirclient(lambda: Patient.read(mine.id, server))
    seen["transaction"] = server.post_json("", Bundle(TRANSACTION).as_json()).json()
    seen["refused"] = raised_by_fhirclient(lambda: server.post_json("", spoilt()))
    return seen


def raised_by_fhirclient(call: Callable[[], object]) -> Seen:
    try:
        call()
    except requests.HTTPError as error:
        answer = error.response
    except FHIRNotFoundException as error:
        answer = error.response
    else:
        return {"status": 200, "code": None}
    return {"status": answer.status_code, "code": answer.json()["issue"][0]["code"]}


def by_node(script: str, base: str, patient: str) -> Seen:
    """`NODE_PATH` is where `make test` has put the packages."""
    environment = {
        **os.environ,
        "NODE_PATH": provided("NODE_MODULES"),
        "TRANSACTION": json.dumps(TRANSACTION),
    }
    command: Iterable[str] = ("node", str(SCRIPTS / script), base, patient)
    done = subprocess.run(
        [*command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: Seen = json.loads(done.stdout)
    return seen


CLIENTS: dict[str, Callable[[str, str], Seen]] = {
    "fhirpy": by_fhirpy,
    "fhirclient of Python": by_fhirclient,
    "fhir-kit-client": lambda base, patient: by_node("fhir_kit_client.mjs", base, patient),
    "fhirclient of npm": lambda base, patient: by_node("fhirclient.cjs", base, patient),
}
