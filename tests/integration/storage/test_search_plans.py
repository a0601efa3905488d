"""How the engines go about searches: along indexes, in databases that are filled."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, event, text

from imaging_fhir.errors import SearchTooCostly
from imaging_fhir.fhir.compartments import COMPARTMENTS, membership
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.search_union import DATES
from imaging_fhir.model.search import Query
from imaging_fhir.storage import schema, search, search_inclusion
from imaging_fhir.storage.database import Database

BASE = "http://127.0.0.1:8080/fhir"
UCUM = "http://unitsofmeasure.org"
DOCS = Path(__file__).resolve().parents[3] / "docs" / "api" / "search.md"
PATIENTS, EACH = 2_000, 12_000  # of studies, findings, documents; the pages of SQL below fill them

INDEXED = (
    "ImagingStudy?_id=s7",
    "ImagingStudy",
    "ImagingStudy?patient=p7",
    "ImagingStudy?patient=p7&modality=CT&_sort=-started",
    "ImagingStudy?patient=p7&status:not=cancelled",
    "ImagingStudy?patient=p7&description:contains=d",
    "ImagingStudy?subject=Patient/p7,Patient/p8",
    "ImagingStudy?patient:identifier=urn:a|mrn7",
    "ImagingStudy?encounter=Encounter/e7",
    "ImagingStudy?identifier=acc7",
    "ImagingStudy?identifier=urn:acc|acc7",
    "ImagingStudy?identifier:of-type=urn:v2|ACSN|acc7",
    "ImagingStudy?description=d77",
    "ImagingStudy?description:exact=d77",
    "ImagingStudy?instance=1.4.3",
    "ImagingStudy?series=1.3.3",
    "ImagingStudy?dicom-class=1.5.3",
    "ImagingStudy?started=ge2020-01-01&started=lt2020-01-03",
    "ImagingStudy?_sort=-started",
    "ImagingStudy?_sort=description",
    "ImagingStudy?_sort=-identifier",
    "ImagingStudy?_lastUpdated=gt2020-01-01&_sort=_lastUpdated",
    "ImagingStudy?patient.identifier=urn:a|mrn7",
    "ImagingStudy?patient.name=name77",
    "ImagingStudy?_content=skull",
    "ImagingStudy?_content=skull&patient=p7",
    "ImagingStudy?_list=l",
    "ImagingStudy?modality:in=http://hl7.org/fhir/ValueSet/administrative-gender",
    "Patient?name=name77",
    "Patient?phonetic=name",
    "Patient?_has:ImagingStudy:patient:identifier=acc7",
    "Patient?_has:ImagingStudy:patient:_id=s7",
    "Patient?identifier=urn:a|mrn7&_revinclude=ImagingStudy:patient",
    "ImagingStudy?patient=p7&_include=ImagingStudy:patient&_revinclude=Provenance:target",
    "Observation?value-quantity=5",
    f"Observation?value-quantity=5|{UCUM}|mg",
    "Observation?value-quantity=5||mg",
    "Observation?code-value-quantity=c7$5",
    "Observation?combo-code-value-quantity=c7$7",
    "DocumentReference?location=http://x/7",
    "DocumentReference?location:below=http://x/7",
    "DocumentReference?study-instance-uid=1.2.3",
    "DocumentReference?_source=urn:x",
)
LOOKS_AT_MANY = {  # what docs/api/search.md says of searches that no index ends early
    ":missing": "ImagingStudy?encounter:missing=true",
    ":not": "ImagingStudy?status:not=available",
    ":not-in": "ImagingStudy?status:not-in=http://hl7.org/fhir/ValueSet/administrative-gender",
    ":contains": "ImagingStudy?description:contains=77",
    ":text": "ImagingStudy?modality:text=comp",
}


def fill(connection: Connection) -> None:
    """Patients, and as many studies, findings and documents as `EACH` says."""
    for number, type_ in enumerate(("ImagingStudy", "Observation", "DocumentReference")):
        make(connection, EACH, "resource (rid, type, id, version, last_updated, deleted, body)",
             f"SELECT {at(number)}, '{type_}', '{type_[0].lower()}' || i, 1, 1577836800000 + i, "
             ":no, NULL")  # fmt: skip
        for name in ("patient", "subject"):
            make(connection, EACH, "reference_index (rid, parameter, target_type, target_id)",
                 f"SELECT {at(number)}, '{type_}.{name}', 'Patient', "
                 f"'p' || (i % {PATIENTS})")  # fmt: skip
        make(connection, EACH, "text_index (rid, parameter, words)",
             f"SELECT {at(number)}, '{type_}._content', 'wskull' || i || ' wct x'")  # fmt: skip
    make(connection, PATIENTS, "resource (rid, type, id, version, last_updated, deleted, body)",
         "SELECT i, 'Patient', 'p' || i, 1, i, :no, NULL")  # fmt: skip
    token = "token_index (rid, parameter, system, value, folded, type_system, type_code)"
    make(connection, PATIENTS, token,
         "SELECT i, 'Patient.identifier', 'urn:a', 'mrn' || i, 'mrn' || i, NULL, NULL")  # fmt: skip
    make(connection, PATIENTS, "string_index (rid, parameter, value, folded)",
         "SELECT i, 'Patient.name', 'name' || i, 'name' || i")  # fmt: skip
    make(connection, EACH, token,
         f"SELECT {at(0)}, 'ImagingStudy.identifier', 'urn:acc', 'acc' || i, 'acc' || i, "
         "'urn:v2', 'ACSN'")  # fmt: skip
    for name, folded in (
        ("modality", "CASE i % 4 WHEN 0 THEN 'ct' ELSE 'mr' END"),
        ("status", "'available'"),
    ):
        values = f"'urn:s', 'x', {folded}, NULL, NULL"
        make(connection, EACH, token, f"SELECT {at(0)}, 'ImagingStudy.{name}', {values}")
    make(connection, EACH, "reference_index (rid, parameter, target_type, target_id)",
         f"SELECT {at(0)}, 'ImagingStudy.encounter', 'Encounter', 'e' || i")  # fmt: skip
    make(connection, EACH, "date_index (rid, parameter, low, high)",
         f"SELECT {at(0)}, 'ImagingStudy.started', 1577836800000000 + i * 3600000000, "
         "1577836800000000 + i * 3600000000 + 1000000")  # fmt: skip
    make(connection, EACH, "string_index (rid, parameter, value, folded)",
         f"SELECT {at(0)}, 'ImagingStudy.description', 'd' || i, 'd' || i")  # fmt: skip
    make(connection, EACH, "quantity_index "
         "(rid, parameter, low, high, system, code, base_unit, base_low, base_high)",
         f"SELECT {at(1)}, 'Observation.value-quantity', i, i, '{UCUM}', 'mg', 'kilogram', "
         "i / 1000000.0, i / 1000000.0")  # fmt: skip
    for name in ("code-value-quantity", "combo-code-value-quantity"):
        make(connection, EACH, "composite_index (rid, parameter, value, low, high)",
             f"SELECT {at(1)}, 'Observation.{name}', 'c' || (i % 50), i, i")  # fmt: skip
    make(connection, EACH, "uri_index (rid, parameter, value)",
         f"SELECT {at(2)}, 'DocumentReference.location', 'http://x/' || i")  # fmt: skip

    whole(connection, EACH, schema.study, study_instance_uid="'1.2.' || i", state="'filed'",
          rid=at(0))  # fmt: skip
    whole(connection, EACH, schema.series, study="i", series_instance_uid="'1.3.' || i")
    whole(connection, 1, schema.blob)
    whole(connection, EACH, schema.instance, series="i", sop_instance_uid="'1.4.' || i",
          sop_class_uid="'1.5.' || (i % 500)", blob="1")  # fmt: skip


def whole(connection: Connection, count: int, table: Table, **given: str) -> None:
    """Rows with these columns, and something in each that must have something."""
    filler = {bool: ":no", bytes: ":b", str: "''"}
    columns = {
        column.name: given.get(column.name) or filler.get(column.type.python_type, "1")
        for column in table.columns
        if column.name in given or not (column.nullable or column.primary_key)
    }
    into = f"{table.name} ({', '.join(columns)})"
    make(connection, count, into, f"SELECT {', '.join(columns.values())}")


def at(number: int) -> str:
    return f"{PATIENTS + number * EACH} + i"


def make(connection: Connection, count: int, into: str, rows: str) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
    statement = text(f"INSERT INTO {into} {numbers} {rows} FROM n".replace("://", "\\://"))
    given = {"count": count, "no": False, "b": b""}
    names = [name for name in given if name == "count" or f":{name}" in rows]
    connection.execute(statement, {name: given[name] for name in names})


@pytest.fixture
def filled(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.engine.begin() as connection:
        fill(connection)
    if not database.is_sqlite:
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    yield database
    database.close()


def parsed(address: str) -> Query:
    type_, _, rest = address.partition("?")
    pairs = [one.partition("=")[::2] for one in rest.split("&") if one]
    return parse_query(type_, pairs, base=BASE, strict=True)


def run(connection: Connection, query: Query) -> None:
    page = search.search(connection, query)
    search_inclusion.included(connection, query, page.matches, limit=1000)


def plan(connection: Connection, query: Query) -> list[str]:
    """How each statement of the search was gone about."""
    statements: list[tuple[str, Any]] = []

    def take(_: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", take)
    run(connection, query)
    event.remove(connection, "before_cursor_execute", take)
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return [
        str(row[-1])
        for statement, parameters in statements
        for row in connection.exec_driver_sql(explain + statement, parameters)
    ]


def scans(steps: list[str]) -> list[str]:
    """Steps that look at a whole table or a whole index of ours."""
    tables = "|".join(["resource", r"\w+_index", "study", "series", "instance"])
    all_references = r"SEARCH reference_index(_\d+)? USING .*\((parameter|target_type)=\?\)"
    whole = re.compile(rf"Seq Scan on ({tables})\b|SCAN ({tables})(_\d+)?\b|{all_references}")
    return [step for step in steps if whole.search(step)]


def looked_at_whole(connection: Connection, queries: dict[str, Query]) -> dict[str, list[str]]:
    found = {}
    for name, query in queries.items():
        steps = plan(connection, query)
        assert steps, name
        if whole := scans(steps):
            found[name] = whole
    return found


def test_no_search_by_an_index_looks_at_a_table_whole(filled: Database) -> None:
    with filled.read() as connection:
        assert looked_at_whole(connection, {one: parsed(one) for one in INDEXED}) == {}


def test_no_search_in_a_compartment_looks_at_a_table_whole(filled: Database) -> None:
    queries = {
        f"{owner} {type_}": replace(parsed(type_), criteria=(membership(owner, "x", type_),))
        for owner, types in COMPARTMENTS.items()
        for type_ in types
    }
    with filled.read() as connection:
        assert looked_at_whole(connection, queries) == {}


@pytest.mark.parametrize("sort", ["started", "-started"])
def test_the_first_by_a_date_are_found_without_sorting_all(filled: Database, sort: str) -> None:
    of_all = (
        re.compile(r"TEMP B-TREE FOR (GROUP|ORDER) BY")
        if filled.is_sqlite
        else re.compile(r"^ *(-> +)?(Sort|HashAggregate|Gather) +\(")
    )
    with filled.read() as connection:
        steps = plan(connection, parsed(f"ImagingStudy?_sort={sort}&_count=20"))
    assert [step for step in steps if of_all.search(step)] == []


@pytest.mark.parametrize("sort", ["started", "-started"])
def test_a_range_of_the_date_that_is_sorted_by_bounds_the_index(
    filled: Database, sort: str
) -> None:
    """On each page, however many are earlier or later."""
    one = parsed(f"ImagingStudy?started=ge2020-06-01&started=lt2020-06-03&_sort={sort}&_count=20")
    bounds = "(parameter=? AND low>? AND low<?)" if filled.is_sqlite else "(low >= "
    with filled.read() as connection:
        found, after = 0, None
        while found == 0 or after is not None:
            one = replace(one, after=after)
            page = search.search(connection, one)
            steps = [step for step in plan(connection, one) if step_of_walk(step)]
            assert steps, plan(connection, one)
            assert all(bounds in step for step in steps), steps
            found, after = found + len(page.matches), page.next_after
    assert found == 48


@pytest.mark.parametrize("sort", ["date", "-date"])
def test_what_was_over_before_the_range_is_told_from_the_index_alone(
    filled: Database, sort: str
) -> None:
    """A visit may have begun at any time before: it is passed by, and nothing is looked up."""
    one = parsed(f"Encounter?date=ge2020-06-01&date=lt2020-06-03&_sort={sort}&_count=20")
    with filled.read() as connection:
        statements: list[Any] = []

        def executed(_c: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
            statements.append((sql, values))

        event.listen(connection, "before_cursor_execute", executed)
        search.search(connection, one)
        event.remove(connection, "before_cursor_execute", executed)
    [(sql, _)] = [one for one in statements if "date_index" in one[0]]
    assert re.search(r"date_index_\d\.high > ", sql), sql
    assert re.search(r"date_index_\d\.low < ", sql), sql


def step_of_walk(step: str) -> bool:
    """Where the entries are come by: not where each is held against the criteria."""
    by_parameter = r"ix_date_index_value \(parameter=|Index Cond: .*parameter = .*low >= "
    return re.search(by_parameter, step) is not None


def test_what_no_index_ends_early_is_listed_and_bounded(filled: Database) -> None:
    page = DOCS.read_text()
    for modifier, address in LOOKS_AT_MANY.items():
        assert f"`{modifier}`" in page
        with filled.read() as connection:
            run(connection, parsed(address))
    slow = parsed(LOOKS_AT_MANY[":contains"])
    with filled.read() as connection, pytest.raises(SearchTooCostly):  # noqa: SIM117
        with search.limited(connection, 0.001):
            run(connection, slow)
    with filled.read() as connection, search.limited(connection, 60):
        run(connection, slow)


def test_every_date_of_a_search_over_types_is_one_of_the_type() -> None:
    for type_, name in DATES.items():
        assert RESOURCE_TYPES[type_].by_name[name].type == "date"
        assert "date" not in RESOURCE_TYPES[type_].by_name
