"""The demo's story, told to the real services on both databases."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from imaging_fhir.demo import ATTACHED, demo_bundle
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Given
from imaging_fhir.services.arrival import Filed
from imaging_fhir.services.document_filing import DocumentFiling
from imaging_fhir.services.ingest import Ingest
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.settings import DEFAULT_SOURCE, Site
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.resources import put


@pytest.fixture
def ingest(database_url: str, tmp_path: Path) -> Iterator[Ingest]:
    """Everything that takes images in, with the demo's patients and visits known."""
    database = Database(database_url)
    for entry in demo_bundle()["entry"]:
        put_resource(database, entry["resource"])
    linking = Linking(Site())
    studies = StudyFiling(
        linking=linking, archive_endpoint="Endpoint/a", quiet_milliseconds=1000, new_id=new_id
    )
    documents = DocumentFiling(linking=linking, new_id=new_id)
    blobs = FolderBlobStore(tmp_path / "blobs", min_free_bytes=1)
    yield Ingest(database, blobs, studies, documents, max_bytes=10**8, time_zone="")
    database.close()


def new_id() -> str:
    return str(uuid4())


def put_resource(database: Database, resource: Resource) -> None:
    def unit(transaction: Transaction) -> None:
        type_name = resource["resourceType"]
        put(transaction, type_name, resource["id"], resource, index_entries(type_name, resource))

    database.write(unit)


def take_in(ingest: Ingest, name: str, content: bytes) -> Filed:
    visit = ATTACHED.get(name)
    given = Given()
    if visit is not None:
        given = Given(patient=f"Patient/{visit.patient.id}", encounter=f"Encounter/{visit.id}")
    outcome = ingest.ingest([content], source=DEFAULT_SOURCE, given=given, name=name)
    assert outcome.filed is not None, outcome.message
    assert outcome.warnings == ()
    return outcome.filed


STORY = {
    "dicom/okafor-ct/001.dcm": ("demo-okafor", "demo-okafor-emergency", "visit-number"),
    "dicom/okafor-ct/002.dcm": ("demo-okafor", "demo-okafor-emergency", "visit-number"),
    "dicom/okafor-mr/001.dcm": ("demo-okafor", "demo-okafor-neurology", "period"),
    "dicom/lindqvist-us.dcm": ("demo-lindqvist", "demo-lindqvist-cardiology", "visit-number"),
    "dicom/tanaka-mg-r.dcm": ("demo-tanaka", "demo-tanaka-screening", "period"),
    "dicom/tanaka-mg-l.dcm": ("demo-tanaka", "demo-tanaka-screening", "period"),
    "wound-2025-04-02.jpg": ("demo-lindqvist", "demo-lindqvist-dressing-1", "given-encounter"),
    "wound-2025-05-14.jpg": ("demo-lindqvist", "demo-lindqvist-dressing-2", "given-encounter"),
    "referral.pdf": ("demo-lindqvist", "demo-lindqvist-dressing-1", "given-encounter"),
}


def test_each_image_goes_to_its_patient_and_visit(
    ingest: Ingest, demo_samples: dict[str, bytes]
) -> None:
    for name, (patient, visit, rule) in STORY.items():
        filed = take_in(ingest, name, demo_samples[name])
        assert (filed.status, filed.patient) == (201, f"Patient/{patient}"), name
        assert (filed.encounter, filed.encounter_rule) == (f"Encounter/{visit}", rule), name


def test_the_same_again_changes_nothing(ingest: Ingest, demo_samples: dict[str, bytes]) -> None:
    for name in STORY:
        first = take_in(ingest, name, demo_samples[name])
        again = take_in(ingest, name, demo_samples[name])
        assert (again.status, again.location) == (200, first.location), name


def test_a_wrong_birth_date_is_held(ingest: Ingest, demo_samples: dict[str, bytes]) -> None:
    name = "dicom/tanaka-mg-mistyped.dcm"
    filed = take_in(ingest, name, demo_samples[name])
    assert (filed.status, filed.patient) == (202, None)
    assert "birthDate" in filed.reason


def test_a_stranger_gets_a_patient_of_their_own(
    ingest: Ingest, demo_samples: dict[str, bytes]
) -> None:
    filed = take_in(ingest, "dicom/stranger-us.dcm", demo_samples["dicom/stranger-us.dcm"])
    assert filed.status == 201
    assert filed.patient not in {f"Patient/demo-{who}" for who in ("okafor", "lindqvist", "tanaka")}
    assert filed.encounter is None
