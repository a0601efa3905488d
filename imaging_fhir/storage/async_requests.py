"""Requests that are answered later: what was asked, how far it has come, and its answer."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import async_request, async_step

IS_WAITING = async_request.c.due.is_not(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    id: str
    caller: bytes
    asked: bytes
    body: int | None  # key of its blob


def add(transaction: Transaction, new: New) -> None:
    now = transaction.now
    values = {**asdict(new), "attempts": 0, "due": now, "created": now}
    transaction.execute(insert(async_request), values)


def waiting(connection: Connection) -> int:
    """How many have no answer yet."""
    counted = select(func.count()).select_from(async_request).where(IS_WAITING)
    return int(connection.execute(counted).scalar_one())


def find(connection: Connection, request_id: str, *, since: int) -> AnyRow | None:
    """The request of that id, unless it came before."""
    return connection.execute(
        select(async_request).where(
            async_request.c.id == request_id, async_request.c.created >= since
        )
    ).first()


def next_due(connection: Connection, now: int) -> int | None:
    """Key of the request that is due longest."""
    found: int | None = connection.execute(
        select(async_request.c.pk)
        .where(async_request.c.due <= now)
        .order_by(async_request.c.due)
        .limit(1)
    ).scalar()
    return found


def begin(transaction: Transaction, request: int, *, pause: int) -> AnyRow | None:
    """What is to be done, counted as an attempt; None where it is done or given up."""
    return transaction.execute(  # type: ignore[no-any-return]
        update(async_request)
        .where(async_request.c.pk == request, IS_WAITING)
        .values(attempts=async_request.c.attempts + 1, due=transaction.now + pause)
        .returning(async_request)
    ).first()


def postpone(transaction: Transaction, request: int, *, pause: int) -> None:
    transaction.execute(
        update(async_request)
        .where(async_request.c.pk == request, IS_WAITING)
        .values(due=transaction.now + pause)
    )


def complete(transaction: Transaction, request: int, answer: bytes) -> None:
    """What was asked is no longer needed."""
    transaction.execute(
        update(async_request)
        .where(async_request.c.pk == request, IS_WAITING)
        .values(answer=answer, asked=None, body=None, due=None)
    )
    transaction.execute(delete(async_step).where(async_step.c.request == request))


def remove(transaction: Transaction, request: int) -> None:
    transaction.execute(delete(async_request).where(async_request.c.pk == request))


def remove_older(transaction: Transaction, before: int) -> None:
    transaction.execute(delete(async_request).where(async_request.c.created < before))


def steps(connection: Connection, request: int) -> dict[int, bytes]:
    """What was committed of it, and its answer, by number."""
    rows = connection.execute(
        select(async_step.c.number, async_step.c.answer).where(async_step.c.request == request)
    )
    return {row.number: row.answer for row in rows}


def steps_done(connection: Connection, request: int) -> int:
    counted = select(func.count()).select_from(async_step).where(async_step.c.request == request)
    return int(connection.execute(counted).scalar_one())


def is_open(connection: Connection, request: int, number: int) -> bool:
    """Is the request still to be done, and this step of it too?"""
    done = select(async_step.c.number).where(
        async_step.c.request == request, async_step.c.number == number
    )
    found = select(async_request.c.pk).where(
        async_request.c.pk == request, IS_WAITING, ~done.exists()
    )
    return connection.execute(found).first() is not None


def add_step(transaction: Transaction, request: int, number: int, answer: bytes) -> None:
    transaction.execute(
        insert(async_step), {"request": request, "number": number, "answer": answer}
    )
