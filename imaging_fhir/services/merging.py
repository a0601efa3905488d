"""Two Patients are one person (Patient/$merge), and how that is undone.

The parameters and the outcome are those of FHIR R6's draft operation
(https://hl7.org/fhir/6.0.0-ballot3/patient-operation-merge.html): the source is inactive and
replaced by the target, which is given the source's identifiers; whatever refers to the source
refers to the target then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from imaging_fhir.errors import InvalidRequest, InvalidResource, ResourceConflict
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode, decode_as, encode
from imaging_fhir.model.correction import Corrected, Correction, MergedPatient, Refiled
from imaging_fhir.model.link import Link, id_of
from imaging_fhir.services.correction import DONE, undoable
from imaging_fhir.services.correction_record import record
from imaging_fhir.services.ehr_copies import require_no_copy
from imaging_fhir.services.merged_patients import (
    is_replaced_by,
    new_identifiers,
    replaced,
    replacing,
    restored,
    without_source,
)
from imaging_fhir.services.preconditions import require_match
from imaging_fhir.services.refiling import refile, show
from imaging_fhir.services.relinking import Relinking, concerned, waiting
from imaging_fhir.storage import (
    corrections,
    dicom_index,
    documents,
    ehr,
    jobs,
    parting,
    referring,
    refiling,
    resources,
)
from imaging_fhir.storage.database import AnyRow, Database, Transaction
from imaging_fhir.storage.people import (
    encounters_of,
    predecessors,
    resolve_patient,
    resources_with,
    successor_of,
)
from imaging_fhir.storage.resources import Put, StoredResource
from imaging_fhir.storage.search_index import by_table

AT_ONCE = 20  # images matched again in one transaction: others write in between
MATCH_AGAIN = "match-again"
MERGED_SINCE = "The target has been merged into another Patient since: that is undone first."
MERGED = "The source is replaced by the target, and so is what referred to it."
Keys = tuple[set[int], set[int]]  # of studies, and of documents
SAID_THEN = frozenset({"Patient", "Provenance", "AuditEvent", "ImagingStudy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    source: Resource
    target: Resource


class Merging:
    def __init__(
        self, database: Database, relinking: Relinking, *, new_id: Callable[[], str]
    ) -> None:
        self.database = database
        self.relinking = relinking
        self.new_id = new_id

    def merge(
        self,
        source_id: str,
        target_id: str,
        *,
        reason: str | None,
        caller: Caller,
        if_match: str | None = None,
        preview: bool = False,
    ) -> Corrected:
        """One transaction; `if_match` is of the target. Raise InvalidResource, ResourceConflict."""

        def unit(transaction: Transaction) -> Corrected:
            require_no_copy(transaction.connection, source_id)
            pair = self.pair(transaction, source_id, target_id, if_match)
            if preview:
                foreseen = self.foreseen(transaction, source_id)
                return Corrected(text=foreseen, result=f"Patient/{target_id}")
            return self.merge_pair(transaction, pair, reason=reason, caller=caller)

        return self.database.write(unit)

    def merge_pair(
        self, transaction: Transaction, pair: Pair, *, reason: str | None, caller: Caller
    ) -> Corrected:
        """Within a transaction, told by a Provenance."""
        merged = self.merge_in(transaction, pair)
        told = record(
            transaction,
            self.new_id(),
            "merge",
            targets=(f"Patient/{merged.target}", f"Patient/{merged.source}"),
            revised=tuple(
                f"Patient/{one['id']}/_history/{one['meta']['versionId']}"
                for one in (pair.target, pair.source)
            ),
            reason=reason,
            caller=caller,
        )
        corrections.add(transaction, told.rid, Correction(merged=merged))
        result = f"Patient/{merged.target}"
        return Corrected(text=MERGED, result=result, provenance=told.reference)

    def foreseen(self, transaction: Transaction, source_id: str) -> str:
        connection = transaction.connection
        count = len(referring.to_patient(connection, source_id))
        return f"{count} resources refer to the source, and would refer to the target."

    def named(self, name: str, reference: str | None, identifiers: Sequence[Resource]) -> str:
        """The id of the one Patient with these identifiers, and that reference if there is one.

        Raise InvalidRequest, InvalidResource.
        """
        if reference is None and not identifiers:
            raise InvalidRequest(f"The {name} is missing.", expression=f"http.{name}")
        with self.database.read() as connection:
            found = {
                patient["id"]
                for one in identifiers
                for patient in resources_with(
                    connection, "Patient", [(one.get("system", ""), one.get("value", ""))]
                )
            }
        ids = found | {id_of(reference) or ""} if reference else found
        if len(ids) != 1 or (identifiers and not found):
            raise InvalidResource(
                f"What is said of the {name} leads to {len(ids) or 'no'} Patients, not to one.",
                expression=f"http.{name}",
            )
        return str(ids.pop())

    def pair(
        self,
        transaction: Transaction,
        source_id: str,
        target_id: str,
        if_match: str | None = None,
    ) -> Pair:
        found = []
        for resource_id, name in ((source_id, "source-patient"), (target_id, "target-patient")):
            content = resources.find_content(transaction.connection, "Patient", resource_id)
            today = resolve_patient(transaction.connection, resource_id)
            if content is None or today is None:
                raise InvalidResource(f"{name} is not known here.", expression=f"http.{name}")
            if today["id"] != resource_id:
                raise ResourceConflict(f"The {name} has been merged into another Patient already.")
            found.append(content)
        source, target = found
        if successor_of(source):  # in a loop of links, or somebody who is not here
            raise ResourceConflict("The source-patient has a link replaced-by that leads nowhere.")
        if source["id"] == target["id"]:
            raise InvalidResource("Source and target are one Patient.", expression="http.target")
        require_match(if_match, resources.find(transaction.connection, "Patient", target_id))
        return Pair(source=source, target=target)

    def merge_in(self, transaction: Transaction, pair: Pair) -> MergedPatient:
        """A copy of the EHR's stays as the EHR has it: the source alone tells of the merge."""
        source, target = pair.source, pair.target
        is_copy = ehr.checked_at(transaction.connection, "Patient", target["id"]) is not None
        given = () if is_copy else tuple(new_identifiers(source, target))
        merged = MergedPatient(
            source=source["id"],
            target=target["id"],
            active=source.get("active"),
            given=given,
            rewritten=tuple(
                self.rewrite(transaction, f"Patient/{source['id']}", f"Patient/{target['id']}")
            ),
            stamp=transaction.now,
        )
        self.put(transaction, replaced(source, target["id"]))
        stands = target if is_copy else replacing(target, source, given)
        if not is_copy:
            self.put(transaction, stands)
        merged = replace(
            merged,
            studies=self.move_studies(transaction, source["id"], stands),
            documents=tuple(self.move_documents(transaction, source["id"], target["id"])),
        )
        self.look_again(transaction, target["id"])
        return merged

    def put(self, transaction: Transaction, content: Resource) -> None:
        type_ = content["resourceType"]
        entries = index_entries(type_, content, zone=self.relinking.studies.linking.zone)
        resources.put(transaction, type_, content["id"], content, entries)

    def rewrite(
        self, transaction: Transaction, old: str, new: str
    ) -> list[tuple[str, str, tuple[str, ...]]]:
        """References to the one, in whatever is found by them, become references to the other.

        Type and id of each, with the places of the references.
        """
        keys = referring.to(transaction.connection, *old.split("/"))
        known = self.contents(transaction, [key for key in keys if key[0] not in SAID_THEN])
        places = {key: tuple(redirect(content, old, new)) for key, (_, content) in known.items()}
        self.put_all(transaction, [known[key] for key, found in places.items() if found])
        return [(*key, found) for key, found in places.items() if found]

    def contents(
        self, transaction: Transaction, keys: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[StoredResource, Resource]]:
        """Of those that were not deleted, in that order, what is stored and what it says."""
        found = resources.find_all(transaction.connection, keys)
        there = [(key, found[key]) for key in keys if key in found]
        return {key: (one, decode(one.body)) for key, one in there if one.body is not None}

    def put_all(
        self, transaction: Transaction, changed: Sequence[tuple[StoredResource, Resource]]
    ) -> None:
        """The next version of many, each beside what is there."""
        zone = self.relinking.studies.linking.zone
        puts = [
            Put(
                type=stored.type,
                id=stored.id,
                content=content,
                rows=by_table(stored.type, index_entries(stored.type, content, zone=zone)),
                current=stored,
            )
            for stored, content in changed
        ]
        resources.put_all(transaction, puts)

    def move_studies(
        self, transaction: Transaction, old: str, new: Resource
    ) -> tuple[Refiled, ...]:
        keys = sorted(dicom_index.studies_of_patient(transaction.connection, old))
        rows = refiling.studies(transaction.connection, keys)
        self.refile(transaction, rows, new, dict.fromkeys(keys, True))
        self.show_followers(transaction, old, new)
        return tuple(
            Refiled(pk=row.pk, link=decode_as(Link, row.link), corrected=bool(row.corrected))
            for row in rows
        )

    def refile(
        self,
        transaction: Transaction,
        rows: Sequence[AnyRow],
        patient: Resource,
        corrected: Mapping[int, bool],
    ) -> None:
        refile(
            transaction,
            self.relinking.assembler,
            rows,
            patient,
            corrected,
            quiet_milliseconds=self.relinking.studies.quiet_milliseconds,
        )

    def show_followers(self, transaction: Transaction, old: str, new: Resource) -> None:
        """What is filed to those whom the old one has replaced by their links is the new one's."""
        connection = transaction.connection
        of_each = (
            dicom_index.studies_of_patient(connection, one) for one in predecessors(connection, old)
        )
        rows = refiling.studies(connection, sorted(set().union(*of_each)))
        quiet = self.relinking.studies.quiet_milliseconds
        show(transaction, self.relinking.assembler, rows, new, quiet_milliseconds=quiet)

    def move_documents(self, transaction: Transaction, old: str, new: str) -> Iterator[Refiled]:
        """Their DocumentReferences have been rewritten as all else."""
        for pk in sorted(documents.of_patient(transaction.connection, old)):
            link = decode_as(Link, documents.by_pk(transaction.connection, pk).link)
            yield Refiled(pk=pk, link=link)
            moved = encode(replace(link, patient=f"Patient/{new}"))
            documents.change(transaction, pk, patient=new, link=moved)

    def look_again(self, transaction: Transaction, patient_id: str) -> None:
        """What the news means for visits, held images and reviews is found in the background."""
        stored = resources.find(transaction.connection, "Patient", patient_id)
        if stored is not None:
            jobs.enqueue(transaction, MATCH_AGAIN, str(stored.rid))

    def undo(
        self, transaction: Transaction, provenance_id: str, reason: str | None, caller: Caller
    ) -> Corrected:
        """What the merge changed is as it was, where nobody has changed it since.

        What came for the source meanwhile goes back by its own evidence.
        """
        pk, correction = undoable(transaction.connection, provenance_id)
        merged = correction.merged
        if merged is None:
            raise ResourceConflict("It is no merge.")
        pair = self.merged_pair(transaction, merged)
        since = self.since(transaction, merged)
        self.put_back(transaction, merged)
        source = restored(pair.source, merged)
        self.put(transaction, source)
        if ehr.checked_at(transaction.connection, "Patient", merged.target) is None:
            self.put(transaction, without_source(pair.target, pair.source, merged.given))
        self.studies_back(transaction, merged, source)
        for document in merged.documents:
            of_document = documents.find(transaction.connection, document.pk)
            if of_document is not None and is_at(of_document, merged.target):
                link = back(decode_as(Link, of_document.link), document.link)
                patient = id_of(link.patient)
                documents.change(transaction, document.pk, patient=patient, link=encode(link))
        self.leave(transaction, merged)
        for patient_id in (merged.source, merged.target):
            content = resources.find_content(transaction.connection, "Patient", patient_id)
            self.match(transaction, waiting(transaction, "Patient", patient_id, content))
            self.look_again(transaction, patient_id)
        self.match(transaction, since)
        corrections.mark_undone(transaction, pk)
        references = (f"Patient/{merged.source}", f"Patient/{merged.target}")
        told = record(
            transaction,
            self.new_id(),
            "undo",
            targets=references,
            revised=(f"Provenance/{provenance_id}",),
            reason=reason,
            caller=caller,
        )
        return Corrected(text=DONE["undo"], result=references[0], provenance=told.reference)

    def studies_back(
        self, transaction: Transaction, merged: MergedPatient, source: Resource
    ) -> None:
        """Those that are still the target's; one at a visit of the target's own leaves that."""
        before = {study.pk: study for study in merged.studies}
        rows = [
            row
            for row in refiling.studies(transaction.connection, sorted(before))
            if is_at(row, merged.target)
        ]
        corrected = {pk: study.corrected for pk, study in before.items()}
        undecided = [row for row in rows if row.decision is None]
        self.refile(transaction, undecided, source, corrected)
        self.show_followers(transaction, merged.source, source)
        for pk in parting.of_several(transaction.connection, (merged.source, merged.target)):
            self.relinking.part(transaction, pk)
        visits = {f"Encounter/{id_}" for type_, id_, _ in merged.rewritten if type_ == "Encounter"}
        for row in rows:
            visit = decode_as(Link, row.link).encounter
            if row.decision is not None or (visit is not None and visit not in visits):
                self.relinking.link_study(transaction, row.pk)

    def merged_pair(self, transaction: Transaction, merged: MergedPatient) -> Pair:
        connection = transaction.connection
        source = resources.find_content(connection, "Patient", merged.source)
        target = resources.find_content(connection, "Patient", merged.target)
        if source is None or target is None:
            raise ResourceConflict("One of the two Patients is not there any more.")
        if not is_replaced_by(source, merged.target):
            raise ResourceConflict("The source is not replaced by the target any more.")
        today = resolve_patient(connection, merged.target)
        if today is None or today["id"] != merged.target:
            raise ResourceConflict(MERGED_SINCE)
        return Pair(source=source, target=target)

    def put_back(self, transaction: Transaction, merged: MergedPatient) -> None:
        """The references that the merge changed, and that are still as it made them."""
        source, target = f"Patient/{merged.source}", f"Patient/{merged.target}"
        places = {(type_, id_): found for type_, id_, found in merged.rewritten}
        known = self.contents(transaction, list(places))
        changed = [
            (stored, content)
            for key, (stored, content) in known.items()
            if sum(put_at(content, at, target, source) for at in places[key])
        ]
        self.put_all(transaction, changed)

    def leave(self, transaction: Transaction, merged: MergedPatient) -> None:
        """What the target has at a visit that is the source's again is matched again at once."""
        connection = transaction.connection
        today = {visit["id"] for visit in encounters_of(connection, patient=merged.source)}
        moved = {id_ for type_, id_, _ in merged.rewritten if type_ == "Encounter"}
        visits = sorted(today | moved)
        theirs = dicom_index.studies_of_patient(connection, merged.target)
        for pk in sorted(theirs & dicom_index.studies_at(connection, visits)):
            self.relinking.link_study(transaction, pk)
        for pk in sorted(documents.at(connection, visits)):
            self.relinking.link_document(transaction, pk)

    def match_again(self, patient_rid: int) -> None:
        """All that is filed to the Patient, or waits for them, a few in each transaction."""
        studies, of_documents = self.database.write(lambda one: self.concerned(one, patient_rid))
        for some in chunks(studies):
            self.database.write(partial(self.match, found=(some, set())))
        for some in chunks(of_documents):
            self.database.write(partial(self.match, found=(set(), some)))

    def concerned(self, transaction: Transaction, patient_rid: int) -> Keys:
        stored = resources.find_by_rid(transaction.connection, patient_rid)
        if stored.body is None:
            return set(), set()
        content: Resource = decode(stored.body)
        waits = waiting(transaction, "Patient", stored.id, content)
        filed = concerned(transaction, "Patient", stored.id, content)
        return waits[0] | filed[0], waits[1] | filed[1]

    def since(self, transaction: Transaction, merged: MergedPatient) -> Keys:
        """What came to one of the two since the merge, or changed."""
        connection, patients = transaction.connection, (merged.source, merged.target)
        studies = (dicom_index.studies_since(connection, one, merged.stamp) for one in patients)
        found = (documents.filed_since(connection, one, merged.stamp) for one in patients)
        return set().union(*studies), set().union(*found)

    def match(self, transaction: Transaction, found: Keys) -> None:
        for pk in sorted(found[0]):
            self.relinking.link_study(transaction, pk)
        for pk in sorted(found[1]):
            self.relinking.link_document(transaction, pk)


def chunks(keys: set[int]) -> Iterator[set[int]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), AT_ONCE):
        yield set(ordered[start : start + AT_ONCE])


def is_at(row: AnyRow, patient_id: str) -> bool:
    return bool(row.state == "filed" and not row.deleted and row.patient == patient_id)


def back(link: Link, former: Link) -> Link:
    """The Patient that it had before; the visit as it is now, unless that went with the Patient."""
    return replace(link, patient=former.patient)


def redirect(value: Any, old: str, new: str, at: str = "") -> Iterator[str]:
    """Change each reference to the one in place; say where."""
    if isinstance(value, dict):
        if value.get("reference") == old:
            value["reference"] = new
            yield at
        items: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    else:
        return
    for name, inner in items:
        yield from redirect(inner, old, new, f"{at}.{name}" if at else str(name))


def put_at(content: Resource, at: str, old: str, new: str) -> bool:
    """Change that reference back; False where it is another by now."""
    value: Any = content
    for name in at.split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return False
    if not isinstance(value, dict) or value.get("reference") != old:
        return False
    value["reference"] = new
    return True
