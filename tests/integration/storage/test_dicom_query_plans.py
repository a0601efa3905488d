"""How the engines go about QIDO-RS: along indexes, in a number of statements that does not grow."""

import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Connection, event, text

from imaging_fhir.dicomweb.query import Address, parse_query
from imaging_fhir.model.dicom_query import DicomQuery
from imaging_fhir.services.query_dicom import in_studies
from imaging_fhir.storage import dicom_query, schema
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.prepared import Parameters, Prepared
from tests.integration.storage.test_search_plans import make, whole

EACH = 6_000  # studies, each of one series with one instance
SEARCHES = (
    "studies",
    "studies?PatientID=mrn7",
    "studies?PatientID=mrn7*",
    "studies?PatientName=name77*",
    "studies?PatientName=name77&fuzzymatching=true",
    "studies?PatientName=name77*&PatientSex=F&StudyDate=20200101-",
    "studies?AccessionNumber=acc7",
    "studies?StudyInstanceUID=1.2.7",
    "studies?StudyDate=20200105",
    "studies?StudyDate=20200105-20200107&StudyTime=10-12",
    "studies?PatientSex=F",
    "studies?ModalitiesInStudy=CT",
    "studies?ModalitiesInStudy=XX",
    "studies?SOPClassesInStudy=1.5.3",
    "series",
    "series?SeriesInstanceUID=1.3.7",
    "series?Modality=CT",
    "series?Modality=XX",
    "series?PatientID=mrn7",
    "series?RequestAttributesSequence.ScheduledProcedureStepID=step7",
    "series?00400275.00400009=step7&00400275.00401001=step7",
    "instances",
    "instances?SOPInstanceUID=1.4.7",
    "instances?PatientID=mrn7",
    "studies/1.2.7/series",
    "studies/1.2.7/instances",
    "studies/1.2.7/series/1.3.7/instances?InstanceNumber=1",
)
LEVELS = {"studies": "study", "series": "series", "instances": "instance"}


def fill(connection: Connection) -> None:
    make(connection, EACH, "resource (rid, type, id, version, last_updated, deleted, body)",
         "SELECT i, 'ImagingStudy', 's' || i, 1, i, :no, NULL")  # fmt: skip
    make(connection, EACH, "resource (rid, type, id, version, last_updated, deleted, body)",
         f"SELECT {EACH} + i, 'Patient', 'p' || i, 1, i, :no, NULL")  # fmt: skip
    make(connection, EACH, "string_index (rid, parameter, value, folded)",
         f"SELECT {EACH} + i, 'Patient.00100020', '0', 'mrn' || i")  # fmt: skip
    make(connection, EACH, "token_index (rid, parameter, system, value, folded)",
         "SELECT i, 'ImagingStudy.identifier', 'urn:acc', 'acc' || i, 'acc' || i")  # fmt: skip
    merged = """'{"values":{},"modalities":{}}'"""
    attributes = merged if connection.dialect.name == "sqlite" else f"{merged}::bytea"
    whole(connection, EACH, schema.study, study_instance_uid="'1.2.' || i", state="'filed'",
          rid="i", patient="'p' || i", attributes=attributes, corrected=":no",
          moment=f"CAST(20200101 + i * 20 / {EACH} AS TEXT) || '101500.000000'")  # fmt: skip
    whole(connection, EACH, schema.series, study="i", series_instance_uid="'1.3.' || i",
          modality="CASE i % 2 WHEN 0 THEN 'CT' ELSE 'MR' END", attributes=attributes)  # fmt: skip
    whole(connection, 1, schema.blob)
    whole(connection, EACH, schema.instance, series="i", sop_instance_uid="'1.4.' || i",
          sop_class_uid="'1.5.' || (i % 500)", blob="1")  # fmt: skip
    whole(connection, EACH, schema.dicom_json, instance="i")
    for path, value in {
        "00100020": "'mrn' || i",
        "00100010": "'name' || i",
        "00100010~": "'name' || i",
        "00080050": "'acc' || i",
        "00100040": "CASE i % 2 WHEN 0 THEN 'F' ELSE 'M' END",
        "00080030": "'101500.000000'",
    }.items():
        whole(connection, EACH, schema.dicom_value, study="i", path=f"'{path}'", value=value)
    for path in ("00400275.00400009", "00400275.00401001"):
        whole(connection, EACH, schema.dicom_value, series="i", path=f"'{path}'",
              value="'step' || i")  # fmt: skip


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


