"""`imaging-fhir convert` on real and odd files: FHIR that another server can take."""

import json
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.fhir.validation import check
from tests.dicom_samples import ct_instance
from tests.e2e.processes import MEGABYTE, Run, run
from tests.e2e.server import Server

Resource = dict[str, Any]
LEFT_OUT = ("hostile", "tiny")
SECONDS = 150
STUDY, DOCUMENT = "ImagingStudy", "DocumentReference"


def convert(shared_data: Path, data_dir: Path, *options: str) -> Run:
    folders = sorted(
        path for path in shared_data.iterdir() if path.is_dir() and path.name not in LEFT_OUT
    )
    done = run("convert", *options, *folders, data_dir=data_dir, timeout=SECONDS)
    assert done.exit_code == 1, done.stderr  # some files are no images
    assert not list(data_dir.iterdir()), "convert keeps nothing"
    return done


@pytest.fixture(scope="module")
def converted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return convert(shared_data, tmp_path_factory.mktemp("convert"))


@pytest.fixture(scope="module")
def bundle(converted: Run) -> Resource:
    found: Resource = json.loads(converted.stdout)
    return found


@pytest.fixture(scope="module")
def lines(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Resource]:
    done = convert(shared_data, tmp_path_factory.mktemp("ndjson"), "--format", "ndjson")
    return [json.loads(line) for line in done.stdout.splitlines()]


def type_of(entry: Resource) -> str:
    return str(entry["resource"]["resourceType"])


def references(value: Any) -> Iterator[str]:
    """Every literal reference in it, attachments of documents included."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        if isinstance(value.get("attachment"), dict):
            yield value["attachment"]["url"]
        for item in value.values():
            yield from references(item)


def test_the_bundle_and_each_resource_in_it_are_valid(bundle: Resource) -> None:
    assert check(bundle) == []
    types = Counter(map(type_of, bundle["entry"]))
    assert set(types) == {"Patient", "ImagingStudy", "DocumentReference", "Binary"}
    assert types["ImagingStudy"] > 100
    assert types["DocumentReference"] == types["Binary"] > 70
    for entry in bundle["entry"]:
        assert [issue for issue in check(entry["resource"]) if issue.severity == "error"] == []


def test_fhir_resources_takes_each_resource(bundle: Resource) -> None:
    for entry in bundle["entry"]:
        type_ = type_of(entry)
        if type_ != "Binary":
            module = import_module(f"fhir.resources.R4B.{type_.lower()}")
            getattr(module, type_).model_validate(entry["resource"])


def test_each_reference_leads_to_an_entry_before_it(bundle: Resource) -> None:
    known: set[str] = set()
    seen = 0
    for entry in bundle["entry"]:
        contained = {f"#{inner['id']}" for inner in entry["resource"].get("contained", [])}
        for reference in references(entry["resource"]):
            assert reference in known | contained, entry["resource"]
            seen += 1
        assert entry["fullUrl"] not in known
        known.add(entry["fullUrl"])
    assert seen > 250


def test_lines_name_one_another_by_type_and_id(lines: list[Resource], bundle: Resource) -> None:
    types = Counter(line["resourceType"] for line in lines)
    assert types == Counter(map(type_of, bundle["entry"]))
    known = {f"{line['resourceType']}/{line['id']}" for line in lines}
    assert len(known) == len(lines)
    for line in lines:
        assert [issue for issue in check(line) if issue.severity == "error"] == []
        contained = {f"#{inner['id']}" for inner in line.get("contained", [])}
        assert set(references(line)) <= known | contained


def test_memory_holds_one_document_at_a_time(converted: Run) -> None:
    assert 20 * MEGABYTE < converted.peak_memory < 400 * MEGABYTE


def test_another_server_takes_the_bundle(bundle: Resource, server: Server) -> None:
    """Ours makes each ImagingStudy itself, from the images."""
    kept = [entry for entry in bundle["entry"] if type_of(entry) != STUDY]
    answer = server.post_fhir({**bundle, "entry": kept})
    assert answer.status == 200, answer.body[:1000]
    assert [entry["response"]["status"][:3] for entry in answer.json()["entry"]] == ["201"] * len(
        kept
    )
    documents = server.fhir("DocumentReference?_summary=count")
    assert documents["total"] == sum(
        entry["resource"]["resourceType"] == DOCUMENT for entry in kept
    )
    shown = server.fhir("DocumentReference?_include=DocumentReference:subject&_count=5")
    assert set(map(type_of, shown["entry"])) == {DOCUMENT, "Patient"}


def test_a_study_that_files_give_to_two_persons_is_given_to_the_first(tmp_path: Path) -> None:
    files = {
        "a.dcm": ct_instance(SOPInstanceUID="1.2.3.1"),
        "b.dcm": ct_instance(SOPInstanceUID="1.2.3.2", PatientName="ROE^Jane^M"),
        "c.dcm": ct_instance(SOPInstanceUID="1.2.3.3", PatientID="0815", PatientName="Doe^John"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    done = run("convert", tmp_path, data_dir=tmp_path / "none", timeout=60)
    assert done.exit_code == 1
    assert f"{tmp_path}/c.dcm: The study is of the person whom an earlier file names" in done.stderr
    [patient, study] = [entry["resource"] for entry in json.loads(done.stdout)["entry"]]
    assert patient["name"][0]["family"] == "Roe"
    assert [one["uid"] for one in study["series"][0]["instance"]] == ["1.2.3.1", "1.2.3.2"]
