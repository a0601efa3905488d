"""What a study or a series is found by in QIDO-RS: written with what its instances say together."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, insert, select

from imaging_fhir.model.codec import decode_as
from imaging_fhir.model.dicom_attribute import MatchRow, match_rows
from imaging_fhir.model.merge import Merged
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import dicom_value

STUDY_DATE = "00080020"
OWNERS = ("study", "series")
COLUMNS = (dicom_value.c.path, dicom_value.c.item, dicom_value.c.value)
KNOWN = {
    owner: select(*COLUMNS).where(dicom_value.c[owner] == bindparam("key")) for owner in OWNERS
}
REMOVAL = {
    owner: delete(dicom_value).where(dicom_value.c[owner] == bindparam("key")) for owner in OWNERS
}


def rows_of(attributes: bytes) -> list[MatchRow]:
    """Of the column of that name: a Merged."""
    return match_rows(decode_as(Merged, attributes).elements())


def moment_of(rows: Sequence[MatchRow]) -> str:
    """Date and time of the study, by which it has its place among others; empty for none."""
    return next((row.value for row in rows if row.path == STUDY_DATE), "")


def add(transaction: Transaction, owner: str, key: int, rows: Sequence[MatchRow]) -> None:
    """Of a study or series (`owner`) that is new."""
    if rows:
        transaction.execute(
            insert(dicom_value),
            [{"path": row.path, "item": row.item, "value": row.value, owner: key} for row in rows],
        )


def replace(transaction: Transaction, owner: str, key: int, rows: Sequence[MatchRow]) -> None:
    """Of one that was there: what is the same stays as it is."""
    known = {MatchRow(*row) for row in transaction.execute(KNOWN[owner], {"key": key})}
    if known != set(rows):
        transaction.execute(REMOVAL[owner], {"key": key})
        add(transaction, owner, key, rows)
