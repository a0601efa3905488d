"""The seals of the audit trail: whatever is done to a sealed row is found, and where."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import delete, insert, select, update

from imaging_fhir.model.audit import Agent, Event
from imaging_fhir.services.audit import DAY, Audit
from imaging_fhir.storage import audit, audit_chain, tombstones
from imaging_fhir.storage.audit_chain import Verified
from imaging_fhir.storage.audit_search import between
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import audit_batch, audit_event, audit_name

AGENT = Agent(name="jane", subject="jane").text
EVENTS = 7


class Clock:
    """Goes on only when told, and back too."""

    def __init__(self) -> None:
        self.now = 1_773_483_300_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(database_url: str, clock: Clock) -> Iterator[Database]:
    database = Database(database_url, clock=clock)
    yield database
    database.close()


def trail(database: Database, holder: str = "one", *, retention_days: int = 0) -> Audit:
    """Of one process, or of another."""
    return Audit(database=database, spool=None, holder=holder, retention_days=retention_days)


def event(number: int) -> Event:
    return Event(
        id=f"e{number}",
        recorded=number,
        kind="read",
        agent=AGENT,
        patient=f"p{number % 3}",
        entity=f"ImagingStudy/{number}",
        mentions=(f"Patient/q{number}",),
        query=f"/fhir/Patient?_id=p{number % 3}",
    )


def fill(database: Database, first: int = 1, number: int = EVENTS) -> None:
    events = [event(one) for one in range(first, first + number)]
    database.write(lambda transaction: audit.append(transaction, events))


def verified(database: Database, head: str = "") -> Verified:
    with database.read() as connection:
        return audit_chain.verify(connection, head=head)


def keys(database: Database) -> list[int]:
    with database.read() as connection:
        return list(
            connection.execute(select(audit_event.c.pk).order_by(audit_event.c.pk)).scalars()
        )


@pytest.fixture
def sealed(database: Database) -> Database:
    """Three batches."""
    for start in (1, 101, 201):
        fill(database, start)
        trail(database).seal()
    found = verified(database)
    assert (found.batches, found.rows, found.unsealed, found.faults) == (3, 3 * EVENTS, 0, ())
    return database


def change(**values: object) -> Callable[[Transaction, list[int]], object]:
    def changed(transaction: Transaction, pks: list[int]) -> object:
        return transaction.execute(
            update(audit_event).where(audit_event.c.pk == pks[9]).values(**values)
        )

    return changed


def swap(transaction: Transaction, pks: list[int]) -> None:
    for old, new in ((pks[8], -1), (pks[9], pks[8]), (-1, pks[9])):
        transaction.execute(update(audit_event).where(audit_event.c.pk == old).values(pk=new))


def remove(transaction: Transaction, pks: list[int]) -> None:
    transaction.execute(delete(audit_event).where(audit_event.c.pk == pks[9]))


def rename(transaction: Transaction, pks: list[int]) -> None:
    """Who is meant becomes another."""
    patient = select(audit_event.c.entity).where(audit_event.c.pk == pks[9]).scalar_subquery()
    transaction.execute(
        update(audit_name).where(audit_name.c.pk == patient).values(name="ImagingStudy/x")
    )


def forget(transaction: Transaction, pks: list[int]) -> None:
    patient = select(audit_event.c.entity).where(audit_event.c.pk == pks[9]).scalar_subquery()
    transaction.execute(delete(audit_name).where(audit_name.c.pk == patient))


@pytest.mark.parametrize(
    "tamper",
    [
        change(recorded=5),
        change(kind="view"),
        change(outcome="8"),
        change(status=500),
        change(address="10.9.9.9"),
        change(request="other"),
        change(purposes="TREAT"),
        change(patient=None),
        change(agent=77),
        change(mentions=""),
        change(query="/fhir/Patient"),
        change(commitment=bytes(32)),
        remove,
        rename,
        forget,
    ],
)
def test_the_row_that_was_tampered_with_is_told(
    sealed: Database, tamper: Callable[[Transaction, list[int]], object]
) -> None:
    pks = keys(sealed)
    sealed.write(lambda transaction: tamper(transaction, pks))
    [fault] = verified(sealed).faults
    assert fault.where == f"row {pks[9]}"


def test_rows_in_another_order_are_told(sealed: Database) -> None:
    pks = keys(sealed)
    sealed.write(lambda transaction: swap(transaction, pks))
    assert {one.where for one in verified(sealed).faults} == {f"row {pks[8]}", f"row {pks[9]}"}


def test_a_row_put_in_afterwards_is_told(sealed: Database) -> None:
    pks = keys(sealed)
    sealed.write(lambda transaction: remove(transaction, pks))
    with sealed.read() as connection:
        row = connection.execute(select(audit_event).where(audit_event.c.pk == pks[8])).one()
    extra = {**row._mapping, "pk": pks[9], "id": "extra"}
    sealed.write(lambda transaction: transaction.execute(insert(audit_event).values(**extra)))
    assert [one.where for one in verified(sealed).faults] == [f"row {pks[9]}"]


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"leaves": b"x" * 40}, {"batch 2"}),
        ({"hash": bytes(32)}, {"batch 2", "batch 3"}),
        ({"sealed": 1}, {"batch 2"}),
        ({"leaves": None}, {"batch 2"}),
    ],
)
def test_a_seal_that_was_tampered_with_is_told(
    sealed: Database, values: dict[str, object], where: set[str]
) -> None:
    sealed.write(
        lambda transaction: transaction.execute(
            update(audit_batch).where(audit_batch.c.number == 2).values(**values)
        )
    )
    assert where <= {one.where for one in verified(sealed).faults}


def test_a_batch_that_is_missing_is_told_and_the_last_one_by_its_head(sealed: Database) -> None:
    head = verified(sealed).head
    assert head.startswith("3:")
    assert verified(sealed, head).faults == ()

    def without(number: int) -> None:
        sealed.write(
            lambda transaction: transaction.execute(
                delete(audit_batch).where(audit_batch.c.number == number)
            )
        )

    without(3)
    found = verified(sealed)
    assert (found.faults, found.unsealed) == ((), EVENTS)
    assert [one.where for one in verified(sealed, head).faults] == ["batch 3"]
    without(1)
    assert "batch 2" in {one.where for one in verified(sealed).faults}


def test_of_two_processes_one_seals_until_its_lease_is_over(
    database: Database, clock: Clock
) -> None:
    first, second = trail(database), trail(database, "other")
    fill(database)
    assert first.seal()
    fill(database, 11)
    assert not second.seal()
    assert verified(database).unsealed == EVENTS
    clock.now += 61_000
    assert second.seal()
    fill(database, 21)
    assert not first.seal()
    assert second.seal()
    assert verified(database).faults == ()


def test_a_clock_that_was_set_back_breaks_nothing(sealed: Database, clock: Clock) -> None:
    clock.now -= 3 * DAY
    fill(sealed, 301)
    clock.now += 4 * DAY
    trail(sealed).seal()
    found = verified(sealed)
    assert (found.unsealed, found.faults) == (0, ())


def test_whose_time_is_over_goes_and_the_rest_still_verifies(
    sealed: Database, clock: Clock
) -> None:
    clock.now += 31 * DAY
    fill(sealed, 301)
    trail(sealed).seal()
    assert trail(sealed, retention_days=30).remove_outdated() == 3 * EVENTS
    found = verified(sealed)
    assert (found.batches, found.removed, found.faults) == (4, 3, ())
    with sealed.read() as connection:
        left = [one.kind for one in between(connection, since=None, until=None)]
        names = set(connection.execute(select(audit_name.c.name)).scalars())
    assert left == ["read"] * EVENTS + ["retention"]
    assert "Patient/q1" not in names
    assert "Patient/q301" in names
    assert trail(sealed, retention_days=30).remove_outdated() == 0
    clock.now += 61_000
    assert trail(sealed).seal()
    assert verified(sealed).faults == ()


def test_rows_that_were_removed_before_their_time_are_told(sealed: Database) -> None:
    sealed.write(lambda transaction: audit_chain.remove(transaction, 2))
    assert [one.where for one in verified(sealed).faults] == ["batch 1", "batch 2"]


def test_erasing_destroys_who_is_meant_and_the_chain_holds(sealed: Database) -> None:
    def erase(transaction: Transaction) -> int:
        tombstones.put(transaction, [("resource", "Patient/p1")])
        return audit.erase(transaction, {"Patient/p1"}, lambda query: "_id=p1" in query)

    erased = sealed.write(erase)
    found = verified(sealed)
    assert (found.erased, found.faults) == (erased, ())
    assert erased > 0
    with sealed.read() as connection:
        events = list(between(connection, since=None, until=None))
    assert "p1" not in {one.patient for one in events}
    assert not any("p1" in (one.query or "") for one in events)
    fill(sealed, 301)
    trail(sealed).seal()
    with sealed.read() as connection:
        late = [one for one in between(connection, since=301, until=None) if one.patient == "p1"]
    assert late == []
    assert verified(sealed).faults == ()


def test_an_erased_number_is_never_given_to_another(database: Database) -> None:
    fill(database, number=1)
    database.write(lambda one: audit.erase(one, event(1).names, lambda _: False))
    fill(database, 2, 1)
    with database.read() as connection:
        first, second = between(connection, since=None, until=None)
    assert (first.patient, first.entity, first.mentions) == (None, None, ())
    assert (second.patient, second.entity) == ("p2", "ImagingStudy/2")
