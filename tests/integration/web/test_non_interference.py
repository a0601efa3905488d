"""What a patient's token is answered does not tell whether there is anybody else.

Two servers hold the same data of one patient; one of them that of another patient too. Whatever is
asked with the first one's token, both answer alike: but for the moments and ids that they make.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from imaging_fhir.app import app_of
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.integration.web.test_access import UIDS, Client, of_a, populate
from tests.tokens import Issuer, site_file

MADE_UP = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)"  # moments
    r"|_page=[^\"&]*"  # positions
    r"|\"(?:0040E010|00081190)[^}]*}"
)
TOKENS = [
    "patient/*.rs",
    "patient/*.cruds",
    "patient/ImagingStudy.rs",
    "patient/ImagingStudy.rs?modality=CT patient/Observation.s",
    "patient/Encounter.rs patient/Observation.rs patient/Practitioner.r",
    "patient/Patient.rs patient/Encounter.s",
]
PEOPLE = some.sampled_from(["a", "b", "nobody"])
TYPES = some.sampled_from(
    [
        "Patient",
        "Encounter",
        "Observation",
        "ImagingStudy",
        "DocumentReference",
        "Practitioner",
        "Endpoint",
        "Binary",
        "Provenance",
        "Task",
    ]
)
IDS = PEOPLE.flatmap(
    lambda one: some.sampled_from(
        [one, f"visit-{one}", f"finding-{one}", f"dr-{one}", UIDS.get(one, "1.2.826.3")]
    )
)
PARAMETERS = PEOPLE.flatmap(
    lambda one: some.sampled_from(
        [
            f"patient={one}",
            f"subject=Patient/{one}",
            f"patient.identifier=urn:n|{one}",
            f"subject:Patient.identifier={one}",
            f"identifier=urn:n|{one}",
            f"identifier=urn:oid:{UIDS.get(one, '1.2.826.3')}",
            f"_id={one}",
            f"_id=visit-{one},finding-{one}",
            f"performer:Practitioner.name=Dr{one}",
            f"_has:Observation:subject:performer=Practitioner/dr-{one}",
            f"_has:ImagingStudy:patient:identifier=urn:oid:{UIDS.get(one, '1.2.826.3')}",
            f"_has:Encounter:patient:_id=visit-{one}",
            "_include=ImagingStudy:endpoint",
            "_include=*",
            "_revinclude=Observation:performer",
            "_revinclude=ImagingStudy:patient",
            "_sort=-_lastUpdated",
            "_sort=_id",
            "_total=accurate",
            "_summary=count",
            "_count=1",
            "modality=CT",
            "patient:missing=true",
            "status:not=final",
        ]
    )
)
SEARCHES = some.builds(
    lambda type_, some_: f"/fhir/{type_}?{'&'.join(some_)}",
    TYPES,
    some.lists(PARAMETERS, max_size=3, unique=True),
)
OTHERS = some.one_of(
    some.builds("/fhir/{}/{}".format, TYPES, IDS),
    some.builds("/fhir/{}/{}/_history".format, TYPES, IDS),
    some.builds("/fhir/{}/{}/_history/1".format, TYPES, IDS),
    some.builds("/fhir/{}/_history".format, TYPES),
    some.builds("/fhir/Patient/{}/$everything".format, PEOPLE),
    some.builds("/fhir/Patient/{}/{}".format, PEOPLE, TYPES),
    some.builds("/fhir/Encounter/visit-{}/Observation".format, PEOPLE),
    some.builds("/fhir/{}/{}/$meta".format, TYPES, IDS),
    some.builds("/dicomweb/studies/{}/metadata".format, some.sampled_from([*UIDS.values()])),
    some.builds("/dicomweb/studies/{}/series".format, some.sampled_from([*UIDS.values()])),
    some.builds("/dicomweb/studies?StudyInstanceUID={}".format, IDS),
    some.sampled_from(
        [
            "/fhir/_history",
            "/fhir",
            "/fhir/$meta",
            "/fhir/ImagingStudy/$meta",
            "/dicomweb/studies",
            "/dicomweb/instances?limit=1",
            "/dicomweb/series?Modality=CT",
        ]
    ),
)
READS = some.one_of(SEARCHES, OTHERS).map(lambda path: ("GET", path, None))
VISIT = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}}
WRITES = some.one_of(  # none of which changes anything
    some.builds(lambda id_: ("DELETE", f"/fhir/Observation/finding-{id_}", None), PEOPLE).filter(
        lambda one: not one[1].endswith("-a")
    ),
    some.builds(
        lambda id_, whose: (
            "PUT",
            f"/fhir/Encounter/visit-{id_}",
            {**VISIT, "id": f"visit-{id_}", "subject": {"reference": f"Patient/{whose}"}},
        ),
        some.sampled_from(["b", "nobody"]),
        PEOPLE,
    ),
    some.builds(
        lambda whose: (
            "POST",
            "/fhir/Encounter",
            {**VISIT, "subject": {"reference": f"Patient/{whose}"}},
        ),
        some.sampled_from(["b", "nobody"]),
    ),
    some.builds(
        lambda one: (
            "PUT",
            f"/fhir/Patient?identifier=urn:n|{one}",
            {"resourceType": "Patient", "id": one},
        ),
        some.sampled_from(["b", "nobody"]),
    ),
)


def settings_of(folder: Path, template: Path) -> Settings:
    folder.mkdir()
    (folder / "test.db").write_bytes(template.read_bytes())
    return Settings(
        auth="smart",
        database_url=f"sqlite:///{folder}/test.db",
        data_dir=folder,
        public_url="https://images.example",
        site_file=site_file(folder, Issuer()),
        min_free_bytes=0,
    )


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[list[Client]]:
    folder = tmp_path_factory.mktemp("servers")
    both = [build_services(settings_of(folder / one, sqlite_template)) for one in ("ab", "a")]
    clients = [Client(app_of(services)) for services in both]
    for client, people in zip(clients, ("ab", "a"), strict=True):
        for person in people:
            populate(client, person)
    yield clients
    for services in both:
        services.close()


def answered(client: Client, asked: tuple[str, str, Any], caller: Caller) -> tuple[int, str]:
    method, path, body = asked
    answer = client(method, path, caller, **({} if body is None else {"json": body}))
    return answer.status_code, MADE_UP.sub("~", answer.text)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(asked=some.one_of(READS, WRITES), scopes=some.sampled_from(TOKENS))
def test_nobody_else_can_be_told(
    servers: list[Client], asked: tuple[str, str, Any], scopes: str
) -> None:
    together, alone = (answered(one, asked, of_a(scopes)) for one in servers)
    assert together == alone


PLAIN = [
    *(f"/fhir/{type_}" for type_ in ["Patient", "Encounter", "Observation", "ImagingStudy"]),
    *(f"/fhir/{type_}" for type_ in ["DocumentReference", "Practitioner", "Endpoint", "Binary"]),
    *("/fhir", "/fhir/_history", "/fhir/Encounter/_history", "/dicomweb/studies"),
    *("/fhir/Encounter/visit-b", "/fhir/Observation/finding-b", "/fhir/Practitioner/dr-b"),
    *(f"/fhir/ImagingStudy/{UIDS['b']}", f"/dicomweb/studies/{UIDS['b']}", "/fhir/Patient/b"),
]


@pytest.mark.parametrize("scopes", TOKENS)
def test_nor_by_the_plainest_questions(servers: list[Client], scopes: str) -> None:
    for path in PLAIN:
        there, nowhere = (answered(one, ("GET", path, None), of_a(scopes)) for one in servers)
        assert there == nowhere, path
