"""Every example is run as its reader would run it, against a server in its own processes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_samples import ct_instance
from tests.e2e.server import Server, import_statuses
from tests.serving import DEMO_NUMBERS, demo_server

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
POSTMAN = EXAMPLES / "postman"
COLLECTION = POSTMAN / "imaging_fhir.postman_collection.json"
ENVIRONMENT = "imaging_fhir.postman_environment.json"
IMPORT = "/fhir/$import-image"
SECONDS = 120


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, demo_samples: dict[str, bytes]
) -> Iterator[Server]:
    """With the demo's patients, visits and images."""
    with demo_server(tmp_path_factory.mktemp("examples"), demo_samples) as started:
        yield started


@pytest.fixture
def photo(tmp_path: Path, demo_samples: dict[str, bytes]) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(demo_samples["wound-2025-05-14.jpg"])
    return path


def run_example(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_every_script_is_run_here() -> None:
    tests = Path(__file__).read_text()
    scripts = [str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py")]
    assert len(scripts) >= 5
    assert [name for name in scripts if f'"{name}"' not in tests] == []


def test_a_folder_is_imported_and_each_file_explained(
    server: Server, tmp_path: Path, demo_samples: dict[str, bytes]
) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "a.dcm").write_bytes(demo_samples["dicom/tanaka-mg-l.dcm"])
    (tmp_path / "b.jpg").write_bytes(demo_samples["wound-2025-04-02.jpg"])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").touch()
    done = run_example("import_folder.py", tmp_path, "--base", server.base)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("202  b.jpg  no-identity: ")
    assert lines[1].startswith("200  deeper/a.dcm  patient-identifier: ")
    assert lines[1].partition("http")[2]
    assert lines[2].startswith("400  empty  ")
    assert lines[3].startswith("415  notes.txt  ")
    assert lines[4:] == ["1 held, or kept as a conflict, 1 known already, 2 refused"]
    assert done.returncode == 1


def test_a_folder_of_known_images_is_no_failure(
    server: Server, tmp_path: Path, demo_samples: dict[str, bytes]
) -> None:
    (tmp_path / "a.dcm").write_bytes(demo_samples["dicom/tanaka-mg-l.dcm"])
    done = run_example("import_folder.py", tmp_path, "--base", server.base)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 known already"


def test_a_patient_s_images_are_listed_by_visit(server: Server, tmp_path: Path) -> None:
    identifier = f"{DEMO_NUMBERS}|104363"
    folder = tmp_path / "thumbnails"
    done = run_example(
        "find_patient_images.py", identifier, "--base", server.base, "--save", folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        "Encounter/demo-lindqvist-cardiology",
        "  2025-02-11T09:30:00+01:00  US  Echocardiography (1 series, 1 images)",
        "Encounter/demo-lindqvist-dressing-1",
    ]
    assert sum("image/jpeg" in line for line in done.stdout.splitlines()) == 2
    assert {path.suffix for path in folder.iterdir()} <= {".jpeg", ".png"}
    assert len(list(folder.iterdir())) == 3


def test_a_patient_without_images_is_said_by_the_exit_code(server: Server) -> None:
    done = run_example("find_patient_images.py", f"{DEMO_NUMBERS}|0", "--base", server.base)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_photo_is_attached_to_a_visit(server: Server, photo: Path) -> None:
    done = run_example(
        "attach_photo.py",
        photo,
        "--patient=demo-tanaka",
        "--encounter=demo-tanaka-screening",
        "--body-site=left heel",
        "--laterality=L",
        f"--base={server.base}",
    )
    assert done.returncode == 0, done.stderr
    assert "The sender named this visit." in done.stdout
    query = "DocumentReference?encounter=demo-tanaka-screening"
    [document] = [entry["resource"] for entry in server.fhir(query)["entry"]]
    assert f"DocumentReference/{document['id']} of Patient/demo-tanaka" in done.stdout
    assert document["content"][0]["attachment"]["size"] == photo.stat().st_size


def test_a_photo_for_the_visit_of_somebody_else_is_refused(server: Server, photo: Path) -> None:
    done = run_example(
        "attach_photo.py",
        photo,
        "--patient=demo-tanaka",
        "--encounter=demo-okafor-neurology",
        f"--base={server.base}",
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == "Refused (422): The encounter given is of another patient.\n"


def follow(server: Server, state: Path, *options: str) -> list[str]:
    done = run_example(
        "follow_new_images.py", f"--base={server.base}", f"--state={state}", *options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_new_images_are_followed_without_gap_or_repetition(
    server: Server, tmp_path: Path, photo: Path
) -> None:
    state = tmp_path / "follow.json"
    first = follow(server, state, "--count=2")
    assert len(first) == len(set(first)) == count_of_images(server)
    assert follow(server, state, "--count=2") == []

    study = "1.2.3.4.5.1"
    for number in ("1", "2"):
        instance = ct_instance(StudyInstanceUID=study, SOPInstanceUID=f"{study}.{number}")
        assert import_statuses(server.import_image(instance)) == [201]
    sent = server.import_image(photo.read_bytes(), f"{IMPORT}?patient=Patient/demo-okafor")
    assert import_statuses(sent) == [201]
    [changed, added] = follow(server, state, "--count=1")
    assert changed.startswith(f"ImagingStudy/{study} 2 Patient/provisional-")
    assert added.startswith("DocumentReference/")
    assert added.endswith(" 1 Patient/demo-okafor")
    assert follow(server, state) == []


def test_a_follower_that_was_stopped_goes_on_at_its_page(server: Server, tmp_path: Path) -> None:
    state = tmp_path / "follow.json"
    page = server.fhir("ImagingStudy?_sort=_lastUpdated&_count=2")
    seen = [entry["resource"] for entry in page["entry"]]
    links = {link["relation"]: link["url"] for link in page["link"]}
    place = {"seen": seen[-1]["meta"]["lastUpdated"], "next": links["next"]}
    state.write_text(json.dumps({"ImagingStudy": place}))
    followed = follow(server, state, "--count=2")
    assert len(followed) == count_of_images(server) - len(seen)
    assert not {line.split()[0] for line in followed} & {f"ImagingStudy/{o['id']}" for o in seen}


def count_of_images(server: Server) -> int:
    kinds = ("ImagingStudy", "DocumentReference")
    return sum(server.fhir(f"{kind}?_summary=count")["total"] for kind in kinds)


def make_samples(folder: Path, *options: str) -> dict[str, str]:
    """The values of the environment beside them."""
    done = run_example("postman/make_samples.py", folder, *options)
    assert done.returncode == 0, done.stderr
    return values_of(folder / ENVIRONMENT)


def values_of(environment: Path) -> dict[str, str]:
    described = json.loads(environment.read_text())
    return {item["key"]: item["value"] for item in described["values"]}


def test_the_postman_environment_fits_the_samples_made_by_default(tmp_path: Path) -> None:
    assert make_samples(tmp_path) == values_of(POSTMAN / ENVIRONMENT)
    assert {path.name for path in tmp_path.iterdir()} >= {"photo.jpg", "ct.dcm", "held.dcm"}


@pytest.mark.parametrize("number", ["PM-1001", "PM-1002"])
def test_the_postman_collection_runs_from_end_to_end(
    server: Server, newman: str, tmp_path: Path, number: str
) -> None:
    make_samples(tmp_path, "--number", number, "--base", server.address)
    run = run_collection(newman, tmp_path)
    assert run["failures"] == []
    steps = json.loads(COLLECTION.read_text())["item"]
    assert run["stats"]["requests"]["total"] >= len(steps) >= 20
    asserted = [step["item"]["name"] for step in run["executions"] if step.get("assertions")]
    names = [step["name"] for step in steps]
    assert list(dict.fromkeys(asserted)) == names  # the last one asks many times
    walked = {
        one["assertion"]
        for execution in run["executions"]
        if execution["item"]["name"] == names[-1]
        for one in execution.get("assertions", ())
    }
    assert walked == interactions_of_types(server)


def interactions_of_types(server: Server) -> set[str]:
    [rest] = server.fhir("metadata")["rest"]
    return {
        f"{type_['type']} {one['code']}"
        for type_ in rest["resource"]
        for one in type_["interaction"]
    }


def test_the_postman_collection_has_every_interaction_of_the_server(server: Server) -> None:
    [rest] = server.fhir("metadata")["rest"]
    offered = {one["code"] for one in rest["interaction"]}
    offered |= {f"${one['name']}" for one in rest["operation"]}
    for type_ in rest["resource"]:
        offered |= {one["code"] for one in type_["interaction"]}
        offered |= {f"${one['name']}" for one in type_.get("operation", ())}
    shown = {interaction_of(step["request"]) for step in json.loads(COLLECTION.read_text())["item"]}
    assert offered - shown == set()


def interaction_of(request: dict[str, Any]) -> str:
    """FHIR's own code of what a request asks for; of an operation its name."""
    path = request["url"].partition("?")[0].removeprefix("{{base}}/fhir")
    match request["method"], [part for part in path.split("/") if part]:
        case _, [*_, name] if name.startswith("$"):
            return str(name)
        case "POST", []:
            return str(json.loads(request["body"]["raw"])["type"])
        case "GET", []:
            return "search-system"
        case "GET", ["_history"]:
            return "history-system"
        case "GET", [_, "_history"]:
            return "history-type"
        case "GET", [_, _, "_history"]:
            return "history-instance"
        case "GET", [_, _, "_history", _]:
            return "vread"
        case method, [_, _]:
            of_one = {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
            return of_one.get(method, "search-type")
        case method, _:
            return {"GET": "search-type", "POST": "create"}.get(method, "")


def run_collection(newman: str, folder: Path) -> dict[str, Any]:
    report = folder / "report.json"
    command = [newman, "run", str(COLLECTION), "--environment", str(folder / ENVIRONMENT)]
    command += ["--working-dir", str(folder), "--reporters", "json"]
    command += ["--reporter-json-export", str(report)]
    subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    run: dict[str, Any] = json.loads(report.read_text())["run"]
    return run
