"""The EHR's changes are followed by `_lastUpdated`: what is copied here, and what is waited for."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice

from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.errors import EhrUnavailable, StorageUnavailable
from imaging_fhir.fhir.registered_study import study_status
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.reference import id_in
from imaging_fhir.services.ehr_look_up import LookUp
from imaging_fhir.storage import dicom_index, ehr, leases
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.resources import instant

JOB = "ehr-sync"
TYPES = ("Patient", "Encounter", "ServiceRequest")
OVERLAP = 300_000  # milliseconds: its clock is not ours, and a commit may show late
POLL_SECONDS = 300.0  # for all pages of a type
AT_ONCE = 100  # resources in a transaction
LEASE = "ehr-sync"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EhrSync:
    database: Database
    look_up: LookUp
    seconds: int  # between two polls
    registers: bool = False  # orders without images

    def run(self) -> int:
        """Follow all types once; in how many milliseconds it is to be done again.

        What fails is followed from where it was the next time.
        """
        try:
            with leases.held(self.database, LEASE, seconds=120):
                for resource_type in TYPES:
                    self.follow(resource_type)
        except (EhrUnavailable, StorageUnavailable) as error:
            logger.info("The EHR's changes could not be followed: %s", error)
        return self.seconds * 1000

    def follow(self, resource_type: str) -> None:
        """From the last poll on; the first one begins with today's state of the copies."""
        begun = self.database.clock()
        with self.database.read() as connection:
            since = ehr.cursor(connection, resource_type) or begun
        deadline = Deadline(POLL_SECONDS)
        changes = self.look_up.ehr.changed(resource_type, instant(since - OVERLAP), deadline)
        while batch := list(islice(changes, AT_ONCE)):
            self.take(batch, begun, deadline)
        self.database.write(lambda transaction: ehr.set_cursor(transaction, resource_type, begun))

    def take(self, changes: Sequence[Resource], at: int, deadline: Deadline) -> None:
        """With whom they lead to: the successor of a merge, the subject of a visit."""
        with self.database.read() as connection:
            wanted = [one for one in changes if self.is_wanted(connection, one)]
        for other in self.look_up.companions(wanted):
            self.look_up.answer(other, deadline)
        for one in wanted:
            with suppress(EhrUnavailable):  # it is not as R4 has it, which the log tells
                self.database.write(partial(self.keep, content=one, at=at))

    def is_wanted(self, connection: Connection, resource: Resource) -> bool:
        """Is it known or waited for here, or an order that is to be registered?"""
        if is_wanted(connection, resource, self.look_up.ehr.base):
            return True
        if not self.registers or resource["resourceType"] != "ServiceRequest":
            return False
        order = self.look_up.copies.usable(resource)
        return order is not None and study_status(order) == "registered"

    def keep(self, transaction: Transaction, content: Resource, at: int) -> None:
        self.look_up.copies.keep(transaction, [content], at)


def is_wanted(connection: Connection, resource: Resource, base: str) -> bool:
    """Is it copied here, a visit or order of who is, or does an image wait for its number?"""
    type_, id_ = resource["resourceType"], resource["id"]
    if ehr.checked_at(connection, type_, id_) is not None:
        return True
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    patient = id_in(reference, "Patient", base=base)
    if patient is not None and ehr.checked_at(connection, "Patient", patient) is not None:
        return True
    return any(dicom_index.waiting_for(connection, type_, numbers_of(resource)))


def numbers_of(resource: Resource) -> list[tuple[str, str]]:
    identifiers = resource.get("identifier")
    return [
        (one["system"], one["value"])
        for one in (identifiers if isinstance(identifiers, list) else ())
        if isinstance(one, dict)
        and isinstance(one.get("system"), str)
        and isinstance(one.get("value"), str)
    ]