def parsed(search: str, limit: int) -> DicomQuery:
    path, _, rest = search.partition("?")
    parts = path.split("/")
    names = dict(zip(parts[::2], parts[1::2], strict=False))
    address = Address(
        level=LEVELS[parts[-1]],  # type: ignore[arg-type]
        study=names.get("studies"),
        series=names.get("series"),
    )
    pairs = [tuple(one.split("=")) for one in rest.split("&") if one]
    return parse_query(address, pairs, max_results=limit)  # type: ignore[arg-type]


def statements(connection: Connection, query: DicomQuery) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def take(_: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        found.append((statement, parameters))

    direct = Prepared.cursor

    def prepared(self: Prepared, connection: Connection, given: Parameters) -> Any:
        compiled = self.of(connection.dialect)
        found.append((compiled.sql, compiled.parameters(given)))
        return direct(self, connection, given)

    event.listen(connection, "before_cursor_execute", take)
    with patch.object(Prepared, "cursor", prepared):
        page = dicom_query.page(connection, query, {})
        in_studies(connection, query, page.rows)
    event.remove(connection, "before_cursor_execute", take)
    return found


def as_given(parameters: Any) -> Any:
    """As SQLAlchemy takes them: by name, or several by position in a tuple."""
    return parameters if isinstance(parameters, dict) else tuple(parameters)


def scans(connection: Connection, query: DicomQuery) -> list[str]:
    """Steps that look at all of a table, but for the walk of studies in their order.

    What a page leaves is counted up to a limit, so however it is come by.
    """
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    steps = [
        str(row[-1])
        for statement, parameters in statements(connection, query)
        if "count(" not in statement
        for row in connection.exec_driver_sql(explain + statement, as_given(parameters))
    ]
    assert steps
    tables = r"(resource|\w+_index|study|series|instance|dicom_value|dicom_json)(_\d+)?\b"
    everything = re.compile(
        rf"SCAN {tables}(?! USING INDEX ix_study_moment)"
        r"|Seq Scan on (resource|\w+_index|dicom_value)"
    )
    return [step for step in steps if everything.search(step)]


def test_no_search_looks_at_a_table_whole(filled: Database) -> None:
    with filled.read() as connection:
        found = {one: scans(connection, parsed(one, 20)) for one in SEARCHES}
    assert {one: steps for one, steps in found.items() if steps} == {}


def test_the_newest_studies_come_along_their_index(filled: Database) -> None:
    of_all = re.compile(r"TEMP B-TREE FOR ORDER BY" if filled.is_sqlite else r"Sort Key")
    explain = "EXPLAIN QUERY PLAN " if filled.is_sqlite else "EXPLAIN "
    with filled.read() as connection:
        for search in ("studies", "studies?PatientSex=F", "studies?ModalitiesInStudy=CT"):
            asked = statements(connection, parsed(search, 20))
            steps = [
                str(row[-1])
                for statement, parameters in asked
                if "ORDER BY study.moment" in statement
                for row in connection.exec_driver_sql(explain + statement, as_given(parameters))
            ]
            assert any("ix_study_moment" in step for step in steps), steps
            assert not any(of_all.search(step) for step in steps), steps


@pytest.mark.parametrize("search", ["studies", "series", "instances", "studies?PatientSex=F"])
def test_the_statements_are_as_many_however_much_is_found(filled: Database, search: str) -> None:
    with filled.read() as connection:
        few, many = (len(statements(connection, parsed(search, limit))) for limit in (2, 1000))
    assert few == many <= 6
