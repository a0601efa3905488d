"""Read-only copies of what the EHR has of the people, visits and orders that images are about.

They are kept under the EHR's own ids, so that includes, chains and the chart find them; news of
them is news like any other.
"""

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from imaging_fhir.ehr.copied import NEEDED
from imaging_fhir.errors import EhrUnavailable, InvalidRequest, InvalidResource, NotSupported
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.patient import GONE, PROVISIONAL_PREFIX, has_tag
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.validation import check, require_valid
from imaging_fhir.model.codec import Resource, decode, encode_sorted
from imaging_fhir.model.reference import local_target
from imaging_fhir.services import review
from imaging_fhir.services.rewriting import rewritten
from imaging_fhir.storage import ehr, filing, resources
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.resources import StoredResource

AfterWrite = Callable[[Transaction, str, str, Resource | None], None]
MADE_HERE = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
READ_ONLY = "This is a copy of what the EHR has: change it there."
CHOSEN_ID = "With an EHR as master, an id of this type that a client chooses might be the EHR's."
ID_TAKEN = "id-taken"
TAKEN_REASON = (
    "The EHR has something else under this id. What the EHR says of it is not used here, and its "
    "images go to provisional Patients, until one of the two has another id: imaging-fhir "
    "adopt-ehr merges what is the same."
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    base: str  # of the EHR
    zone: tzinfo | None
    after_write: AfterWrite
    recheck_milliseconds: int  # how exactly it is kept when the EHR last confirmed a copy
    new_id: Callable[[], str]

    def keep(
        self, transaction: Transaction, found: Iterable[Resource], at: int
    ) -> dict[tuple[str, str], int]:
        """Make the copies say what the EHR said at that time; the version of each by type and id.

        One that cannot be used is left out; raise EhrUnavailable where that is a Patient.
        """
        ordered = sorted(found, key=lambda one: list(NEEDED).index(one["resourceType"]))
        kept = (self.keep_one(transaction, content, at) for content in ordered)
        return {(one.type, one.id): one.version for one in kept if one is not None}

    def keep_one(
        self, transaction: Transaction, content: Resource, at: int
    ) -> StoredResource | None:
        type_, id_ = content["resourceType"], content["id"]
        current = resources.find(transaction.connection, type_, id_)
        checked = ehr.checked_at(transaction.connection, type_, id_)
        is_other = is_taken_here(transaction.connection, type_, id_)
        if is_other or id_.startswith(PROVISIONAL_PREFIX):
            logger.warning("The EHR's %s/%s has an id that is taken here.", type_, id_)
            if is_other and current is not None:
                review.reconcile(transaction, self.new_id, current.rid, {ID_TAKEN: TAKEN_REASON})
            return None
        usable = self.usable(content)
        if usable is not None:
            usable = self.without_taken(transaction.connection, usable)
        if usable is None:
            return None
        if checked is None or at - checked >= self.recheck_milliseconds:
            ehr.set_checked(transaction, type_, id_, at)
        if current is not None and current.body is not None and is_same(current, usable):
            return current
        entries = index_entries(type_, usable, zone=self.zone)
        stored = resources.put(transaction, type_, id_, usable, entries)
        self.after_write(transaction, type_, id_, usable)
        return stored

    def adopt(self, transaction: Transaction, content: Resource, at: int) -> StoredResource | None:
        """Keep it though something here has its id: the caller knows that it is the same."""
        current = resources.find(transaction.connection, content["resourceType"], content["id"])
        if current is not None:
            review.reconcile(transaction, self.new_id, current.rid, {})
        ehr.set_checked(transaction, content["resourceType"], content["id"], at)
        return self.keep_one(transaction, content, at)

    def usable(self, content: Resource) -> Resource | None:
        """As it may be kept: valid R4, its references ours where we have copies of the type."""
        type_ = content["resourceType"]
        try:
            copy = valid(without_foreign_links(self.at_home(content)), NEEDED[type_])
        except (InvalidRequest, InvalidResource) as error:
            logger.warning("A %s of the EHR cannot be used: %s", type_, error.expression)
            if type_ == "Patient":
                raise EhrUnavailable("The EHR's Patient is not as R4 has it.") from None
            return None
        if is_foreign(copy.get("subject")):
            return None
        meta = content.get("meta", {})
        kept = {name: meta[name] for name in ("security", "tag") if name in meta}
        copy["meta"] = {"source": f"{self.base}/{type_}/{content['id']}", **kept}
        return copy

    def without_taken(self, connection: Connection, copy: Resource) -> Resource | None:
        """References to what has an id that is another's here lead to the EHR, and to nobody here.

        None where that is whose it is. A merge into such a Patient is not followed.
        """

        def change(name: str, text: str) -> str:
            target = local_target(text) if name == "reference" else None
            is_taken = target is not None and is_taken_here(connection, *target)
            return f"{self.base}/{text}" if is_taken else text

        changed = without_foreign_links(rewritten(copy, change))
        return None if is_foreign(changed.get("subject")) else changed

    def at_home(self, content: Resource) -> Resource:
        """References to what is copied become relative, those to other types absolute."""

        def change(name: str, text: str) -> str:
            if name != "reference":
                return text
            target = local_target(text, base=self.base)
            if target is None:
                return text
            bare = text.removeprefix(f"{self.base}/")
            return bare if target[0] in NEEDED else f"{self.base}/{bare}"

        said = {name: content[name] for name in content if name != "meta"}
        copy: Resource = filled(rewritten(said, change))
        return copy

    def lose(self, transaction: Transaction, resource_type: str, resource_id: str) -> None:
        """The EHR has it no more. A Patient with images stays, marked, and matches nobody."""
        connection = transaction.connection
        known = resources.find_content(connection, resource_type, resource_id)
        if known is None or ehr.checked_at(connection, resource_type, resource_id) is None:
            return
        if resource_type == "Patient" and filing.has_images(connection, "Patient", resource_id):
            if not has_tag(known, GONE):
                self.mark_gone(transaction, known)
            return
        resources.delete(transaction, resource_type, resource_id)
        ehr.forget(transaction, resource_type, resource_id)
        self.after_write(transaction, resource_type, resource_id, None)

    def mark_gone(self, transaction: Transaction, patient: Resource) -> None:
        meta = patient.get("meta", {})
        gone = {
            **patient,
            "active": False,
            "meta": {**meta, "tag": [*meta.get("tag", ()), GONE]},
        }
        entries = index_entries("Patient", gone, zone=self.zone)
        resources.put(transaction, "Patient", patient["id"], gone, entries)
        self.after_write(transaction, "Patient", patient["id"], gone)


def is_taken_here(connection: Connection, resource_type: str, resource_id: str) -> bool:
    """Is there something of that id here that is no copy of the EHR's?"""
    if resource_type not in NEEDED:
        return False
    current = resources.find(connection, resource_type, resource_id)
    is_there = current is not None and not current.deleted
    return is_there and ehr.checked_at(connection, resource_type, resource_id) is None


def filled(value: Any) -> Any:
    """Without empty lists, objects and texts inside, which R4 does not know."""
    if isinstance(value, dict):
        return without_empty({name: filled(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return [found for inner in value if (found := filled(inner)) not in ({}, [], "")]
    return value


def valid(content: Resource, needed: set[str]) -> Resource:
    """Without what is not as R4 has it; raise InvalidResource where that is needed."""
    faulty = {
        re.split(r"[.\[]", issue.expression)[1] if "." in issue.expression else ""
        for issue in check(content)
        if issue.severity == "error"
    }
    if faulty & needed:
        require_valid(content)
    rest = {name: value for name, value in content.items() if name not in faulty}
    require_valid(rest)
    return rest


def without_foreign_links(patient: Resource) -> Resource:
    """Links to Patients of other servers say nothing here: their ids might be others' here."""
    links = patient.get("link")
    if not isinstance(links, list):
        return patient
    own = [link for link in links if isinstance(link, dict) and not is_foreign(link.get("other"))]
    rest = {name: value for name, value in patient.items() if name != "link"}
    return {**rest, "link": own} if own else rest


def is_foreign(reference: object) -> bool:
    text = reference.get("reference") if isinstance(reference, dict) else None
    return isinstance(text, str) and ":" in text


def is_same(current: StoredResource, content: Resource) -> bool:
    known = decode(current.body or b"{}")
    meta = {k: v for k, v in known["meta"].items() if k not in ("versionId", "lastUpdated")}
    return encode_sorted({**known, "meta": meta}) == encode_sorted(content)


def require_own(connection: Connection, resource_type: str, resource_id: str) -> None:
    """May a client write it, with an EHR as master? Raise NotSupported.

    Copies are the EHR's. So may be any id that a client chooses.
    """
    if resource_type not in NEEDED:
        return
    if ehr.checked_at(connection, resource_type, resource_id) is not None:
        raise NotSupported(f"{resource_type}/{resource_id}: {READ_ONLY}")
    is_new = resources.find(connection, resource_type, resource_id) is None
    if is_new and not MADE_HERE.fullmatch(resource_id):
        raise NotSupported(f"{resource_type}/{resource_id}: {CHOSEN_ID}")


def require_no_copy(connection: Connection, patient_id: str) -> None:
    """Patients of the EHR are merged there, and here by that; raise NotSupported."""
    if ehr.checked_at(connection, "Patient", patient_id) is not None:
        raise NotSupported(f"Patient/{patient_id}: {READ_ONLY}")
