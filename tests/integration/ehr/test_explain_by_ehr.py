"""`$explain-link` with an EHR as master: what it said lately counts, and it is not asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.explanation import LinkExplanation
from imaging_fhir.model.link import Given
from imaging_fhir.services.explain_link import NOT_ASKED
from imaging_fhir.settings import DEFAULT_SOURCE
from imaging_fhir.storage.schema import metadata
from tests.house import HOSPITAL
from tests.integration.ehr.clinic import JANE, Clinic, ct, open_clinic
from tests.odd_ehr import OddEhr


@pytest.fixture
def clinic(database_url: str, tmp_path: Path, odd_ehr: OddEhr) -> Iterator[Clinic]:
    opened = open_clinic(database_url, tmp_path, odd_ehr)
    yield opened
    opened.services.close()


def explain(clinic: Clinic, content: bytes) -> LinkExplanation:
    with clinic.services.blobs.stage([content], limit=len(content)) as staged:
        return clinic.services.explain_link.file(
            staged, source=DEFAULT_SOURCE, given=Given(), caller=LOCAL
        )


def test_the_ehr_is_not_asked_and_nothing_is_copied(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    asked, before = len(clinic.ehr.asked), everything(clinic)
    explanation = explain(clinic, ct())
    assert len(clinic.ehr.asked) == asked
    assert everything(clinic) == before
    assert explanation.patient_rule == "provisional-identifier"
    assert NOT_ASKED in explanation.notes


def test_what_it_said_lately_counts(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct())
    asked, before = len(clinic.ehr.asked), everything(clinic)
    other = ct(StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1", SOPInstanceUID="1.2.9.1.1")
    explanation = explain(clinic, other)
    assert (explanation.patient, explanation.notes) == ("Patient/jane", ())
    assert ("ehr", "answered") in explanation.evidence
    assert len(clinic.ehr.asked) == asked
    assert everything(clinic) == before


def everything(clinic: Clinic) -> dict[str, list[tuple[object, ...]]]:
    with clinic.services.database.read() as connection:
        return {
            table.name: list(map(tuple, connection.execute(table.select().order_by(*table.c))))
            for table in metadata.sorted_tables
        }
