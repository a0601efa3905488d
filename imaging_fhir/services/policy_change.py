"""The site file says something else than before: images are linked again, a few at a time.

What a site sets is no evidence of whose an image is: one that is filed to a Patient stays there
(`Relinking`). What was held for a rule alone is filed as if it came in today.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from imaging_fhir.linking_rules import BY_POLICY
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.person import Person
from imaging_fhir.services import patient_rules, study_parts
from imaging_fhir.services.held import hold_on
from imaging_fhir.services.provisional import make_provisional
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.study_evidence import evidence_of_study
from imaging_fhir.storage import dicom_index, documents, jobs, policy, resources
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction

STUDIES, DOCUMENTS = "match-studies", "match-documents"  # kinds of jobs
AT_ONCE = 200  # rows that are read for one job
WRITTEN = 20  # of them in one transaction
PAUSE = 200  # milliseconds in which other work has its turn
OF_ANOTHER_SITE = 60_000  # milliseconds until a service with that site file may have it
REJUDGED = frozenset(patient_rules.JUDGES) | BY_POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    database: Database
    relinking: Relinking
    fingerprint: str

    def notice(self, transaction: Transaction) -> None:
        """Called at every start: have all matched again where the last one had another file."""
        known = policy.fingerprint(transaction.connection)
        if known == self.fingerprint:
            return
        policy.set_fingerprint(transaction, self.fingerprint)
        if known is not None:
            for kind in (STUDIES, DOCUMENTS):
                jobs.enqueue(transaction, kind, "0")

    def jobs(self) -> Mapping[str, Callable[[int], int | None]]:
        return {
            STUDIES: partial(self.match_again, STUDIES, policy.studies_after, self.study),
            DOCUMENTS: partial(self.match_again, DOCUMENTS, policy.documents_after, self.document),
        }

    def match_again(
        self,
        kind: str,
        rows_after: Callable[[Connection, int, int], Sequence[AnyRow]],
        match: Callable[[Transaction, int], None],
        after: int,
    ) -> int | None:
        """Those after that key, and a job for the next; what comes in meanwhile is by today's."""
        with self.database.read() as connection:
            if policy.fingerprint(connection) != self.fingerprint:
                return OF_ANOTHER_SITE
            rows = rows_after(connection, after, AT_ONCE)
            keys = [row.pk for row in rows if self.differs(connection, kind, row)]

        def unit(transaction: Transaction, some: Sequence[int]) -> None:
            for pk in some:
                match(transaction, pk)

        for first in range(0, len(keys), WRITTEN):
            self.database.write(partial(unit, some=keys[first : first + WRITTEN]))
        if len(rows) == AT_ONCE:
            following = partial(jobs.enqueue, kind=kind, subject=str(rows[-1].pk), after=PAUSE)
            self.database.write(following)
        return None

    def differs(self, connection: Connection, kind: str, row: AnyRow) -> bool:
        """Do the rules say something else today than when it was linked?"""
        if kind == STUDIES:
            return bool(encode(self.link_of_study(connection, row)) != row.link)
        return bool(encode(self.relinking.document_link(connection, row.pk)[1]) != row.link)

    def link_of_study(self, connection: Connection, row: AnyRow) -> Link:
        linking = self.relinking.studies.linking
        merged = decode_as(Merged, row.attributes)
        return linking.link_kept(connection, evidence_of_study(row, merged, linking))

    def study(self, transaction: Transaction, pk: int) -> None:
        row = dicom_index.find_study(transaction.connection, pk)
        if row is None or row.decision is not None:
            return
        old = decode_as(Link, row.link)
        if row.state == "filed" or old.patient_rule not in REJUDGED:
            self.relinking.link_study(transaction, pk)
            return
        link = self.link_of_study(transaction.connection, row)
        if old.patient_rule in BY_POLICY and self.may_be_new(transaction, row, link):
            linking = self.relinking.studies.linking
            source = linking.site.source_or_default(row.source)
            person = decode_as(Person, row.person)
            link = make_provisional(transaction, linking, link, person, source)
        self.relinking.release_study(transaction, row, decode_as(Merged, row.attributes), link)
        row = dicom_index.find_study(transaction.connection, pk)
        if row is not None and row.state == link.state == "held":
            self.relinking.studies.store_link(transaction, row, link)
            tell_again(transaction, row.rid, old, link)

    def may_be_new(self, transaction: Transaction, row: AnyRow, link: Link) -> bool:
        """May a provisional Patient be made for it? Not beside images of its study that are filed,
        nor where its images have UIDs that are taken.
        """
        connection = transaction.connection
        return (
            link.state == "filed"
            and link.patient is None
            and dicom_index.filed_study(connection, row.study_instance_uid) is None
            and not study_parts.clashes(connection, row, "is-filed", None, limit=1)
        )

    def document(self, transaction: Transaction, pk: int) -> None:
        row = documents.find(transaction.connection, pk)
        if row is None or row.deleted or row.decision is not None:
            return
        arrival, link = self.relinking.document_link(transaction.connection, pk)
        self.relinking.place_document(transaction, row, arrival, link)
        old, row = decode_as(Link, row.link), documents.by_pk(transaction.connection, pk)
        if row.state == link.state == "held" and old.patient_rule in REJUDGED:
            documents.change(transaction, pk, link=encode(link))
            dicom_index.await_identifiers(transaction, link.awaited, document_pk=pk)
            tell_again(transaction, row.rid, old, link)


def tell_again(transaction: Transaction, task: int, old: Link, link: Link) -> None:
    """The Task says the rule that holds it now."""
    said, says = (old.patient_rule, old.patient_reason), (link.patient_rule, link.patient_reason)
    if said != says and not resources.find_by_rid(transaction.connection, task).deleted:
        hold_on(transaction, task, link)
