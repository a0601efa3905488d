"""After an erasure no file and no row says what was erased."""

import subprocess
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url

from imaging_fhir.errors import ResourceNotFound, StorageUnavailable
from imaging_fhir.model.rejection import KEY_OBJECT_SELECTION
from imaging_fhir.services.erase import Erase
from imaging_fhir.storage import blobs, leases, resources, schema
from imaging_fhir.storage.erasure_scan import Names, Scan
from tests.dicom_samples import ct_instance, data_set, dicom_file
from tests.house import HOSPITAL, House, build_house, issued_by, versions_of
from tests.samples import SAMPLES

SECRETS = (
    "Zebrowski",
    "ZEBROWSKI",
    "zebrowski",
    "19750314",
    "1975-03-14",
    "4711-77",
    "2.25.881",
    "2.25.991",
)


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    yield house
    house.close()


@pytest.fixture
def erase(house: House) -> Erase:
    return Erase(database=house.database, store=house.store)


def fill(house: House) -> tuple[str, str]:
    """A patient with a visit, a study of two images and a photo; study's id and photo's."""
    name = [{"family": "Zebrowski", "given": ["Quirin"]}]
    house.patient("quirin", "4711-77", name=name, birthDate="1975-03-14", gender="male")
    house.encounter("visit", "quirin", "2026-03-14T08:00:00Z", "2026-03-14T18:00:00Z")
    for number in ("1", "2"):
        location = house.send(image(number)).location
    photo = house.send(SAMPLES["image/jpeg"](), patient="Patient/quirin")
    return id_of(location), id_of(photo.location)


def image(number: str) -> bytes:
    return ct_instance(
        StudyInstanceUID="2.25.881",
        SeriesInstanceUID="2.25.991",
        SOPInstanceUID=f"2.25.881.{number}",
        PatientName="ZEBROWSKI^QUIRIN",
        PatientID="4711-77",
        PatientBirthDate="19750314",
        PatientSex="M",
        IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL),
    )


def id_of(location: str | None) -> str:
    assert location is not None, "nothing was filed"
    return location.split("/")[1]


