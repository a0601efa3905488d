"""Each disagreement is found, and mended where the rest tells how."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import decode
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.services.check import Check
from imaging_fhir.storage import schema
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource
from tests.dicom_samples import ct_instance
from tests.house import House, build_house
from tests.samples import SAMPLES


def recompute(connection: Connection, stored: StoredResource) -> list[IndexEntry] | None:
    return None if stored.body is None else index_entries(stored.type, decode(stored.body))


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711")
    house.send(ct_instance())
    house.send(SAMPLES["application/pdf"](), patient="Patient/jane")
    yield house
    house.close()


@pytest.fixture
def check(house: House) -> Check:
    return Check(database=house.database, store=house.store, recompute=recompute)


def found(check: Check, *, deep: bool = False, repair: bool = False) -> list[tuple[str, bool]]:
    findings = check.run(deep=deep, repair=repair)
    return [(f.kind, f.repaired) for f in findings if f.kind != "dangling-reference"]


def test_what_was_taken_in_agrees_with_itself(check: Check) -> None:
    assert found(check, deep=True) == []


def test_bytes_that_are_gone_cut_short_or_changed_are_told(house: House, check: Check) -> None:
    first, second = (house.store.path(blob) for blob in house.store.blobs())
    os.truncate(first, 1)
    second.write_bytes(bytes(second.stat().st_size))
    assert found(check) == [("wrong-size", False)]
    assert sorted(found(check, deep=True)) == [("wrong-hash", False), ("wrong-size", False)]
    first.unlink()
    assert found(check) == [("missing-bytes", False)]


def test_bytes_without_a_row_are_removed(house: House, check: Check) -> None:
    with house.store.stage([b"nobody's"], limit=100) as staged:
        orphan = staged.place(0)
    assert found(check) == [("orphan-bytes", False)]
    assert found(check, repair=True) == [("orphan-bytes", True)]
    assert found(check) == []
    assert orphan not in set(house.store.blobs())


def test_wrong_counts_are_counted_again(house: House, check: Check) -> None:
    house.database.write(
        lambda transaction: transaction.execute(update(schema.study).values(number_of_series=7))
    )
    house.database.write(
        lambda transaction: transaction.execute(update(schema.series).values(number_of_instances=7))
    )
    assert found(check, repair=True) == [("wrong-count", True)] * 2
    assert found(check) == []


def test_metadata_that_is_not_the_files_is_made_again(house: House, check: Check) -> None:
    damage = {"body": zlib.compress(b"{}")}
    house.database.write(lambda writing: writing.execute(update(schema.dicom_json).values(damage)))
    assert found(check) == []
    assert found(check, deep=True, repair=True) == [("wrong-metadata", True)]
    assert found(check, deep=True) == []
    house.database.write(lambda writing: writing.execute(delete(schema.dicom_json)))
    assert found(check, deep=True, repair=True) == [("wrong-metadata", True)]
    assert found(check, deep=True) == []


def test_an_instance_under_another_uid_than_its_file_has_is_told(
    house: House, check: Check
) -> None:
    other = {"sop_instance_uid": "1.2.3"}
    house.database.write(lambda writing: writing.execute(update(schema.instance).values(other)))
    assert found(check) == [("wrong-instances", False)]  # FHIR has it by its own name
    assert ("wrong-uid", False) in found(check, deep=True)


def test_a_lost_index_is_made_again(house: House, check: Check) -> None:
    house.database.write(
        lambda transaction: transaction.execute(
            delete(schema.token_index).where(schema.token_index.c.parameter == "Patient.identifier")
        )
    )
    assert ("wrong-index", True) in found(check, repair=True)
    assert found(check) == []


def test_a_reference_to_nothing_is_told(house: House, check: Check) -> None:
    house.encounter("visit", "nobody")
    subjects = [f.subject for f in check.run() if f.kind == "dangling-reference"]
    assert "Encounter/visit Encounter.subject Patient/nobody" in subjects
