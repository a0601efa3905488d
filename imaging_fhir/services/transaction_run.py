"""A transaction inside its unit of the database: the specified order (http.html#trules), in bulk.

What may be written together is gathered, and is written before anything that could find it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby

from imaging_fhir.errors import InvalidRequest, MultipleMatches, ResourceNotFound
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource, decode, encode
from imaging_fhir.model.search import Condition
from imaging_fhir.services.attachment import Detached, Prepared
from imaging_fhir.services.bundle_answer import deleted, response, written
from imaging_fhir.services.bundle_entry import ORDER, READING, Entry, named
from imaging_fhir.services.interactions import require_supported
from imaging_fhir.services.patching import Change, Patching, require_object
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.services.resources import Resources
from imaging_fhir.services.rewriting import rewritten, with_references
from imaging_fhir.services.writing import ALONE, Update, leads_to_bytes
from imaging_fhir.storage import resources as resource_rows
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.search_index import Rows

Answers = dict[int, Resource]  # by the entry's place
OF_ITS_TYPE = re.compile(r"[a-z][a-z-]*(:[a-z-]+)?=")  # a parameter that looks at no other type


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An entry with the id that it will write to, as far as that is known beforehand."""

    entry: Entry
    prepared: Prepared
    condition: Condition | None = None  # of a conditional create, update, patch or delete
    change: Change | None = None  # of a patch
    conditional: frozenset[str] = frozenset()  # its conditional references
    rows: Rows | None = None  # what it is to be found by
    version: int | None = None  # that a patch was made of

    @property
    def writes(self) -> bool:
        return self.entry.method in ("POST", "PUT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a run has of the service."""

    resources: Resources
    patching: Patching
    condition: Callable[[str, str], Condition]
    fetched: Callable[[Entry, Connection], Resource]  # the answer to a GET
    whole: bool  # are the resources that were written wanted?


class Run:
    """One run of a transaction; nothing of it outlives a failure."""

    def __init__(
        self,
        means: Means,
        transaction: Transaction,
        planned: Sequence[Planned],
        kept: Sequence[Detached],
    ) -> None:
        self.means = means
        self.resources = means.resources
        self.transaction = transaction
        self.planned = planned
        self.kept = {one.resource_id: one for one in kept}
        self.done: Answers = {}
        self.targets: Mapping[str, str] = {}  # what the entries' own addresses stand for
        self.found: dict[str, str] = {}  # what conditional references mean, as things are
        self.waiting: list[Planned] = []  # to be written together
        self.known: list[Planned] = []  # creates of what is there
        self.stored: dict[int, StoredResource] = {}  # what was written, by the entry's place
        self.deleted: dict[int, StoredResource] = {}
        self.current: Mapping[tuple[str, str], StoredResource] = {}  # what is to be patched

    def answers(self) -> Answers:
        """Deletes, then creates, updates and reads; what searches for others among them last."""
        chosen = [self.resolved(one) for one in self.planned]
        require_distinct(one.prepared for one in chosen if one.entry.method not in READING)
        self.targets = targets_of(chosen)
        ready = with_chosen_ids(self.planned, chosen)
        for _, turns in groupby(sorted(ready, key=turn), key=turn):
            of_a_turn = list(turns)
            keys = [key_of(one.prepared) for one in of_a_turn if one.change is not None]
            self.current = resource_rows.find_all(self.transaction.connection, keys)
            for one in of_a_turn:
                self.take(one)
            self.write_waiting()
            self.answer_known()
        self.require_integrity()
        return self.done

    def require_integrity(self) -> None:
        """Of the whole: what an entry refers to may have come after it."""
        connection, integrity = self.transaction.connection, self.resources.integrity
        integrity.require_all_targets(connection, list(self.stored.items()), named)
        for index, deleted_one in self.deleted.items():
            with named(index):
                integrity.require_unreferenced(connection, deleted_one)

    def resolved(self, one: Planned) -> Planned:
        """With the id of the resource that the entry's condition finds."""
        if one.condition is None:
            return one
        with named(one.entry.index):
            if one.entry.method == "PUT":
                return with_id(one, self.written_to(one.condition, one))
            known = self.resources.only_match(self.transaction.connection, one.condition)
        return replace(one, condition=None) if known is None else with_id(one, known)

    def written_to(self, condition: Condition, one: Planned) -> str:
        """The id that a conditional update writes to; raise ResourceConflict, InvalidRequest."""
        given = one.entry.content.get("id", "")
        fresh = one.prepared.resource_id
        return self.resources.matched_or_new(self.transaction, condition, given, fresh)

    def take(self, one: Planned) -> None:
        """A write waits for those that can be done with it; all else is done at once."""
        index = one.entry.index
        if one.change is not None:
            with named(index):
                self.take_patch(one, one.change)
        elif not one.writes:
            self.write_waiting()
            with named(index):
                self.done[index] = self.answer(one)
        elif one.entry.method == "POST" and one.condition is not None:
            self.known.append(one)  # something fulfils If-None-Exist
        else:
            if self.must_follow(one):
                self.write_waiting()
            with named(index):
                self.waiting.append(self.with_found_references(one))
            if not self.update_of(one).joins:
                self.write_waiting()

    def must_follow(self, one: Planned) -> bool:
        """May it find or touch what waits to be written?"""
        if not self.update_of(one).joins:
            return True
        types = {waiting.prepared.resource_type for waiting in self.waiting if one.conditional}
        return any(may_find(reference, types) for reference in one.conditional)

    def answer(self, one: Planned) -> Resource:
        if one.entry.method == "DELETE":
            return self.delete(one)
        return self.means.fetched(one.entry, self.transaction.connection)

    def delete(self, one: Planned) -> Resource:
        if one.prepared.resource_id:
            gone = self.resources.delete_in(
                self.transaction,
                one.prepared.resource_type,
                one.prepared.resource_id,
                if_match=one.entry.request.get("ifMatch"),
            )
            if gone is not None:
                self.deleted[one.entry.index] = gone
        return deleted()

    def write_waiting(self) -> None:
        writes, self.waiting, self.found = self.waiting, [], {}
        self.current = {} if writes else self.current  # a write may lead to others

        def named_one(position: int) -> AbstractContextManager[None]:
            return named(writes[position].entry.index)

        updates = [self.update_of(one) for one in writes]
        if updates:
            results = self.resources.writing.write(self.transaction, updates, named_one)
            for one, result in zip(writes, results, strict=True):
                self.done[one.entry.index] = self.answer_of(one.entry.index, result)

    def answer_known(self) -> None:
        connection = self.transaction.connection
        keys = {one.entry.index: key_of(one.prepared) for one in self.known}
        self.known = []
        found = resource_rows.find_all(connection, keys.values())
        for index, key in keys.items():
            answer: Resource = {"response": response("200 OK", found[key])}
            if self.means.whole:
                answer["resource"] = decode(self.resources.body(connection, found[key]))
            self.done[index] = answer

    def update_of(self, one: Planned) -> Update:
        return Update(
            prepared=one.prepared,
            kept=[self.kept[inner.resource_id] for inner in one.prepared.detached],
            if_match=one.entry.request.get("ifMatch") if one.version is None else str(one.version),
            if_none_match=one.entry.request.get("ifNoneMatch"),
            rows=one.rows,
        )

    def answer_of(self, index: int, result: Written) -> Resource:
        self.stored[index] = result.stored
        body = None
        if self.means.whole:
            body = self.resources.body(self.transaction.connection, result.stored)
        return written(result, body)

    def take_patch(self, one: Planned, change: Change) -> None:
        """What it makes of a resource is written with others, where that can be."""
        if not one.prepared.resource_id:
            raise ResourceNotFound(f"No {one.prepared.resource_type} fulfils the condition.")
        key, if_match = key_of(one.prepared), one.entry.request.get("ifMatch")
        stored = self.current.get(key)
        if key[0] in ALONE or stored is None or stored.body is None:
            self.patch_alone(one, change)
            return
        patching, resolving = self.means.patching, self.resolving(change)
        prepared = patching.prepared(stored, stored.body, resolving, if_match)
        has_bytes = prepared.detached or leads_to_bytes(prepared)
        if has_bytes or key not in self.current:  # others were written meanwhile
            self.patch_alone(one, change)
        else:
            self.waiting.append(replace(one, prepared=prepared, version=stored.version))

    def patch_alone(self, one: Planned, change: Change) -> None:
        self.write_waiting()
        written = self.means.patching.patch_in(
            self.transaction,
            one.prepared.resource_type,
            one.prepared.resource_id,
            self.resolving(change),
            if_match=one.entry.request.get("ifMatch"),
        )
        self.done[one.entry.index] = self.answer_of(one.entry.index, written)

    def resolving(self, change: Change) -> Change:
        """What a patch makes may refer to other entries, as what they write may."""

        def resolved(resource: Resource) -> Resource:
            patched = with_references(require_object(change(resource)), self.targets)
            if not conditional_references(patched):
                return patched
            self.write_waiting()
            return self.with_found(patched)

        return resolved

    def with_found_references(self, one: Planned) -> Planned:
        if not one.conditional:
            return one
        content = self.with_found(one.prepared.content)
        return replace(one, prepared=replace(one.prepared, content=content), rows=None)

    def with_found(self, content: Resource) -> Resource:
        def change(name: str, text: str) -> str:
            return self.found_reference(text) if is_conditional(name, text) else text

        return rewritten(content, change)

    def found_reference(self, text: str) -> str:
        """The one resource that a conditional reference means; raise MultipleMatches."""
        if text not in self.found:
            resource_type, _, query = text.partition("?")
            require_supported("search-type", resource_type)
            condition = self.means.condition(resource_type, query)
            known = self.resources.only_match(self.transaction.connection, condition)
            if known is None:
                raise MultipleMatches("A conditional reference finds nothing.")
            self.found[text] = f"{resource_type}/{known}"
        return self.found[text]


def with_id(one: Planned, resource_id: str) -> Planned:
    return replace(one, prepared=replace(one.prepared, resource_id=resource_id))


def with_chosen_ids(planned: Sequence[Planned], chosen: Sequence[Planned]) -> Iterator[Planned]:
    """References to what a condition found lead there, and not to the id that was foreseen."""
    foreseen = {
        reference_to(before.prepared): reference_to(after.prepared)
        for before, after in zip(planned, chosen, strict=True)
        if after.writes and key_of(before.prepared) != key_of(after.prepared)
    }
    addresses = {f"{BASE_PLACEHOLDER}/{old}": new for old, new in foreseen.items()}
    targets = foreseen | addresses
    for one in chosen:
        content = one.prepared.content
        if targets and one.writes:
            changed = with_references(content, targets)
            if changed != content:
                prepared = replace(one.prepared, content=changed)
                one = replace(one, prepared=prepared, rows=None)
        yield one


def key_of(prepared: Prepared) -> tuple[str, str]:
    return prepared.resource_type, prepared.resource_id


def reference_to(prepared: Prepared) -> str:
    return f"{prepared.resource_type}/{prepared.resource_id}"


def turn(one: Planned) -> tuple[int, bool]:
    return ORDER[one.entry.method], one.change is not None or bool(one.conditional)


def targets_of(planned: Iterable[Planned]) -> dict[str, str]:
    """What each entry's own address stands for in this transaction."""
    return {
        one.entry.full_url: reference_to(one.prepared)
        for one in planned
        if one.entry.full_url and one.writes
    }


def require_distinct(prepared: Iterable[Prepared]) -> None:
    """No resource is touched twice (http.html#trules); raise InvalidRequest."""
    seen = set()
    for one in prepared:
        identity = (one.resource_type, one.resource_id)
        if one.resource_id and identity in seen:
            raise InvalidRequest(
                f"The transaction touches {one.resource_type}/{one.resource_id} more than once."
            )
        seen.add(identity)


def is_conditional(name: str, text: str) -> bool:
    return name == "reference" and "?" in text and "://" not in text and not text.startswith("#")


def conditional_references(content: Resource) -> frozenset[str]:
    """Those of the resource (bundle.html#references): `Patient?identifier=...`."""
    found: set[str] = set()
    if b"?" not in encode(content):
        return frozenset()

    def look(name: str, text: str) -> str:
        if is_conditional(name, text):
            found.add(text)
        return text

    rewritten(content, look)
    return frozenset(found)


def may_find(reference: str, types: set[str]) -> bool:
    """May a conditional reference find something of these types, or by it?"""
    resource_type, _, query = reference.partition("?")
    looks_elsewhere = not all(OF_ITS_TYPE.match(part) for part in query.split("&"))
    return bool(types) and (looks_elsewhere or resource_type in types)
