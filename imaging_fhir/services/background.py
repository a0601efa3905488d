"""What is done after the answer: pictures, and a study kept as a version when it goes quiet."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from imaging_fhir.errors import ImagingError
from imaging_fhir.services.pictures import Pictures
from imaging_fhir.services.studies import Studies
from imaging_fhir.storage import dicom_index, jobs, resources
from imaging_fhir.storage.database import Database, Transaction

LAST_ATTEMPT = 8
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    database: Database
    pictures: Pictures
    studies: Studies
    quiet_milliseconds: int

    def work(self) -> bool:
        """Do one thing that is due; False when there is none."""
        with self.database.read() as connection:
            due = jobs.next_due(connection, self.database.clock())
        if due is None:
            return False
        pk, kind, subject, attempts = due
        if self.database.write(lambda transaction: jobs.take(transaction, pk, attempts)):
            self.do(pk, kind, subject, attempts)
        return True

    def do(self, pk: int, kind: str, subject: str, attempts: int) -> None:
        try:
            finished = self.kinds()[kind](int(subject))
        except ImagingError as error:
            logger.warning("%s failed (attempt %d): %s", kind, attempts + 1, error)
            if attempts < LAST_ATTEMPT:
                return  # taking it has made it due again after a pause
            finished = True
        if finished:
            self.database.write(lambda transaction: jobs.finish(transaction, pk))
        else:
            pause = self.quiet_milliseconds
            self.database.write(lambda transaction: jobs.postpone(transaction, pk, pause))

    def kinds(self) -> dict[str, Callable[[int], bool]]:
        """Each says whether the work is done, or is to be looked at again later."""
        return {
            "series-picture": self.series_picture,
            "document-picture": self.document_picture,
            "quiet-study": self.quiet_study,
        }

    def series_picture(self, series: int) -> bool:
        self.pictures.of_series(series)
        return True

    def document_picture(self, document: int) -> bool:
        self.pictures.of_document(document)
        return True

    def quiet_study(self, study: int) -> bool:
        return self.database.write(lambda transaction: self.keep_version(transaction, study))

    def keep_version(self, transaction: Transaction, study: int) -> bool:
        """Keep the assembled body as the version it is; nothing about the version changes."""
        row = dicom_index.find_study(transaction.connection, study)
        if row is None or row.state != "filed" or row.deleted:
            return True
        if transaction.now - row.updated < self.quiet_milliseconds:
            return False
        stored = resources.find_by_rid(transaction.connection, row.rid)
        body = self.studies.body(transaction.connection, stored)
        resources.keep_assembled(transaction, row.rid, body)
        return True
