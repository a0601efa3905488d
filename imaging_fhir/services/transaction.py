"""batch and transaction (http.html#transaction): many interactions in one request.

A transaction is one unit of the database: all of it is committed, or nothing. Its bytes (Binary,
inline attachments) are placed before, and are what nothing refers to if it fails.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from imaging_fhir.errors import ImagingError, InvalidRequest
from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import Condition
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.attachment import Detached, Prepared, keep, prepare
from imaging_fhir.services.bundle_answer import deleted, failed, shown, written
from imaging_fhir.services.bundle_entry import READING, WRITING, Entry, entry_at, named
from imaging_fhir.services.entry_reads import EntryReads
from imaging_fhir.services.interactions import is_supported, require_supported
from imaging_fhir.services.once import step
from imaging_fhir.services.patching import Patching, change_in_bundle
from imaging_fhir.services.preconditions import require_id, require_type, require_whole
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.services.resources import Resources
from imaging_fhir.services.rewriting import with_references
from imaging_fhir.services.search import Search
from imaging_fhir.services.transaction_run import (
    Answers,
    Means,
    Planned,
    Run,
    conditional_references,
    require_distinct,
)
from imaging_fhir.storage.database import Connection, Transaction

MOST_ENTRIES = 5000
WHOLE = "representation"  # what `Prefer: return=` says


class Transactions:
    def __init__(self, resources: Resources, search: Search, access: AccessPolicy) -> None:
        self.resources = resources
        self.search = search
        self.access = access
        self.patching = Patching(resources)
        self.reads = EntryReads(search)

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
        answers = run(bundle, caller, strict, returned)
        response = {"resourceType": "Bundle", "type": f"{kind}-response"}
        shown_entries = [
            shown(answers[index], WHOLE if is_reading(entry) else returned)
            for index, entry in enumerate(entries)
        ]
        return {**response, "entry": shown_entries} if shown_entries else response

    def entry(self, index: int, entry: object, caller: Caller, strict: bool) -> Entry:
        understood = entry_at(index, entry, self.resources.base, caller, strict=strict)
        if understood.method in WRITING:
            interaction = WRITING[understood.method]
            require_supported(interaction, understood.resource_type)
            self.access.require(caller, interaction, understood.resource_type)
        return understood

    # batch: each entry for itself

    def batch(self, bundle: Resource, caller: Caller, strict: bool, returned: str) -> Answers:
        answers = {}
        for index, entry in enumerate(bundle.get("entry", [])):
            try:
                with named(index):
                    understood = self.entry(index, entry, caller, strict)
                    answers[index] = self.alone(understood, returned == WHOLE)
            except ImagingError as error:
                answers[index] = failed(error)
        return answers

    def alone(self, entry: Entry, whole: bool) -> Resource:
        """One interaction with a transaction of its own; what it writes is shown if wanted."""
        if entry.method in READING:
            return self.reads.answer(entry)

        def answer(result: Written | None, within: Connection | None) -> Resource:
            if result is None:
                return deleted()
            return written(result, self.body(result, within) if whole else None)

        done: Resource = step(entry.index, partial(self.change, entry), answer)
        return done

    def body(self, result: Written, within: Connection | None) -> bytes:
        with self.resources.database.read(within) as connection:
            return self.resources.body(connection, result.stored)

    def change(self, entry: Entry) -> Written | None:
        """What was written; None where it was deleted."""
        if entry.method == "DELETE":
            self.delete(entry)
            return None
        return self.patch(entry) if entry.method == "PATCH" else self.store(entry)

    def delete(self, entry: Entry) -> None:
        if entry.resource_id is not None:
            self.resources.delete(
                entry.resource_type, entry.resource_id, if_match=entry.request.get("ifMatch")
            )
        else:
            where = self.condition(entry.resource_type, entry.query, entry.caller)
            self.resources.delete_where(where, if_match=entry.request.get("ifMatch"))

    def patch(self, entry: Entry) -> Written:
        change, if_match = change_in_bundle(entry.content), entry.request.get("ifMatch")
        if entry.resource_id is None:
            where = self.condition(entry.resource_type, entry.query, entry.caller)
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
            where = self.condition(entry.resource_type, entry.query, entry.caller)
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

    def transaction(self, bundle: Resource, caller: Caller, strict: bool, returned: str) -> Answers:
        work = partial(self.written, bundle, caller, strict, returned)
        return dict(enumerate(step(0, work, in_order)))

    def written(self, bundle: Resource, caller: Caller, strict: bool, returned: str) -> Answers:
        """All that needs no database is done before the transaction begins."""
        entries = []
        for index, entry in enumerate(bundle.get("entry", [])):
            with named(index):
                entries.append(self.entry(index, entry, caller, strict))
        chosen = [self.chosen_id(entry) for entry in entries]
        stored = with_targets(bundle, entries, chosen)
        require_valid(stored)
        planned = [
            self.plan(entry, id_, given.get("resource"))
            for entry, given, id_ in zip(entries, stored.get("entry", ()), chosen, strict=True)
        ]
        require_distinct(one.prepared for one in planned if one.entry.method not in READING)
        detached = [inner for one in planned for inner in one.prepared.detached]
        means = Means(
            resources=self.resources,
            patching=self.patching,
            condition=partial(self.condition, caller=caller),
            fetched=self.reads.answer,
            whole=returned == WHOLE,
        )

        def unit(transaction: Transaction, kept: list[Detached]) -> Answers:
            return Run(means, transaction, planned, kept).answers()

        return keep(self.resources.database, self.resources.store, detached, unit)

    def chosen_id(self, entry: Entry) -> str:
        """The id that the entry will write to, unless a condition finds another; else empty."""
        if entry.resource_id is not None:
            return entry.resource_id
        if entry.method == "POST":
            return self.resources.id_for(entry.resource_type, entry.resource)
        given = entry.resource.get("id") if entry.resource and entry.method == "PUT" else ""
        return given if isinstance(given, str) else self.resources.new_id()

    def plan(self, entry: Entry, chosen: str, stored: Resource | None) -> Planned:
        """`stored` is the resource with what the entries' addresses are foreseen to stand for."""
        with named(entry.index):
            if entry.method in ("POST", "PUT"):
                return self.plan_write(replace(entry, resource=stored), chosen)
            prepared = Prepared(entry.resource_type, chosen, {})
            condition, change = None, None
            if entry.method in ("DELETE", "PATCH") and entry.resource_id is None:
                condition = self.condition(entry.resource_type, entry.query, entry.caller)
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
            condition = self.condition(type_, entry.query, entry.caller)
        prepared = prepare(type_, chosen, content, self.resources.new_id)
        prepared = replace(prepared, posted=entry.method == "POST")
        conditional = conditional_references(content)
        return Planned(
            entry=entry,
            prepared=prepared,
            condition=condition,
            conditional=conditional,
            rows=None if conditional else self.resources.writing.rows(prepared),
        )

    def if_none_exist(self, entry: Entry) -> Condition | None:
        condition = entry.request.get("ifNoneExist")
        return (
            None
            if condition is None
            else self.condition(entry.resource_type, condition, entry.caller)
        )

    def condition(self, resource_type: str, text: str | None, caller: Caller) -> Condition:
        return self.search.condition(resource_type, text or "", caller)


def in_order(answers: Answers, _: Connection | None) -> list[Resource]:
    return [answers[index] for index in sorted(answers)]


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
