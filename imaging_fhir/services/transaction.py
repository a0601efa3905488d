"""batch and transaction (http.html#transaction): many interactions in one request.

A transaction is one unit of the database: all of it is committed, or nothing. Its bytes (Binary,
inline attachments) are placed before, and are what nothing refers to if it fails.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from imaging_fhir.errors import (
    ImagingError,
    InvalidRequest,
    MultipleMatches,
    ResourceNotFound,
)
from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.model.codec import Resource, decode, with_base
from imaging_fhir.model.search import Query
from imaging_fhir.services.access import AccessPolicy, Caller
from imaging_fhir.services.attachment import Detached, Prepared, keep, prepare
from imaging_fhir.services.batch_reads import BatchReads
from imaging_fhir.services.bundle_answer import deleted, failed, response, shown, written
from imaging_fhir.services.bundle_entry import ORDER, READING, WRITING, Entry, entry_at, named
from imaging_fhir.services.interactions import is_supported, require_supported
from imaging_fhir.services.patching import Change, Patching, change_in_bundle, require_object
from imaging_fhir.services.preconditions import require_id, require_type, require_whole
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.services.resources import Resources
from imaging_fhir.services.rewriting import rewritten, with_references
from imaging_fhir.services.search import Search
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.resources import StoredResource

MOST_ENTRIES = 5000
Answers = dict[int, Resource]  # by the entry's place


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An entry with the id that it will write to, as far as that is known beforehand."""

    entry: Entry
    prepared: Prepared
    condition: Query | None = None  # of a conditional create, update, patch or delete
    change: Change | None = None  # of a patch


