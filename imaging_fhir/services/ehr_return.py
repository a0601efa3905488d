"""What waits for the EHR is asked about again, in the order in which it came (docs/ehr.md)."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import EhrWord, Given, Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.person import Person
from imaging_fhir.services import study_parts
from imaging_fhir.services.document_filing import evidence_of
from imaging_fhir.services.ehr_look_up import LookUp
from imaging_fhir.services.ehr_word import confirmed
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.held import hold_on
from imaging_fhir.services.provisional import make_provisional
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.study_evidence import (
    ANOTHER_PERSONS,
    decision_on,
    evidence_of_study,
    held_link,
)
from imaging_fhir.services.study_filing import ANOTHER_PATIENT
from imaging_fhir.storage import dicom_index, documents, ehr, resources
from imaging_fhir.storage.database import AnyRow, Database, Transaction

AT_ONCE = 50  # rows
LONGEST_RUN = 15.0  # seconds; the job is another's after 30
SHORTEST, LONGEST = 1_000, 30_000  # milliseconds between two looks while the EHR is away
HOPE = 60_000, 6 * 3_600_000  # the same for what it may come to know
LAST_HOPE = 30 * 86_400_000  # milliseconds after which nothing more is hoped for
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EhrReturn:
    database: Database
    look_up: LookUp
    relinking: Relinking

    def run(self) -> int:
        """Look at all that is due; in how many milliseconds something is due again."""
        end = time.monotonic() + LONGEST_RUN
        while rows := self.due():
            for row in rows:
                if not self.look_at(row):
                    return pause(row.attempts, SHORTEST, LONGEST)
                if time.monotonic() > end:
                    return 0
        return self.until_next()

    def due(self) -> list[AnyRow]:
        with self.database.read() as connection:
            return list(ehr.due(connection, self.database.clock(), AT_ONCE))

    def until_next(self) -> int:
        with self.database.read() as connection:
            due = ehr.next_due(connection)
        left = LONGEST if due is None else int(due) - self.database.clock()
        return min(max(left, SHORTEST), LONGEST)

    def look_at(self, row: AnyRow) -> bool:
        """False where the EHR as a whole is away: the rest would be asked in vain."""
        evidence = self.evidence(row)
        word = None if evidence is None else self.look_up.word(evidence)
        if word is None:  # erased, joined to another part, or nothing is to be asked any more
            self.database.write(lambda transaction: ehr.drop(transaction, row.pk))
            return True
        if word.answered:
            self.database.write(lambda transaction: self.settle(transaction, row, word))
            return True
        self.database.write(
            lambda transaction: ehr.postpone(
                transaction, row.pk, row.attempts + 1, pause(row.attempts, SHORTEST, LONGEST)
            )
        )
        return not self.look_up.ehr.transport.breaker.is_open

    def evidence(self, row: AnyRow) -> Evidence | None:
        with self.database.read() as connection:
            if row.study is not None:
                study = dicom_index.find_study(connection, row.study)
                if study is None:
                    return None
                merged = decode_as(Merged, study.attributes)
                return evidence_of_study(study, merged, self.relinking.studies.linking)
            document = documents.find(connection, row.document)
        if document is None or document.deleted:
            return None
        source = self.relinking.documents.linking.site.source_or_default(document.source)
        return evidence_of(
            decode_as(Document, document.facts),
            decode_as(Given, document.given),
            source,
            document.zone,
            decision_on(document),
        )

    def settle(self, transaction: Transaction, row: AnyRow, word: EhrWord) -> None:
        """Decide again by what the EHR says now."""
        if row.study is not None:
            self.settle_study(transaction, row.study, word)
        else:
            self.settle_document(transaction, row.document, word)
        # where the new link says that nothing is to be looked for, the row is gone by now
        if transaction.now - row.since > LAST_HOPE:
            ehr.drop(transaction, row.pk)
        else:
            after = pause(row.attempts, *HOPE)
            ehr.postpone(transaction, row.pk, row.attempts + 1, after)

    def settle_study(self, transaction: Transaction, pk: int, word: EhrWord) -> None:
        row = dicom_index.find_study(transaction.connection, pk)
        if row is None:
            return
        linking = self.relinking.studies.linking
        merged, old = decode_as(Merged, row.attributes), decode_as(Link, row.link)
        evidence = replace(evidence_of_study(row, merged, linking), ehr=word)
        link = linking.link_kept(transaction.connection, evidence)
        if row.state == "filed":
            move = partial(self.relinking.move_study, transaction, row, merged, link)
            self.confirm_study(transaction, row, word, move)
            return
        if link.state == "filed" and link.patient is None and old.ehr == "waiting":
            person = decode_as(Person, row.person)
            link = make_provisional(transaction, linking, link, person, evidence.source)
        self.relinking.release_study(transaction, row, merged, link)
        row = dicom_index.find_study(transaction.connection, pk)
        if row is not None and row.state == "held" and decode_as(Link, row.link).ehr == "waiting":
            self.hold_study(transaction, row, link)

    def hold_study(self, transaction: Transaction, row: AnyRow, link: Link) -> None:
        """The EHR has spoken, and it is for people to decide now.

        A part whose images are compared first with those of the study is filed after that.
        """
        fate, _ = study_parts.fate(transaction.connection, row, link)
        if fate in ("stays", "disputes"):
            held = link if link.state == "held" else held_link(link, *OTHERS_STUDY)
            hold_on(transaction, row.rid, held)
            self.relinking.studies.store_link(transaction, row, held)

    def confirm_study(
        self, transaction: Transaction, row: AnyRow, word: EhrWord, move: Callable[[], None]
    ) -> None:
        """Filed already: now by the EHR's word, and without the tag, in its next version."""
        before = resources.find_by_rid(transaction.connection, row.rid).version
        move()
        if decode_as(Link, row.link).ehr not in ("unconfirmed", "waiting"):
            return
        study = dicom_index.study_by_pk(transaction.connection, row.pk)
        link = decode_as(Link, study.link)
        if link.ehr != "confirmed":
            self.relinking.studies.store_link(transaction, study, confirmed(link, word))
        if resources.find_by_rid(transaction.connection, study.rid).version == before:
            self.relinking.studies.bump(transaction, study)
        self.relinking.studies.index(transaction, study)

    def settle_document(self, transaction: Transaction, pk: int, word: EhrWord) -> None:
        row = documents.find(transaction.connection, pk)
        if row is None or row.deleted:
            return
        arrival, link = self.relinking.document_link(transaction.connection, pk, word)
        self.relinking.place_document(transaction, row, arrival, link)
        row = documents.by_pk(transaction.connection, pk)
        old = decode_as(Link, row.link)
        if row.state == "filed" and old.ehr == "unconfirmed":
            self.relinking.documents.link_again(transaction, row, arrival, confirmed(old, word))
        elif row.state == "held" and old.ehr == "waiting":
            hold_on(transaction, row.rid, link)
            documents.change(transaction, pk, link=encode(link))
            dicom_index.await_identifiers(transaction, link.awaited, document_pk=pk)
            ehr.follow(transaction, None, after=0, document=pk)


OTHERS_STUDY = (ANOTHER_PERSONS, ANOTHER_PATIENT)


def pause(attempts: int, shortest: int, longest: int) -> int:
    """Twice as long each time, and by chance up to a quarter longer."""
    milliseconds = min(shortest << min(attempts, 20), longest)
    return milliseconds + random.randrange(milliseconds // 4)  # noqa: S311 - no secret
