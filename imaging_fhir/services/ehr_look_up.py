"""Look-ups at the EHR for one image, before the transaction that files it.

What the EHR answers becomes copies, on which the rules decide. The cache holds only when it
answered and which versions of the copies that was: whatever the cache says or loses, the decision
is made on the database.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass

from imaging_fhir.ehr.client import Ehr
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.errors import EhrUnavailable
from imaging_fhir.model.codec import Resource, decode_as, encode
from imaging_fhir.model.link import EhrWord
from imaging_fhir.services.ehr_copies import Copies
from imaging_fhir.services.ehr_questions import Question, companions_of, questions, visits_of
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.linking import Linking
from imaging_fhir.storage import ehr as known_of_ehr
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.people import encounters_of, resources_with
from imaging_fhir.storage.sealed_cache import SealedCache

THREADS = 16
MOST_COMPANY = 12  # who else is read for one answer
DEEPEST = 3
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the EHR answered at that time: versions of copies, (type, id, version)."""

    at: int
    copies: tuple[tuple[str, str, int], ...]


class LookUp:
    def __init__(
        self,
        ehr: Ehr,
        linking: Linking,
        copies: Copies,
        database: Database,
        cache: SealedCache,
        *,
        seconds: float,
        hit_seconds: float,
        miss_seconds: float,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.ehr = ehr
        self.linking = linking
        self.copies = copies
        self.database = database
        self.cache = cache
        self.seconds = seconds
        self.hit_seconds = hit_seconds
        self.miss_seconds = miss_seconds
        self.clock = clock
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ehr")

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.ehr.close()
        self.cache.cache.close()

    def word(self, evidence: Evidence) -> EhrWord | None:
        """Ask all that the evidence needs, in bounded time; None where it needs nothing."""
        first = questions(self.linking, evidence)
        if not first:
            return None
        return self.cached_word(first, evidence) or self.asked(first, evidence)

    def cached_word(self, first: Sequence[Question], evidence: Evidence) -> EhrWord | None:
        """What the EHR said lately, without asking it and with nothing written; else None."""
        answers = self.all_cached(first)
        visits = None if answers is None else self.all_cached(later_questions(answers, evidence))
        if answers is None or visits is None or not self.are_current([*answers, *visits]):
            return None
        return EhrWord(answered=True, at=oldest([*answers, *visits]))

    def all_cached(self, asked: Sequence[Question]) -> list[Answer] | None:
        """The answers, where each of them is in the cache."""
        values = self.cache.get([self.key(one) for one in asked])
        found = [decode_as(Answer, value) for value in values if value is not None]
        return found if len(found) == len(asked) else None

    def are_current(self, answers: Sequence[Answer]) -> bool:
        """Has nothing changed the copies since?"""
        references = {(type_, id_) for one in answers for type_, id_, _ in one.copies}
        if not references:
            return True
        with self.database.read() as connection:
            current = known_of_ehr.versions(connection, references)
        return all(is_current(one, current) for one in answers)

    def asked(self, first: Sequence[Question], evidence: Evidence) -> EhrWord:
        """In a thread: a name server that hangs is beyond what a socket's time-out can end."""
        at, deadline = self.clock(), Deadline(self.seconds)
        if self.ehr.transport.breaker.is_open:
            return EhrWord(answered=False, at=at)
        try:
            return self.pool.submit(self.ask, first, evidence, deadline).result(self.seconds)
        except TooLong:
            self.ehr.transport.breaker.note_failure()
            logger.warning("The EHR did not answer within %s seconds.", self.seconds)
        except EhrUnavailable as error:
            logger.info("A look-up failed: %s", error)
        return EhrWord(answered=False, at=at)

    def ask(self, first: Sequence[Question], evidence: Evidence, deadline: Deadline) -> EhrWord:
        answers = [self.answer(question, deadline) for question in first]
        for question in later_questions(answers, evidence):
            answers.append(self.answer(question, deadline))
        return EhrWord(answered=True, at=oldest(answers))

    def known(self, question: Question) -> Answer | None:
        cached = self.all_cached([question])
        return cached[0] if cached and self.are_current(cached) else None

    def key(self, question: Question) -> str:
        return self.cache.key(question.kind, question.resource_type, *question.parts)

    def answer(
        self, question: Question, deadline: Deadline, under_way: tuple[Question, ...] = ()
    ) -> Answer:
        """From the cache, else from the EHR: of many who ask at once, one asks it."""
        known = self.known(question)
        if known is not None:
            return known
        found: list[Answer] = []

        def find() -> tuple[bytes, float]:
            found.append(self.found(question, deadline, under_way))
            lifetime = self.hit_seconds if found[0].copies else self.miss_seconds
            return encode(found[0]), lifetime

        key = self.key(question)
        value = self.cache.found_once(key, find, seconds=deadline.left())
        answer = decode_as(Answer, value)
        if found or self.known(question) is not None:
            return answer
        found.append(
            self.found(question, deadline, under_way)
        )  # what is kept is of former versions
        self.cache.put(key, encode(found[0]), self.hit_seconds)
        return found[0]

    def found(
        self, question: Question, deadline: Deadline, under_way: tuple[Question, ...]
    ) -> Answer:
        at, under_way = self.clock(), (*under_way, question)
        resources, gone = self.resources(question, deadline)
        company: list[tuple[str, str, int]] = []
        for other in self.companions(resources) if len(under_way) <= DEEPEST else ():
            if other not in under_way:
                company += self.answer(other, deadline, under_way).copies

        def keep(transaction: Transaction) -> Answer:
            for resource_type, resource_id in gone:
                self.copies.lose(transaction, resource_type, resource_id)
            kept = self.copies.keep(transaction, resources, at)
            copies = [*((*one, version) for one, version in kept.items()), *company]
            return Answer(at=at, copies=tuple(dict.fromkeys(copies)))

        return self.database.write(keep)

    def companions(self, resources: Sequence[Resource]) -> list[Question]:
        there = {(one["resourceType"], one["id"]) for one in resources}
        base = self.ehr.base
        asked = dict.fromkeys(other for one in resources for other in companions_of(one, base))
        missing = [one for one in asked if (one.resource_type, one.parts[0]) not in there]
        return missing[: MOST_COMPANY * max(len(resources), 1)]

    def resources(
        self, question: Question, deadline: Deadline
    ) -> tuple[list[Resource], list[tuple[str, str]]]:
        """What the EHR has, and what it has no more; raise EhrUnavailable.

        A copy that fits the question and was not in the answer is read by its id: it was
        changed, merged or deleted.
        """
        type_ = question.resource_type
        if question.kind == "id":
            found = self.ehr.read(type_, question.parts[0], deadline)
            return ([found], []) if found else ([], [(type_, question.parts[0])])
        if question.kind == "visits":
            patient, first, end = question.parts
            answered = self.ehr.encounters(patient, first, end, deadline)
        else:
            system, value = question.parts
            answered = self.ehr.by_identifier(type_, system, value, deadline)
        ids = {one["id"] for one in answered}
        gone = []
        for id_ in self.fitting(question):
            if id_ not in ids:
                found = self.ehr.read(type_, id_, deadline)
                if found is None:
                    gone.append((type_, id_))
                else:
                    answered.append(found)
        return answered, gone

    def fitting(self, question: Question) -> list[str]:
        """Ids of the copies here that fit the question."""
        with self.database.read() as connection:
            if question.kind == "visits":
                patient, first, end = question.parts
                here = [
                    one
                    for one in encounters_of(connection, patient=patient)
                    if touches(one, first, end)
                ]
            else:
                system, value = question.parts
                here = resources_with(connection, question.resource_type, [(system, value)])
            return [
                one["id"]
                for one in here
                if known_of_ehr.checked_at(connection, question.resource_type, one["id"])
                is not None
            ]


def later_questions(answers: Sequence[Answer], evidence: Evidence) -> list[Question]:
    """By the day, for who was found, where no number led to a visit."""
    copies = [(type_, id_) for answer in answers for type_, id_, _ in answer.copies]
    if any(type_ == "Encounter" for type_, _ in copies):
        return []
    patients = dict.fromkeys(id_ for type_, id_ in copies if type_ == "Patient")
    return visits_of(list(patients), evidence)


def is_current(answer: Answer, versions: dict[tuple[str, str], int]) -> bool:
    return all(versions.get((type_, id_)) == version for type_, id_, version in answer.copies)


def oldest(answers: Sequence[Answer]) -> int:
    return min(answer.at for answer in answers)


def touches(encounter: Resource, first: str, end: str) -> bool:
    period = encounter.get("period", {})
    start, until = str(period.get("start", "")), str(period.get("end", "9999"))
    return start[:10] < end and until[:10] >= first
