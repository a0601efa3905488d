"""Work that must have one owner at a time takes a lease: a row with an expiry.

An owner that dies lets its lease run out; one that lives renews it. Time is the commit clock, which
all processes share.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import lease


def take(transaction: Transaction, name: str, holder: str, *, seconds: float) -> bool:
    """Take a lease that nobody holds; False while someone does."""
    expires = transaction.now + int(seconds * 1000)
    transaction.execute(
        delete(lease).where(lease.c.name == name, lease.c.expires <= transaction.now)
    )
    if is_held(transaction.connection, name, now=transaction.now):
        return False
    transaction.execute(insert(lease).values(name=name, holder=holder, expires=expires))
    return True


def renew(transaction: Transaction, name: str, holder: str, *, seconds: float) -> bool:
    """Hold a lease for longer; False where it ran out, even if nobody took it meanwhile."""
    mine = (lease.c.name == name, lease.c.holder == holder, lease.c.expires > transaction.now)
    expires = transaction.now + int(seconds * 1000)
    renewed = transaction.execute(update(lease).where(*mine).values(expires=expires))
    return bool(renewed.rowcount)


def release(transaction: Transaction, name: str, holder: str) -> None:
    transaction.execute(delete(lease).where(lease.c.name == name, lease.c.holder == holder))


def release_all(transaction: Transaction) -> None:
    """In a restored database: their holders are at work on another one."""
    transaction.execute(delete(lease))


def is_held(connection: Connection, name: str, *, now: int) -> bool:
    found = connection.execute(
        select(lease.c.holder).where(lease.c.name == name, lease.c.expires > now)
    ).first()
    return found is not None


@contextmanager
def held(database: Database, name: str, *, seconds: float = 300) -> Iterator[None]:
    """Hold the lease during the block, renewed by a thread.

    Raise StorageUnavailable where another holds it, and at the end where it was lost meanwhile.
    """
    holder = uuid4().hex
    if not database.write(lambda transaction: take(transaction, name, holder, seconds=seconds)):
        raise StorageUnavailable(f"Another process is at the same work ({name}).")
    renewal = Renewal(
        lambda: database.write(
            lambda transaction: renew(transaction, name, holder, seconds=seconds)
        ),
        every_seconds=seconds / 3,
    )
    renewal.start()
    try:
        yield
        renewal.require_unbroken()
    finally:
        renewal.stop()
        database.write(lambda transaction: release(transaction, name, holder))


class Renewal(threading.Thread):
    def __init__(self, renew_it: Callable[[], bool], *, every_seconds: float) -> None:
        super().__init__(name="lease-renewal", daemon=True)
        self.renew_it = renew_it
        self.every_seconds = every_seconds
        self.ended = threading.Event()
        self.is_lost = False

    def run(self) -> None:
        while not self.is_lost and not self.ended.wait(self.every_seconds):
            with suppress(StorageUnavailable):  # there is time for another try
                self.is_lost = not self.renew_it()

    def require_unbroken(self) -> None:
        if self.is_lost or not self.renew_it():
            raise StorageUnavailable("The lease ran out before the work was done; start again.")

    def stop(self) -> None:
        self.ended.set()
        self.join()
