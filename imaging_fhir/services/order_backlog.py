"""Orders that were here before they were to be registered: looked at after each start."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from imaging_fhir.fhir.registered_study import study_status
from imaging_fhir.model.codec import decode
from imaging_fhir.services.registering import Registering
from imaging_fhir.storage import jobs, registered_studies
from imaging_fhir.storage.database import Database, Transaction

REGISTER = "register-orders"  # kind of job; its subject is the row after which it goes on
AT_ONCE = 500  # orders that are read for one job
WRITTEN = 20  # of them in one transaction
PAUSE = 200  # milliseconds in which other work has its turn


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBacklog:
    database: Database
    registering: Registering

    def notice(self, transaction: Transaction) -> None:
        if self.registering.is_on:
            jobs.enqueue(transaction, REGISTER, "0")

    def register(self, after: int) -> None:
        """Those after that row that have no ImagingStudy, and a job for the next."""
        if not self.registering.is_on:
            return
        with self.database.read() as connection:
            rows = registered_studies.orders_without_study(connection, after, AT_ONCE)
        orders = [row.id for row in rows if study_status(decode(row.body)) == "registered"]
        for first in range(0, len(orders), WRITTEN):
            some: Sequence[str] = orders[first : first + WRITTEN]
            self.database.write(partial(self.registering.orders_changed, orders=some))
        if len(rows) == AT_ONCE:
            subject = str(rows[-1].rid)
            following = partial(jobs.enqueue, kind=REGISTER, subject=subject, after=PAUSE)
            self.database.write(following)