def residue(house: House, folder: Path) -> set[str]:
    """Which secrets a grep finds in the files, in a dump of PostgreSQL, or in unpacked rows."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    if not house.database.is_sqlite:
        url = make_url(house.database.url).set(drivername="postgresql").render_as_string(False)
        contents.append(subprocess.run(["pg_dump", url], check=True, capture_output=True).stdout)
    contents.extend(unpacked(house))
    return {secret for secret in SECRETS for content in contents if secret.encode() in content}


def unpacked(house: House) -> Iterator[bytes]:
    with house.database.read() as connection:
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    yield content
                    with suppress(zlib.error):
                        yield zlib.decompress(content)


def test_erasing_a_patient_leaves_no_trace_in_folder_or_database(
    house: House, erase: Erase, tmp_path: Path
) -> None:
    fill(house)
    assert residue(house, tmp_path) == set(SECRETS)
    erased = erase.patient("quirin")
    assert erased.resources >= Counter({
        "Patient": 1, "Encounter": 1, "ImagingStudy": 1, "DocumentReference": 1, "Binary": 1
    })  # fmt: skip
    assert (erased.blobs, erased.rows["instance"]) == (3, 2)
    assert residue(house, tmp_path) == set()
    assert list(house.store.blobs()) == []
    with house.database.read() as connection, pytest.raises(ResourceNotFound):
        resources.read(connection, "Patient", "quirin")


def test_what_a_rejection_note_has_hidden_is_erased_too(
    house: House, erase: Erase, tmp_path: Path
) -> None:
    fill(house)
    house.send(rejection_note("2.25.881.1"))
    assert erase.patient("quirin").rows["instance"] == 3
    assert residue(house, tmp_path) == set()


def rejection_note(named: str) -> bytes:
    """Of the patient of `image`, in their study."""
    reference = {"ReferencedSOPClassUID": "1.2.3", "ReferencedSOPInstanceUID": named}
    series = {"SeriesInstanceUID": "2.25.991", "ReferencedSOPSequence": [reference]}
    evidence = {"StudyInstanceUID": "2.25.881", "ReferencedSeriesSequence": [series]}
    title = {"CodeValue": "113001", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Rejected"}
    return dicom_file(
        data_set(
            {
                "SOPClassUID": KEY_OBJECT_SELECTION,
                "StudyInstanceUID": "2.25.881",
                "SeriesInstanceUID": "2.25.991.2",
                "SOPInstanceUID": "2.25.881.9",
                "Modality": "KO",
                "PatientName": "ZEBROWSKI^QUIRIN",
                "PatientID": "4711-77",
                "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
                "ConceptNameCodeSequence": [title],
                "CurrentRequestedProcedureEvidenceSequence": [evidence],
            }
        )
    )


def test_a_dry_run_says_the_same_and_changes_nothing(house: House, erase: Erase) -> None:
    study, _ = fill(house)
    foreseen = erase.study(study, dry_run=True)
    assert foreseen.rows["instance"] == 2
    assert len(list(house.store.blobs())) == 3
    assert erase.study(study, dry_run=True) == foreseen
    erased = erase.study(study)
    assert (erased.rows, erased.blobs, erased.bytes) == (
        foreseen.rows,
        foreseen.blobs,
        foreseen.bytes,
    )


def test_an_erased_study_is_refused_until_it_is_allowed_again(house: House, erase: Erase) -> None:
    fill(house)
    erase.study("2.25.881")
    refused = house.send(image("1"))
    assert refused.status == 409
    assert house.send(image("3")).status == 409  # another image of the study
    with house.database.read() as connection:
        kept = connection.execute(select(schema.tombstone.c.digest)).scalars().all()
    assert not any("2.25" in digest for digest in kept)
    for kind, value in (("study", "2.25.881"), ("instance", "2.25.881.3")):
        erase.allow_again(kind, value)
    assert house.send(image("3")).status == 201


def test_a_document_goes_with_its_binary_and_the_study_stays(house: House, erase: Erase) -> None:
    study, photo = fill(house)
    erased = erase.document(photo)
    assert (erased.resources["DocumentReference"], erased.resources["Binary"]) == (1, 1)
    assert len(list(house.store.blobs())) == 2
    with house.database.read() as connection:
        assert resources.read(connection, "ImagingStudy", study)


def test_bytes_that_another_document_refers_to_stay(house: House, erase: Erase) -> None:
    _, photo = fill(house)
    house.patient("other", "5")
    other = house.send(SAMPLES["image/jpeg"](), patient="Patient/other")
    if id_of(other.location) == photo:
        pytest.skip("one photo is one document, whoever sends it")
    erased = erase.document(photo)
    assert (erased.blobs, erased.shared_blobs) == (0, 1)
    assert len(list(house.store.blobs())) == 3


def test_who_referred_to_it_does_so_no_more_in_no_version(house: House, erase: Erase) -> None:
    study, _ = fill(house)
    order = {
        "resourceType": "ServiceRequest",
        "id": "follow-up",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/other"},
        "supportingInfo": [{"reference": f"ImagingStudy/{study}"}, {"reference": "Patient/x"}],
    }
    house.put(order)
    house.put({**order, "status": "completed"})
    provenance = {
        "resourceType": "Provenance",
        "id": "made",
        "target": [{"reference": f"ImagingStudy/{study}"}],
    }
    house.put(provenance)
    erased = erase.study(study)
    assert (erased.redacted, erased.resources["Provenance"]) == (1, 1)
    with house.database.read() as connection:
        versions = list(versions_of(connection, "ServiceRequest", "follow-up"))
    assert max(stored.version for stored in versions) == 3
    for stored in versions:
        assert stored.body is not None
        assert b"2.25.881" not in stored.body
        assert b'"display":"Erased"' in stored.body
        assert b"Patient/x" in stored.body


def test_a_name_is_no_word_any_more_of_who_referred_to_the_patient(
    house: House, erase: Erase, tmp_path: Path
) -> None:
    fill(house)
    named = {"reference": "Patient/quirin", "display": "Quirin ZEBROWSKI"}
    group = {"resourceType": "Group", "id": "cohort", "type": "person", "actual": True}
    house.put({**group, "name": "Wrist trial", "member": [{"entity": named}]})
    with house.database.read() as connection:
        assert words_of(connection, "Group.") == ["wperson x wwrist wtrial x wquirin wzebrowski x"]
    erase.patient("quirin")
    with house.database.read() as connection:
        assert words_of(connection, "Group.") == ["wperson x wwrist wtrial x werased x"]
    assert residue(house, tmp_path) == set()


def words_of(connection: Connection, parameter: str) -> list[str]:
    texts = schema.text_index
    rows = select(texts.c.words).where(texts.c.parameter.startswith(parameter))
    return list(connection.execute(rows).scalars())


def test_nothing_is_erased_while_a_backup_copies(house: House, erase: Erase) -> None:
    study, _ = fill(house)
    with leases.held(house.database, blobs.BACKUP), pytest.raises(StorageUnavailable):
        erase.study(study)
    assert len(list(house.store.blobs())) == 3


def test_what_is_not_known_cannot_be_erased(erase: Erase) -> None:
    for unknown in (erase.study, erase.document, erase.patient):
        with pytest.raises(ResourceNotFound):
            partial(unknown, "nobody")()


def another_image(house: House) -> None:
    house.send(image("3"))


def a_resource_that_names_it(house: House) -> None:
    house.put(
        {
            "resourceType": "DiagnosticReport",
            "id": "report",
            "status": "final",
            "code": {"text": "CT"},
            "imagingStudy": [{"reference": "ImagingStudy/2.25.881"}],
        }
    )


def named_no_more(house: House) -> None:
    """Only an earlier version names it."""
    a_resource_that_names_it(house)
    report = {"resourceType": "DiagnosticReport", "id": "report", "status": "final"}
    house.put({**report, "code": {"text": "CT"}})


@pytest.mark.parametrize("event", [another_image, a_resource_that_names_it, named_no_more])
def test_what_comes_while_it_is_looked_for_goes_too(
    house: House, erase: Erase, monkeypatch: pytest.MonkeyPatch, event: Callable[[House], None]
) -> None:
    fill(house)
    ends: list[Scan] = []

    def end_and_let_it_happen(scan: Scan, connection: Connection, names: Names) -> None:
        looked_through(scan, connection, names)
        ends.append(scan)
        if len(ends) == 1:
            event(house)

    looked_through = Scan.end
    monkeypatch.setattr(Scan, "end", end_and_let_it_happen)
    erase.study("2.25.881")
    assert len(ends) == (2 if event is another_image else 1)
    with house.database.read() as connection:
        said = b"".join(unpacked(house))
        assert b"2.25.881" not in said
        if event is not another_image:
            assert resources.find_content(connection, "DiagnosticReport", "report") is not None
