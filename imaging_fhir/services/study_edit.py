"""A user's edit of a derived ImagingStudy: kept beside what its images say, through every rebuild.

What the images say is theirs: an edit of that is refused, naming each element.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from imaging_fhir.errors import InvalidResource, ResourceNotFound
from imaging_fhir.fhir.faults import MAX_ISSUES
from imaging_fhir.model.codec import Resource, decode, decode_as, encode, encode_sorted
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.reference import local_id, local_target
from imaging_fhir.services.resource_ports import Assembler, Written
from imaging_fhir.services.study_authored import is_authored, require_free
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.services.study_overlay import (
    EDITABLE,
    ENTERED_IN_ERROR,
    edited_meta,
    is_own_visit,
    kept_overlay,
)
from imaging_fhir.services.subject import subject_of
from imaging_fhir.storage import dicom_index, resources
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.people import resolve_patient
from imaging_fhir.storage.resources import StoredResource

OF_THE_PATIENT = ("basedOn", "reasonReference", "procedureReference")
OF_SERVER = frozenset({"versionId", "lastUpdated"})  # of meta
OF_USERS = frozenset({"tag", "security"})

Difference = tuple[str, str]  # FHIRPath expression, and what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyEdit:
    filing: StudyFiling
    assembler: Assembler

    def edit(self, transaction: Transaction, current: StoredResource, content: Resource) -> Written:
        """The next version, with what the user wrote; raise InvalidResource for the rest.

        Both the version that ends and the new one are kept in the history.
        """
        connection = transaction.connection
        row = dicom_index.study_of_resource(connection, current.rid)
        if row is None:
            raise ResourceNotFound(f"{current.reference} has no images any more.")
        body = current.body or self.assembler.body(connection, current)
        derived = self.filing.head(transaction, row, {})
        require_only_edits(decode(body), derived, content)
        overlay = overlay_of(content, derived, kept_overlay(row))
        patient = resolve_patient(connection, row.patient or "")
        require_same_patient(connection, patient, overlay)
        if overlay == kept_overlay(row):
            return Written(stored=replace(current, body=body), created=False, changed=False)
        if current.body is None:
            resources.keep_assembled(transaction, current.rid, body)
        return Written(stored=self.apply(transaction, row, overlay), created=False)

    def is_derived(self, connection: Connection, current: StoredResource | None) -> bool:
        """Is it put together from images?"""
        return current is not None and not is_authored(connection, current)

    def require_authored(self, connection: Connection, resource_id: str, content: Resource) -> None:
        """What a client may write of a study without images.

        Raise ResourceConflict where its study has an ImagingStudy, InvalidResource where it
        mixes patients.
        """
        require_free(connection, content, resource_id)
        patient = subject_of(connection, content)
        for name in ("encounter", *OF_THE_PATIENT) if patient else ():
            for expression, reference in references(f"ImagingStudy.{name}", content.get(name)):
                if is_of_another(connection, reference, patient):
                    refuse(expression, "is of another patient.")

    def apply(self, transaction: Transaction, row: AnyRow, overlay: Resource) -> StoredResource:
        connection = transaction.connection
        dicom_index.change_study(transaction, row.pk, overlay=encode(overlay) if overlay else None)
        row = dicom_index.study_by_pk(connection, row.pk)
        self.filing.write_head(transaction, row, decode_as(Merged, row.attributes))
        self.filing.bump(transaction, row)
        self.filing.index(transaction, row)
        stored = resources.find_by_rid(connection, row.rid)
        body = self.assembler.body(connection, stored)
        resources.keep_assembled(transaction, row.rid, body)
        return replace(stored, body=body)


def require_only_edits(shown: Resource, derived: Resource, content: Resource) -> None:
    """Raise InvalidResource, naming each element that is not a user's to change."""
    issues = tuple(islice(refused(shown, derived, content), MAX_ISSUES))
    if issues:
        expression, fault = issues[0]
        raise InvalidResource(f"{expression} {fault}", expression=expression, issues=issues)


def refused(shown: Resource, derived: Resource, content: Resource) -> Iterator[Difference]:
    """Where the content differs from what is shown, but for what users may write."""
    theirs = {"id", "meta", "status", "contained", *EDITABLE}
    yield from differences("ImagingStudy", without(shown, theirs), without(content, theirs))
    if content.get("status") not in (derived["status"], ENTERED_IN_ERROR):
        yield "ImagingStudy.status", f"can be changed to {ENTERED_IN_ERROR} only."
    owned = OF_SERVER | OF_USERS
    yield from differences(
        "ImagingStudy.meta",
        without(shown.get("meta", {}), owned),
        without(content.get("meta", {}), owned),
    )
    own = {one["id"]: one for one in derived.get("contained", ())}
    for index, one in enumerate(content.get("contained", ())):
        known = own.get(one.get("id"))
        if known is not None and not same(one, known):
            yield f"ImagingStudy.contained[{index}]", DERIVED


DERIVED = "is told by the images: it cannot be edited."


def differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """The innermost elements that are not the same."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in (*before, *(name for name in after if name not in before)):
            yield from differences(f"{path}.{name}", before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(f"{path}[{index}]", one, other)
    elif not same(before, after):
        yield path, DERIVED


def same(one: Any, other: Any) -> bool:
    return one is other or encode_sorted(one) == encode_sorted(other)


def without(elements: Resource, names: "set[str] | frozenset[str]") -> Resource:
    return {name: value for name, value in elements.items() if name not in names}


def overlay_of(content: Resource, derived: Resource, known: Resource) -> Resource:
    """What the user wrote other than the images say; None where the user took it away.

    What the service marked the study with stays.
    """
    overlay = {
        name: content.get(name)
        for name in ("status", *EDITABLE)
        if not same(content.get(name), derived.get(name))
    }
    own = [one["id"] for one in derived.get("contained", ())]
    added = [one for one in content.get("contained", ()) if one.get("id") not in own]
    if added:
        overlay["contained"] = added
    meta = edited_meta(content.get("meta", {}), known.get("meta", {}))
    return {**overlay, "meta": meta} if meta else overlay


def require_same_patient(
    connection: Connection, patient: Resource | None, overlay: Resource
) -> None:
    """The visit is known and the patient's, and nothing else is known to be another's."""
    encounter = overlay.get("encounter")
    visit = local_id(encounter, "Encounter")
    if encounter and "reference" in encounter and visit is None:
        refuse("ImagingStudy.encounter", "is no Encounter of this server.")
    if visit is not None and not is_own_visit(connection, visit, patient):
        refuse("ImagingStudy.encounter", "is unknown here, or a visit of another patient.")
    for name in OF_THE_PATIENT:
        for expression, reference in references(f"ImagingStudy.{name}", overlay.get(name)):
            if is_of_another(connection, reference, patient):
                refuse(expression, "is of another patient.")


def references(expression: str, value: Any) -> Iterator[tuple[str, Resource]]:
    if isinstance(value, dict):
        yield expression, value
    for index, one in enumerate(value if isinstance(value, list) else ()):
        yield f"{expression}[{index}]", one


def is_of_another(connection: Connection, reference: Resource, patient: Resource | None) -> bool:
    """Does it lead to a resource here that is known to be somebody else's?"""
    target = local_target(reference.get("reference"))
    found = None if target is None else resources.find_content(connection, *target)
    subject = None if found is None else subject_of(connection, found)
    return subject is not None and (patient is None or subject["id"] != patient["id"])


def refuse(expression: str, fault: str) -> None:
    raise InvalidResource(f"{expression} {fault}", expression=expression)
