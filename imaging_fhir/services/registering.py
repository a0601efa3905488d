"""An order without images yet as an ImagingStudy in status `registered`, until images fill it.

The images take over its resource, and so its id: whoever kept that finds the study. Where they have
an ImagingStudy already, it is deleted, and says which one that is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo

from imaging_fhir.errors import NotSupported
from imaging_fhir.fhir.patient import subject_reference
from imaging_fhir.fhir.registered_study import registered_study, study_status
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.change import Change
from imaging_fhir.model.codec import Resource, decode, encode_sorted
from imaging_fhir.model.link import Link, id_of
from imaging_fhir.model.reference import local_id
from imaging_fhir.services.report_ties import follow_resource
from imaging_fhir.services.subject import same_subject, subject_of
from imaging_fhir.storage import outbox, registered_studies, resources
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.people import encounters_of
from imaging_fhir.storage.resources import StoredResource

IMAGING_STUDY = "ImagingStudy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    new_id: Callable[[], str]
    zone: tzinfo | None
    is_on: bool  # if not, what is registered already is followed all the same

    def orders_changed(self, transaction: Transaction, orders: Iterable[str]) -> None:
        """What stands for them, by what they are and whether they have images now."""
        for order in sorted(set(orders)):
            self.order_changed(transaction, order)

    def order_changed(self, transaction: Transaction, order: str) -> None:
        connection = transaction.connection
        known = registered_studies.of_order(connection, order)
        filled = [
            rid
            for rid in registered_studies.studies_of_order(connection, order)
            if known is None or rid != known.rid
        ]
        current = resources.find_by_rid(connection, known.rid) if known is not None else None
        content = None if filled else self.content(connection, order, current)
        if content is not None:
            self.put(transaction, order, current, content)
        elif known is not None and current is not None:
            self.remove(transaction, known, current, filled)

    def content(
        self, connection: Connection, order: str, current: StoredResource | None
    ) -> Resource | None:
        """What is registered of the order; None where nothing is to be."""
        request = resources.find_content(connection, "ServiceRequest", order)
        status = None if request is None else study_status(request)
        patient = None if request is None else subject_of(connection, request)
        if request is None or status is None or patient is None:
            return None
        is_there = current is not None and not current.deleted
        if not is_there and not (self.is_on and status == "registered"):
            return None
        return registered_study(
            request,
            status=status,
            subject=subject_reference(patient["id"], patient),
            encounter=visit_of(connection, request, patient),
        )

    def put(
        self,
        transaction: Transaction,
        order: str,
        current: StoredResource | None,
        content: Resource,
    ) -> None:
        """Its next version, unless that would say the same; a deleted one is there again."""
        if current is not None and current.body is not None and says(current, content):
            return
        id_ = current.id if current is not None else self.new_id()
        entries = index_entries(IMAGING_STUDY, {**content, "id": id_}, zone=self.zone)
        stored = resources.put(transaction, IMAGING_STUDY, id_, content, entries)
        if current is None:
            registered_studies.add(transaction, stored.rid, order)
        elif current.deleted:
            registered_studies.set_successor(transaction, stored.rid, None)
        follow_resource(transaction, IMAGING_STUDY, id_, zone=self.zone)

    def remove(
        self,
        transaction: Transaction,
        known: AnyRow,
        current: StoredResource,
        filled: list[int],
    ) -> None:
        resources.delete(transaction, IMAGING_STUDY, current.id)
        successor = filled[0] if filled else None
        if successor != known.successor:
            registered_studies.set_successor(transaction, known.rid, successor)

    def taken_over(
        self, transaction: Transaction, study_instance_uid: str, link: Link
    ) -> StoredResource | None:
        """The resource of an order of this link, which is the study's from now on, if there is one.

        Of a study that filled one before, the same; it is a next version without a body.
        """
        connection = transaction.connection
        former = registered_studies.of_study(connection, study_instance_uid)
        if former is not None:
            return resources.find_by_rid(connection, former.rid)
        for order in link.based_on:
            known = registered_studies.of_order(connection, id_of(order) or "")
            current = None if known is None else resources.find_by_rid(connection, known.rid)
            if current is not None and not current.deleted:
                registered_studies.fill(transaction, current.rid, study_instance_uid)
                outbox.note(transaction, current.rid, IMAGING_STUDY, Change.CREATED)
                return current
        return None


def visit_of(connection: Connection, order: Resource, patient: Resource) -> Resource | None:
    """The order's visit, if it is one of the patient; without a literal reference, as it is."""
    encounter: Resource = order.get("encounter", {})
    if "reference" not in encounter:
        return encounter or None
    found = encounters_of(connection, ids=(local_id(encounter, "Encounter") or "",))
    return encounter if found and same_subject(connection, found[0], patient) else None


def says(current: StoredResource, content: Resource) -> bool:
    known: Resource = decode(current.body or b"{}")
    meta = {k: v for k, v in known["meta"].items() if k not in ("versionId", "lastUpdated")}
    bare = {**{k: v for k, v in known.items() if k != "id"}, "meta": meta}
    return encode_sorted(bare) == encode_sorted({"meta": {}, **content})


def orders_in(*contents: Resource | None) -> set[str]:
    """Ids of the ServiceRequests that ImagingStudies say they are based on."""
    return {
        order
        for content in contents
        for one in (content or {}).get("basedOn", ())
        if (order := local_id(one, "ServiceRequest")) is not None
    }


def require_unregistered(connection: Connection, resource_type: str, resource_id: str) -> None:
    """May a client write it? Raise NotSupported where it is made of an order."""
    if resource_type != IMAGING_STUDY:
        return
    stored = resources.find(connection, resource_type, resource_id)
    known = None if stored is None else registered_studies.of_resource(connection, stored.rid)
    if known is not None and known.service_request is not None:
        raise NotSupported(
            f"{resource_type}/{resource_id} is made of ServiceRequest/{known.service_request}: "
            "change or delete that."
        )
