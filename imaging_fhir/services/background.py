"""What is done after the answer: pictures, and a study kept as a version when it goes quiet."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from imaging_fhir.errors import ImagingError
from imaging_fhir.jobs.worker import Worker
from imaging_fhir.services import ehr_sync, ehr_word, study_parts
from imaging_fhir.services.asynchronous import Asynchronous
from imaging_fhir.services.cleanup import CleanUp
from imaging_fhir.services.delivery import Delivery
from imaging_fhir.services.ehr_composition import WithEhr
from imaging_fhir.services.held_parts import HeldParts
from imaging_fhir.services.merging import MATCH_AGAIN, Merging
from imaging_fhir.services.order_backlog import REGISTER, OrderBacklog
from imaging_fhir.services.pictures import PICTURE_AGAIN, Pictures
from imaging_fhir.services.policy_change import DOCUMENTS, STUDIES, PolicyChange
from imaging_fhir.services.rejecting import Rejecting
from imaging_fhir.services.relinking import REJECTION_NOTE
from imaging_fhir.services.studies import Studies
from imaging_fhir.storage import dicom_index, jobs, resources
from imaging_fhir.storage.database import Database, Transaction

LAST_ATTEMPT = 8
PERIODIC = {"clean-up": 6 * 3_600_000}  # milliseconds
NEVER_GIVEN_UP = {
    *PERIODIC,
    *(ehr_word.JOB, ehr_sync.JOB, study_parts.JOB, MATCH_AGAIN, REJECTION_NOTE),
    *(STUDIES, DOCUMENTS, REGISTER),
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    database: Database
    pictures: Pictures
    studies: Studies
    cleanup: CleanUp
    asynchronous: Asynchronous
    delivery: Delivery
    held_parts: HeldParts
    merging: Merging
    rejecting: Rejecting
    policy_change: PolicyChange
    order_backlog: OrderBacklog
    ehr: WithEhr | None
    quiet_milliseconds: int

    def worker(self) -> Worker:
        """A thread, not yet started, that does what is due."""
        self.database.write(enqueue_periodic)
        self.database.write(self.policy_change.notice)
        self.database.write(self.order_backlog.notice)
        for kind in () if self.ehr is None else self.ehr.jobs():
            self.database.write(partial(jobs.enqueue, kind=kind, subject="0"))
        return Worker(self.work)

    def work(self) -> bool:
        """Do one thing that is due; False when there is none."""
        with self.database.read() as connection:
            due = jobs.next_due(connection, self.database.clock())
        if due is None:
            return False
        pk, kind, subject, attempts = due
        if self.database.write(lambda transaction: jobs.take(transaction, pk, attempts)):
            self.do(pk, kind, subject, attempts + 1)
        return True

    def do(self, pk: int, kind: str, subject: str, attempts: int) -> None:
        try:
            again = self.kinds()[kind](int(subject))
        except ImagingError as error:
            logger.warning("%s failed (attempt %d): %s", kind, attempts, error)
            if attempts <= LAST_ATTEMPT or kind in NEVER_GIVEN_UP:
                return  # taking it has made it due again after a pause
            again = None
        self.database.write(partial(settle, pk=pk, attempts=attempts, again=again))

    def kinds(self) -> dict[str, Callable[[int], int | None]]:
        """Each says in how many milliseconds it wants to be done again, None for never."""
        return {
            "series-picture": self.pictures.of_series,
            "document-picture": self.pictures.of_document,
            PICTURE_AGAIN: self.pictures.again,
            "quiet-study": self.quiet_study,
            study_parts.JOB: self.held_parts.settle,
            MATCH_AGAIN: self.match_again,
            REJECTION_NOTE: self.rejecting.late,
            **self.policy_change.jobs(),
            REGISTER: self.order_backlog.register,
            "clean-up": self.clean_up,
            ehr_word.JOB: partial(self.with_ehr, ehr_word.JOB),
            ehr_sync.JOB: partial(self.with_ehr, ehr_sync.JOB),
        }

    def match_again(self, patient_rid: int) -> None:
        """After a merge or its end: whose what is filed, held and registered is."""
        self.merging.match_again(patient_rid)
        self.database.write(partial(self.merging.relinking.follow_patient, rid=patient_rid))

    def with_ehr(self, kind: str, _subject: int) -> int | None:
        """Nothing any more where it is configured no longer."""
        work = None if self.ehr is None else self.ehr.jobs().get(kind)
        return None if work is None else work()

    def clean_up(self, _subject: int) -> int:
        self.asynchronous.forget_outdated()
        self.delivery.forget_outdated()
        self.cleanup.run()
        return PERIODIC["clean-up"]

    def quiet_study(self, study: int) -> int | None:
        return self.database.write(partial(self.keep_version, study=study))

    def keep_version(self, transaction: Transaction, study: int) -> int | None:
        """Keep the assembled body as the version it is; nothing about the version changes."""
        row = dicom_index.find_study(transaction.connection, study)
        if row is None or row.state != "filed" or row.deleted:
            return None
        if transaction.now - row.updated < self.quiet_milliseconds:
            return self.quiet_milliseconds
        stored = resources.find_by_rid(transaction.connection, row.rid)
        if stored.body is None:
            body = self.studies.body(transaction.connection, stored)
            resources.keep_assembled(transaction, row.rid, body)
        return None


def settle(transaction: Transaction, pk: int, attempts: int, again: int | None) -> None:
    if again is None:
        jobs.finish(transaction, pk, attempts)
    else:
        jobs.postpone(transaction, pk, attempts, again)


def enqueue_periodic(transaction: Transaction) -> None:
    for kind, period in PERIODIC.items():
        jobs.enqueue(transaction, kind, "0", after=period)