class Transactions:
    def __init__(self, resources: Resources, search: Search, access: AccessPolicy) -> None:
        self.resources = resources
        self.search = search
        self.access = access
        self.patching = Patching(resources)
        self.reads = BatchReads(search)

    def run(
        self, bundle: Resource, caller: Caller, *, returned: str = "minimal", strict: bool = False
    ) -> Resource:
        """The response Bundle; raise ImagingError where a transaction fails as a whole.

        `returned` and `strict` are what the client prefers of each entry (http.html#ops).
        """
        require_type("Bundle", bundle)
        kind, entries = bundle.get("type"), bundle.get("entry", [])
        if kind not in ("batch", "transaction") or not isinstance(entries, list):
            raise InvalidRequest(
                "Only a batch or a transaction can be posted here.", expression="Bundle.type"
            )
        if len(entries) > MOST_ENTRIES:
            raise InvalidRequest(f"A Bundle may have at most {MOST_ENTRIES} entries.")
        run = self.batch if kind == "batch" else self.transaction
        answers = run(bundle, caller, strict)
        response = {"resourceType": "Bundle", "type": f"{kind}-response"}
        shown_entries = [
            shown(answers[index], "representation" if is_reading(entry) else returned)
            for index, entry in enumerate(entries)
        ]
        return {**response, "entry": shown_entries} if shown_entries else response

    def entry(self, index: int, entry: object, caller: Caller, strict: bool) -> Entry:
        understood = entry_at(index, entry, self.resources.base, strict=strict)
        require_supported(understood.interaction, understood.resource_type)
        self.access.require(caller, understood.interaction, understood.resource_type)
        return understood

    # batch: each entry for itself

    def batch(self, bundle: Resource, caller: Caller, strict: bool) -> Answers:
        answers = {}
        for index, entry in enumerate(bundle.get("entry", [])):
            try:
                with named(index):
                    answers[index] = self.read_beyond(entry, caller, strict) or self.alone(
                        self.entry(index, entry, caller, strict), caller
                    )
            except ImagingError as error:
                answers[index] = failed(error)
        return answers

    def read_beyond(self, entry: object, caller: Caller, strict: bool) -> Resource | None:
        """The answer to a GET of more than a resource or a type; None where it is none."""
        url = url_read(entry)
        answer = None if url is None else self.reads.find(url.removeprefix(self.resources.base))
        if answer is None:
            return None
        found = decode(with_base(answer(caller, strict), self.resources.base))
        return {"resource": found, "response": {"status": "200 OK"}}

    def alone(self, entry: Entry, caller: Caller) -> Resource:
        """One interaction with a transaction of its own."""
        if entry.method in READING:
            with self.resources.database.read() as connection:
                return self.fetched(connection, entry, caller)
        if entry.method == "DELETE":
            self.delete(entry)
            return deleted()
        if entry.method == "PATCH":
            return written(self.patch(entry))
        return written(self.store(entry))

    def delete(self, entry: Entry) -> None:
        if entry.resource_id is not None:
            self.resources.delete(
                entry.resource_type, entry.resource_id, if_match=entry.request.get("ifMatch")
            )
        else:
            where = self.condition(entry.resource_type, entry.query)
            self.resources.delete_where(where, if_match=entry.request.get("ifMatch"))

    def patch(self, entry: Entry) -> Written:
        change, if_match = change_in_bundle(entry.content), entry.request.get("ifMatch")
        if entry.resource_id is None:
            where = self.condition(entry.resource_type, entry.query)
            return self.patching.patch_where(where, change, if_match=if_match)
        return self.patching.patch(
            entry.resource_type, entry.resource_id, change, if_match=if_match
        )

    def store(self, entry: Entry) -> Written:
        require_type(entry.resource_type, entry.content)
        if entry.method == "POST":
            condition = self.if_none_exist(entry)
            return self.resources.create(
                entry.resource_type, entry.content, if_none_exist=condition
            )
        if entry.resource_id is None:
            where = self.condition(entry.resource_type, entry.query)
            return self.resources.update_where(
                where, entry.content, if_match=entry.request.get("ifMatch")
            )
        return self.resources.update(
            entry.resource_type,
            entry.resource_id,
            entry.content,
            if_match=entry.request.get("ifMatch"),
            if_none_match=entry.request.get("ifNoneMatch"),
        )

    # transaction: all of it or nothing

    def transaction(self, bundle: Resource, caller: Caller, strict: bool) -> Answers:
        entries = []
        for index, entry in enumerate(bundle.get("entry", [])):
            with named(index):
                entries.append(self.entry(index, entry, caller, strict))
        chosen = [self.chosen_id(entry) for entry in entries]
        require_valid(with_targets(bundle, entries, chosen))
        planned = [self.plan(entry, id_) for entry, id_ in zip(entries, chosen, strict=True)]
        require_distinct(one.prepared for one in planned if one.entry.method not in READING)
        detached = [inner for one in planned for inner in one.prepared.detached]

        def unit(transaction: Transaction, kept: list[Detached]) -> Answers:
            return Run(self, transaction, planned, kept, caller).answers()

        return keep(self.resources.database, self.resources.store, detached, unit)

    def chosen_id(self, entry: Entry) -> str:
        """The id that the entry will write to, unless a condition finds another; else empty."""
        if entry.resource_id is not None:
            return entry.resource_id
        if entry.method == "POST":
            return self.resources.id_for(entry.resource_type, entry.resource)
        given = entry.resource.get("id") if entry.resource and entry.method == "PUT" else ""
        return given if isinstance(given, str) else self.resources.new_id()

    def plan(self, entry: Entry, chosen: str) -> Planned:
        with named(entry.index):
            if entry.method in ("POST", "PUT"):
                return self.plan_write(entry, chosen)
            prepared = Prepared(entry.resource_type, chosen, {})
            condition, change = None, None
            if entry.method in ("DELETE", "PATCH") and entry.resource_id is None:
                condition = self.condition(entry.resource_type, entry.query)
            if entry.method == "PATCH":
                change = change_in_bundle(entry.content)
            return Planned(entry=entry, prepared=prepared, condition=condition, change=change)

    def plan_write(self, entry: Entry, chosen: str) -> Planned:
        type_ = entry.resource_type
        require_type(type_, entry.content)
        content = self.resources.at_home(entry.content)
        require_whole(content)
        self.resources.require_declared(content)
        condition = None
        if entry.method == "POST":
            condition = self.if_none_exist(entry)
        elif entry.resource_id is not None:
            require_id(content, type_, entry.resource_id)
        else:
            condition = self.condition(type_, entry.query)
        prepared = prepare(type_, chosen, content, self.resources.new_id)
        prepared = replace(prepared, posted=entry.method == "POST")
        return Planned(entry=entry, prepared=prepared, condition=condition)

    def if_none_exist(self, entry: Entry) -> Query | None:
        condition = entry.request.get("ifNoneExist")
        return None if condition is None else self.condition(entry.resource_type, condition)

    def condition(self, resource_type: str, text: str | None) -> Query:
        return self.search.condition(resource_type, text or "")

    def fetched(self, connection: Connection, entry: Entry, caller: Caller) -> Resource:
        """The answer to a GET."""
        if entry.resource_id is None:
            query = self.search.query(entry.resource_type, entry.query or "", strict=entry.strict)
            page = self.search.bundle(connection, query, caller)
            return {"resource": decode(page), "response": {"status": "200 OK"}}
        stored, body = self.resources.fetch(
            connection, entry.resource_type, entry.resource_id, entry.version_id
        )
        return {"resource": decode(body), "response": response("200 OK", stored)}


