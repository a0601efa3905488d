"""The commands as a person or a script calls them, on a data folder of their own."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imaging_fhir.cli import main
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.codec import Resource
from tests.dicom_samples import ct_instance
from tests.samples import SAMPLES


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir()
        self.environment = {
            "IMAGING_FHIR_DATA_DIR": str(folder / "data"),
            "IMAGING_FHIR_TIME_ZONE": "Europe/Berlin",
        }

    def run(self, *arguments: str | Path) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner(env=self.environment).invoke(main, words)

    def lines(self, *arguments: str | Path) -> list[Resource]:
        result = self.run("ingest", "--json", *arguments)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def write(self, name: str, content: bytes) -> Path:
        path = self.images / name
        path.write_bytes(content)
        return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def instance(number: int, **attributes: Any) -> bytes:
    return ct_instance(SOPInstanceUID=f"1.2.3.{number}", InstanceNumber=str(number), **attributes)


def test_without_arguments_it_says_what_it_can_do(site: Site) -> None:
    result = site.run()
    assert result.exit_code == 2
    for command in ("serve", "ingest", "convert", "worker", "load"):
        assert command in result.output


def test_a_folder_is_taken_in_once(site: Site) -> None:
    for number in range(3):
        site.write(f"{number}.dcm", instance(number))
    first, second = site.run("ingest", site.images), site.run("ingest", site.images)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "3  new" in first.output
    assert "3  known already" in second.output
    assert "3  known already" in site.run("ingest", "--again", site.images).output


def test_what_is_no_image_is_named_and_fails_the_run(site: Site) -> None:
    site.write("notes.txt", b"no image")
    site.write("1.dcm", instance(1))
    result = site.run("ingest", site.images)
    assert result.exit_code == 1
    assert "notes.txt" in result.stderr
    assert "1  new" in result.output


def test_an_interrupted_run_goes_on_where_it_was(site: Site) -> None:
    site.write("1.dcm", instance(1))
    site.run("ingest", site.images)
    site.write("2.dcm", instance(2))
    statuses = [line["status"] for line in site.lines(site.images)]
    assert statuses == [200, 201]


def test_a_file_that_changed_is_looked_at_again(site: Site) -> None:
    path = site.write("1.dcm", instance(1))
    site.run("ingest", site.images)
    path.write_bytes(instance(2, PatientComments="longer"))
    assert [line["status"] for line in site.lines(site.images)] == [201]


def test_every_image_in_an_archive_has_its_line(site: Site) -> None:
    with zipfile.ZipFile(site.images / "disc.zip", "w") as archive:
        archive.writestr("A/1", instance(1))
        archive.writestr("A/readme", b"no image")
    lines = site.lines(site.images)
    assert [(line["member"], line["status"]) for line in lines] == [
        ("A/1", 201),
        ("A/readme", 415),
    ]


def test_a_dry_run_says_what_would_be_held_and_keeps_nothing(site: Site) -> None:
    site.write("1.dcm", instance(1))
    site.write("photo.jpg", SAMPLES["image/jpeg"]())
    result = site.run("ingest", "--dry-run", site.images)
    assert "1  new" in result.output
    assert "no-identity" in result.output
    assert "1  new" in site.run("ingest", site.images).output


def test_why_an_image_would_be_linked_is_said_and_nothing_kept(site: Site) -> None:
    site.write("1.dcm", instance(1))
    result = site.run("explain", site.images / "1.dcm")
    assert result.exit_code == 0
    assert "decides         provisional-alone" in result.output
    assert "Patient: filed (a new one) by provisional-alone." in result.output
    assert "4711" not in result.output
    told = json.loads(site.run("explain", "--json", site.images / "1.dcm").output)
    assert told["parameter"][0]["name"] == "decision"
    assert "1  new" in site.run("ingest", site.images).output
    wrong = site.run("explain", "--patient", "Patient/nobody", site.images / "1.dcm")
    assert "Patient: refused (nobody) by no rule." in wrong.output


def test_a_dry_run_looks_into_archives(site: Site) -> None:
    with zipfile.ZipFile(site.images / "disc.zip", "w") as archive:
        archive.writestr("A/1", instance(1))
        archive.writestr("A/photo", SAMPLES["image/jpeg"]())
        archive.writestr("A/readme", b"no image")
    (site.images / "half.zip").write_bytes((site.images / "disc.zip").read_bytes()[:200])
    lines = site.lines("--dry-run", site.images)
    assert [(line.get("member"), line["status"]) for line in lines] == [
        ("A/1", 201),
        ("A/photo", 202),
        ("A/readme", 415),
        (lines[3].get("member"), 422),
    ]
    assert "1  new" in site.run("ingest", site.images).output


def test_no_outcome_is_told_as_none(site: Site) -> None:
    site.write("1.dcm", instance(1))
    site.write("photo.jpg", SAMPLES["image/jpeg"]())
    for line in (*site.lines(site.images), *site.lines(site.images)):
        assert line["message"] not in ("", "None")


def test_patients_are_loaded_and_photos_attached(site: Site) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": {"resourceType": "Patient", "id": "jane"},
                "request": {"method": "PUT", "url": "Patient/jane"},
            }
        ],
    }
    path = site.folder / "patients.json"
    path.write_text(json.dumps(bundle))
    assert site.run("load", path).exit_code == 0
    photo = site.write("photo.jpg", SAMPLES["image/jpeg"]())
    (line,) = site.lines("--patient", "Patient/jane", photo)
    assert (line["status"], line["patient"]) == (201, "Patient/jane")


def test_wrong_use_is_one_line_and_exit_code_2(site: Site) -> None:
    result = site.run("ingest", site.images / "nothing")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert site.run("ingest", "--source", "unknown", site.images).exit_code == 2


def test_convert_prints_a_valid_bundle_whose_references_resolve(site: Site) -> None:
    for number in range(3):
        site.write(f"{number}.dcm", instance(number))
    site.write("photo.jpg", SAMPLES["image/jpeg"]())
    result = site.run("convert", site.images)
    assert result.exit_code == 0, result.stderr
    bundle = json.loads(result.stdout)
    assert not check(bundle)
    studies = [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "ImagingStudy"
    ]
    assert [study["numberOfInstances"] for study in studies] == [3]
    addresses = {entry["fullUrl"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        subject = entry["resource"].get("subject", {}).get("reference")
        assert subject is None or subject in addresses


def test_convert_prints_a_resource_a_line_whose_references_resolve(site: Site) -> None:
    site.write("1.dcm", instance(1))
    result = site.run("convert", "--format", "ndjson", site.images)
    resources = [json.loads(line) for line in result.stdout.splitlines()]
    names = {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
    (study,) = [one for one in resources if one["resourceType"] == "ImagingStudy"]
    assert study["subject"]["reference"] in names
    assert not any(check(resource) for resource in resources)


def test_what_stands_well_is_said_so(site: Site) -> None:
    site.write("1.dcm", instance(1))
    site.run("ingest", site.images)
    assert "All agree." in site.run("check", "--deep").output
    assert site.run("doctor").exit_code == 0


def test_bytes_that_went_missing_are_found(site: Site) -> None:
    site.write("1.dcm", instance(1))
    site.run("ingest", site.images)
    (blob,) = (site.folder / "data" / "blobs").rglob("*.0")
    blob.unlink()
    result = site.run("check")
    assert result.exit_code == 1
    assert "missing-bytes" in result.output


def test_a_backup_is_restored_elsewhere_without_what_was_erased_since(site: Site) -> None:
    site.write("1.dcm", instance(1))
    site.write("2.dcm", instance(2, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1"))
    site.run("ingest", site.images)
    assert site.run("backup", site.folder / "backup").exit_code == 0
    assert "Would be erased" in site.run("erase", "study", "1.2.9").output
    assert "Erased:" in site.run("erase", "study", "1.2.9", "--really").output
    live = f"sqlite:///{site.folder / 'data'}/imaging.db"
    site.environment["IMAGING_FHIR_DATA_DIR"] = str(site.folder / "elsewhere")
    result = site.run("restore", "--erased-in", live, site.folder / "backup")
    assert result.exit_code == 0, result.output
    assert "All agree." in site.run("check", "--deep").output
    statuses = [line["status"] for line in site.lines("--again", site.images)]
    assert statuses == [200, 409]
    site.run("erase", "allow-again", "study", "1.2.9")
