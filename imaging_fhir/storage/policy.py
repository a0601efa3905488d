"""By which site file images were linked last, and the images to be linked again by another."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.documents import SELECT as DOCUMENTS
from imaging_fhir.storage.schema import document, linking_policy, resource, study


def fingerprint(connection: Connection) -> str | None:
    return connection.execute(select(linking_policy.c.fingerprint)).scalar()


def set_fingerprint(transaction: Transaction, digest: str) -> None:
    transaction.execute(delete(linking_policy))
    transaction.execute(insert(linking_policy), {"fingerprint": digest})


def studies_after(connection: Connection, pk: int, limit: int) -> Sequence[AnyRow]:
    """Those that no person decided on, in the order of their keys."""
    statement = (
        select(study, resource.c.deleted)
        .join(resource, resource.c.rid == study.c.rid)
        .where(study.c.pk > pk, study.c.decision.is_(None))
        .order_by(study.c.pk)
        .limit(limit)
    )
    return connection.execute(statement).all()


def documents_after(connection: Connection, pk: int, limit: int) -> Sequence[AnyRow]:
    """The same of documents; those that were deleted stay as they are."""
    statement = (
        DOCUMENTS.where(
            document.c.pk > pk, document.c.decision.is_(None), resource.c.deleted.is_(False)
        )
        .order_by(document.c.pk)
        .limit(limit)
    )
    return connection.execute(statement).all()
