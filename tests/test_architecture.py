"""Imports point one way, and each outside library has one home (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "imaging_fhir"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (  # each may import from those above it; neighbours on a line do not know one another
    ("errors", "linking_rules", "policy", "trust", "settings", "logs"),
    ("model",),
    ("images", "fhir", "dicomweb", "hl7v2", "smart", "storage", "jobs", "ehr", "channel"),
    ("services",),
    ("web", "feeds"),
    (
        "app",
        "cli",
        "cli_adoption",
        "cli_audit",
        "cli_authorization",
        "cli_explain",
        "cli_operations",
        "cli_progress",
        "cli_services",
        "kept_process",
        "serve",
        "serve_dimse",
        "demo",
    ),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
ALLOWED_NEIGHBOURS = {
    ("policy", "errors"),
    ("policy", "linking_rules"),
    ("settings", "errors"),
    ("settings", "policy"),
    ("settings", "trust"),
    ("trust", "errors"),
    *((a, b) for a in LAYERS[-1] for b in LAYERS[-1]),
}

HOMES = {
    "flask": {"web", "app"},
    "pydicom": {"images", "dicomweb"},
    "PIL": {"images"},
    "pypdfium2": {"images"},
    "numpy": {"images"},
    "sqlalchemy": {"storage"},
    "alembic": {"storage"},
    "psycopg": {"storage"},
    "redis": {"storage", "jobs"},
    "obstore": {"storage"},
    "requests": {"ehr"},
    "tenacity": {"ehr"},
    "joserfc": {"smart", "ehr"},
    "authlib": {"web"},
    "argon2": {"smart"},
    "click": {
        "cli",
        "cli_adoption",
        "cli_audit",
        "cli_authorization",
        "cli_explain",
        "cli_operations",
        "demo",
    },
    "granian": {"serve"},
    "ucumvert": {"fhir"},
    "pynetdicom": {"feeds"},
}


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(module: Path) -> Iterator[str]:
    """Every module that is imported anywhere in a file, inside functions too."""
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import hides where it leads"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def may_import(importer: str, other: str) -> bool:
    allowed = importer == other or (importer, other) in ALLOWED_NEIGHBOURS
    return allowed or RANK[other] < RANK[importer]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_may(module: Path) -> None:
    for name in imported(module):
        top, *rest = name.split(".")
        if top == "imaging_fhir" and rest and rest[0] != "__version__":
            assert may_import(part_of(module), rest[0]), f"{part_of(module)} imports {name}"
        assert part_of(module) in HOMES.get(top, {part_of(module)}), f"{top} has another home"


def test_the_rules_would_notice_a_wrong_import() -> None:
    assert not may_import("images", "storage")
    assert not may_import("model", "images")
    assert not may_import("services", "web")
    assert may_import("web", "services")