class Run:
    """One run of a transaction inside its unit; nothing of it outlives a failure."""

    def __init__(
        self,
        transactions: Transactions,
        transaction: Transaction,
        planned: Sequence[Planned],
        kept: Sequence[Detached],
        caller: Caller,
    ) -> None:
        self.transactions = transactions
        self.resources = transactions.resources
        self.transaction = transaction
        self.planned = planned
        self.kept = {one.resource_id: one for one in kept}
        self.caller = caller
        self.done: Answers = {}
        self.targets: Mapping[str, str] = {}  # what the entries' own addresses stand for
        self.stored: dict[int, StoredResource] = {}  # what was written, by the entry's place
        self.deleted: dict[int, StoredResource] = {}

    def answers(self) -> Answers:
        """Deletes, then creates, updates and reads; what searches for others among them last."""
        chosen = [self.resolved(one) for one in self.planned]
        require_distinct(one.prepared for one in chosen if one.entry.method not in READING)
        targets = targets_of(chosen)
        self.targets = targets
        rewritten_ones = [self.with_known_references(one, targets) for one in chosen]
        for one in sorted(rewritten_ones, key=turn):
            with named(one.entry.index):
                self.done[one.entry.index] = self.answer(one)
        self.require_integrity()
        return self.done

    def require_integrity(self) -> None:
        """Of the whole: what an entry refers to may have come after it."""
        connection, integrity = self.transaction.connection, self.resources.integrity
        for index, stored in self.stored.items():
            with named(index):
                integrity.require_targets(connection, stored)
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

    def written_to(self, condition: Query, one: Planned) -> str:
        """The id that a conditional update writes to; raise ResourceConflict, InvalidRequest."""
        given = one.entry.content.get("id", "")
        fresh = one.prepared.resource_id
        return self.resources.matched_or_new(self.transaction, condition, given, fresh)

    def with_known_references(self, one: Planned, targets: Mapping[str, str]) -> Planned:
        prepared = one.prepared
        content = with_references(prepared.content, targets) if prepared.content else {}
        return replace(one, prepared=replace(prepared, content=content))

    def answer(self, one: Planned) -> Resource:
        match one.entry.method:
            case "DELETE":
                return self.delete(one)
            case "POST" if one.condition is not None:  # something fulfils If-None-Exist
                found, body = self.resources.fetch(
                    self.transaction.connection,
                    one.prepared.resource_type,
                    one.prepared.resource_id,
                )
                return {"resource": decode(body), "response": response("200 OK", found)}
            case "POST" | "PUT":
                return written(self.write(one))
            case "PATCH":
                return written(self.patch(one))
            case _:
                return self.transactions.fetched(
                    self.transaction.connection, one.entry, self.caller
                )

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

    def write(self, one: Planned) -> Written:
        prepared = one.prepared
        if has_conditional_reference(prepared.content):
            prepared = replace(prepared, content=self.with_found_references(prepared.content))
        kept = [self.kept[inner.resource_id] for inner in one.prepared.detached]
        result = self.resources.update_in(
            self.transaction,
            prepared,
            kept,
            if_match=one.entry.request.get("ifMatch"),
            if_none_match=one.entry.request.get("ifNoneMatch"),
        )
        self.stored[one.entry.index] = result.stored
        return result

    def patch(self, one: Planned) -> Written:
        """What the patch makes may refer to other entries, as what they write may."""
        change = one.change
        if not one.prepared.resource_id or change is None:
            raise ResourceNotFound(f"No {one.prepared.resource_type} fulfils the condition.")

        def resolved(resource: Resource) -> Resource:
            patched = with_references(require_object(change(resource)), self.targets)
            if has_conditional_reference(patched):
                return self.with_found_references(patched)
            return patched

        result = self.transactions.patching.patch_in(
            self.transaction,
            one.prepared.resource_type,
            one.prepared.resource_id,
            resolved,
            if_match=one.entry.request.get("ifMatch"),
        )
        self.stored[one.entry.index] = result.stored
        return result

    def with_found_references(self, content: Resource) -> Resource:
        def change(name: str, text: str) -> str:
            return self.found_reference(text) if is_conditional(name, text) else text

        return rewritten(content, change)

    def found_reference(self, text: str) -> str:
        """The one resource that a conditional reference means; raise MultipleMatches."""
        resource_type, _, query = text.partition("?")
        require_supported("search-type", resource_type)
        condition = self.transactions.condition(resource_type, query)
        known = self.resources.only_match(self.transaction.connection, condition)
        if known is None:
            raise MultipleMatches("A conditional reference finds nothing.")
        return f"{resource_type}/{known}"


