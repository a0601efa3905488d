"""The documentation is held to the code: its commands are run, its tables compared.

In a page, a block marked `sh` is run, in one shell with the others of its page, against a server
with the demo's images; the block marked `text` after it is what it prints, where … stands for
anything, and a line of only … for any lines. Other commands are marked `shell`.
"""

import io
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask

from imaging_fhir import errors
from imaging_fhir.app import BLUEPRINTS
from imaging_fhir.cli import main
from imaging_fhir.fhir.resource_type import EVERYTHING, RESOURCE_TYPES
from imaging_fhir.fhir.search_parameters import COMMON, TEXTS
from imaging_fhir.linking_rules import PATIENT_RULES, VISIT_RULES
from imaging_fhir.policy import Policy
from imaging_fhir.settings import PREFIX, Settings, Site, Source
from imaging_fhir.trust import SystemClient, TrustedIssuer
from tests.e2e.processes import COMMAND, environment
from tests.e2e.server import Server
from tests.serving import demo_server

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
DEFAULT_ADDRESS = "http://127.0.0.1:8080"
END_OF_BLOCK = "--- end of block ---"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of each code block."""
    return BLOCK.findall(page.read_text())


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


RUNNABLE = [page for page in PAGES if any(language == "sh" for language, _ in blocks(page))]


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, demo_samples: dict[str, bytes]
) -> Iterator[Server]:
    with demo_server(tmp_path_factory.mktemp("docs"), demo_samples) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path, demo_samples: dict[str, bytes]) -> Path:
    """Where the commands run: the files that the pages speak of."""
    (tmp_path / "photo.jpg").write_bytes(demo_samples["wound-2025-05-14.jpg"])
    (tmp_path / "ct.dcm").write_bytes(demo_samples["dicom/okafor-ct/001.dcm"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("dicom/tanaka-mg-l.dcm", "dicom/tanaka-mg-r.dcm"):
            archive.writestr(name, demo_samples[name])
    (tmp_path / "disc.zip").write_bytes(packed.getvalue())
    (tmp_path / "site.toml").write_text(site_file())
    return tmp_path


def site_file() -> str:
    [example] = [text for language, text in blocks(DOCS / "configuration.md") if language == "toml"]
    return example


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_the_commands_of_a_page_print_what_it_says(
    server: Server, folder: Path, page: Path
) -> None:
    run, expected = commands(page)
    script = "".join(f"{command}\necho '{END_OF_BLOCK}'\n" for command in run)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(DEFAULT_ADDRESS, server.address)],
        cwd=folder,
        env=environment(server.data_dir, {})
        | {"PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout.replace(server.address, DEFAULT_ADDRESS).split(f"{END_OF_BLOCK}\n")
    for command, output, wanted in zip(run, printed, expected, strict=False):
        assert done.returncode == 0 or wanted is None or matches(wanted, output), (
            f"{command}\nprinted\n{output}\n{done.stderr}"
        )
        if wanted is not None:
            assert matches(wanted, output), f"{command}\nprinted\n{output}"
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(printed) == len(run) + 1


def commands(page: Path) -> tuple[list[str], list[str | None]]:
    """Each block that is run, and what it prints, where the page says so."""
    run: list[str] = []
    expected: list[str | None] = []
    for language, content in blocks(page):
        if language == "sh":
            run.append(strict(content) if page == README else content)
            expected.append(None)
        elif language == "text" and run and expected[-1] is None:
            expected[-1] = content
    return run, expected


def strict(content: str) -> str:
    """An error status ends the block."""
    return content.replace("curl ", "curl -sS --fail -o answer ")


def matches(wanted: str, printed: str) -> bool:
    lines = []
    for line in wanted.strip("\n").split("\n"):
        is_any = line.strip() == "…"
        lines.append(r"(?:.*\n)*?" if is_any else ".*".join(map(re.escape, line.split("…"))) + "\n")
    return re.fullmatch("".join(lines), printed.strip("\n") + "\n") is not None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_index() -> None:
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            found = LINK.findall(page.read_text())
            waiting += [(page.parent / link).resolve() for link in found if "://" not in link]
    assert set(DOCS.rglob("*.md")) <= reached


def test_every_setting_is_documented_with_its_default() -> None:
    page = (DOCS / "configuration.md").read_text()
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \| `?([^|`]*)`? \|", page, re.MULTILINE)
    defaults = {setting.name.upper(): shown(setting.default) for setting in fields(Settings)}
    assert {name: value.strip() for name, value in rows} == defaults
    mentioned = {
        name
        for text in (one.read_text() for one in PAGES)
        for name in re.findall(rf"{PREFIX}([A-Z_]+[A-Z])", text)
    }
    assert {name for name in mentioned if not name.startswith("TEST_")} <= set(defaults)


def shown(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default)


def test_the_example_of_a_site_file_is_read_and_uses_every_field(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(site_file())
    site = Site.from_file(str(path))
    assert site.issuers["HOSPITAL"].startswith("urn:oid:")
    assert site.source_of_address("10.20.1.7").id == "ct-1"
    assert site.source_of_path(Path("/srv/incoming/wards/a.jpg")).id == "wards"
    for type_ in (Source, Policy, SystemClient):
        assert unused(type_, site_file()) == set()
    assert unused(TrustedIssuer, site_file()) == {"jwks_file", "client_secret_variable"}  # or


def unused(type_: Any, text: str) -> set[str]:
    return {one.name for one in fields(type_) if f"{one.name} =" not in text}


@pytest.mark.parametrize("type_", [TrustedIssuer, SystemClient])
def test_every_field_of_an_issuer_is_documented(type_: Any) -> None:
    cells = re.findall(r"^\| (`[^|]+) \|", (DOCS / "smart.md").read_text(), re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert {one.name for one in fields(type_)} <= documented


def test_every_error_is_documented_and_drawn_in_the_tree() -> None:
    subclasses: list[type[errors.ImagingError]] = errors.ImagingError.__subclasses__()
    classes: list[type[errors.ImagingError]] = [errors.ImagingError, *subclasses]
    real = {
        (one.__name__, str(one.status), one.issue_code)
        for one in classes
        if one.__module__ == errors.__name__
    }
    tree = set(re.findall(r"(\w+) +(\d{3}) ([\w-]+)", errors.__doc__ or ""))
    page = (DOCS / "errors.md").read_text()
    table = set(re.findall(r"^\| `(\w+)` \| (\d{3}) \| `([\w-]+)` \|", page, re.MULTILINE))
    assert tree == real
    assert table == real


def test_the_table_of_interactions_is_that_of_the_server() -> None:
    page = (DOCS / "conformance.md").read_text()
    rows = re.findall(r"^\| (\w+) \|((?: [x ]+\|){8})", page, re.MULTILINE)
    columns = [one for one in EVERYTHING if one != "history-type"]
    table = {
        name: {one for one, cell in zip(columns, cells.split("|"), strict=False) if "x" in cell}
        for name, cells in rows
    }
    assert table == {
        name: set(type_.interactions) - {"history-type"} for name, type_ in RESOURCE_TYPES.items()
    }
    for type_ in RESOURCE_TYPES.values():
        assert ("history-type" in type_.interactions) == ("history-instance" in type_.interactions)


def test_the_search_parameters_are_those_of_the_server() -> None:
    page = (DOCS / "conformance.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ((?:`[\w-]+`(?:, )?)+) \|$", page, re.MULTILINE)
    table = {name: set(re.findall(r"`([\w-]+)`", cell)) for name, cell in rows}
    common = {parameter.name for parameter in (*COMMON, *TEXTS)}
    assert table.pop("all") == common
    assert table == {
        name: set(type_.by_name) - common
        for name, type_ in RESOURCE_TYPES.items()
        if set(type_.by_name) - common
    }


def test_every_address_is_documented() -> None:
    app = Flask("addresses", static_folder=None)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    real = {re.sub(r"<[^>]+>", "{}", rule.rule) for rule in app.url_map.iter_rules()}
    written = " ".join(page.read_text() for page in PAGES)
    documented = set(
        re.findall(
            r"(/[\w$/{}*\-]*(?:\.well-known[\w/\-]*)?(?:\.json|\.js)?)",
            re.sub(r"\{\w+\}", "{}", written),
        )
    )
    assert sorted(real - documented) == []


def test_every_threat_has_a_test_that_there_is() -> None:
    page = (DOCS / "security.md").read_text()
    [table] = re.findall(r"^\| threat \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    named = re.findall(r"\| `(tests/[\w/]+\.py)::(test_\w+)` \|$", table, re.MULTILINE)
    assert len(named) == len(table.splitlines())
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_every_command_is_documented() -> None:
    page = (DOCS / "commands.md").read_text()
    names = set(re.findall(r"^\| `([a-z-]+)", page, re.MULTILINE))
    assert names == set(main.list_commands(click.Context(main)))


def test_the_rules_of_linking_are_documented_as_they_are_tried() -> None:
    page = (DOCS / "linking.md").read_text()
    tables = re.findall(r"^\| rule \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    rows = [
        "".join(
            f"| `{one.name}` | {one.needs} | {one.proves} | {one.when_off} |\n" for one in rules
        )
        for rules in (PATIENT_RULES, VISIT_RULES)
    ]
    assert tables == rows