def with_id(one: Planned, resource_id: str) -> Planned:
    return replace(one, prepared=replace(one.prepared, resource_id=resource_id))


def turn(one: Planned) -> tuple[int, bool]:
    searches = one.change is not None or has_conditional_reference(one.prepared.content)
    return ORDER[one.entry.method], searches


def targets_of(planned: Iterable[Planned]) -> dict[str, str]:
    """What each entry's own address stands for in this transaction."""
    return {
        one.entry.full_url: f"{one.prepared.resource_type}/{one.prepared.resource_id}"
        for one in planned
        if one.entry.full_url and one.entry.method in ("POST", "PUT")
    }


def with_targets(bundle: Resource, entries: Sequence[Entry], chosen: Sequence[str]) -> Resource:
    """The Bundle as it will be stored, as far as that is known: what is checked."""
    targets = {
        entry.full_url: f"{entry.resource_type}/{id_}"
        for entry, id_ in zip(entries, chosen, strict=True)
        if entry.full_url and entry.method in ("POST", "PUT")
    }
    rewritten_entries = [
        {**given, "resource": with_references(entry.resource, targets)} if entry.resource else given
        for given, entry in zip(bundle.get("entry", ()), entries, strict=True)
    ]
    return {**bundle, "entry": rewritten_entries} if rewritten_entries else bundle


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


def has_conditional_reference(content: Resource) -> bool:
    found = False

    def look(name: str, text: str) -> str:
        nonlocal found
        found = found or is_conditional(name, text)
        return text

    rewritten(content, look)
    return found


def url_read(entry: object) -> str | None:
    """The address of an entry that is a GET or HEAD."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or request.get("method") not in READING:
        return None
    url = request.get("url")
    return url if isinstance(url, str) else None


def is_reading(entry: object) -> bool:
    """Reads always bring their resource, writes only where it is wanted."""
    request = entry.get("request") if isinstance(entry, dict) else None
    return isinstance(request, dict) and request.get("method") in READING


def supported_part(bundle: Resource) -> Resource:
    """The Bundle without the entries whose type or interaction this server does not offer."""

    def kept(entry: Resource) -> bool:
        request = entry.get("request", {})
        method = str(request.get("method", ""))
        resource_type = str(request.get("url", "")).partition("?")[0].split("/")[0]
        interaction = WRITING.get(method, "read")
        return is_supported(interaction, resource_type)

    return {**bundle, "entry": [entry for entry in bundle.get("entry", []) if kept(entry)]}
