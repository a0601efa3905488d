"""GETs of a batch or transaction (http.html#transaction), in one table: reads, histories, searches
of a type, of the system and of compartments, and the operations that only read.

In a batch each is answered as its own request would be; in a transaction on its connection, after
its writes and with them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import parse_qsl

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir.compartments import COMPARTMENTS
from imaging_fhir.fhir.operation_definition import Level, operation_at
from imaging_fhir.fhir.parameters import require_only
from imaging_fhir.fhir.primitives import CHECKS
from imaging_fhir.fhir.search_dates import interval_of_text
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.bundle_answer import response
from imaging_fhir.services.bundle_entry import Entry
from imaging_fhir.services.docref import DocRef
from imaging_fhir.services.everything import Everything
from imaging_fhir.services.history import History
from imaging_fhir.services.interactions import require_supported
from imaging_fhir.services.preconditions import is_known
from imaging_fhir.services.search import Search
from imaging_fhir.storage.database import Connection

NAME, ID = r"(?P<type>[A-Z][A-Za-z]+)", r"(?P<id>[A-Za-z0-9\-.]{1,64})"
OWNER = r"(?P<owner>[A-Z][A-Za-z]+)"
VERSION = r"(?P<version>[A-Za-z0-9\-.]{1,64})"
Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A GET of an entry; of the places in its address those that there are."""

    entry: Entry
    parameters: Parameters
    within: Connection | None  # of the transaction that it is of
    type: str = ""
    id: str = ""
    version: str = ""
    owner: str = ""
    code: str = ""

    @property
    def caller(self) -> Caller:
        return self.entry.caller

    @property
    def strict(self) -> bool:
        return self.entry.strict


class EntryReads:
    def __init__(self, search: Search) -> None:
        resources, access, settings = search.resources, search.access, search.settings
        self.search = search
        self.resources = resources
        self.access = access
        self.history = History(resources, access, settings)
        self.everything = Everything(resources, access, settings)
        self.docref = DocRef(search)
        self.bundles: dict[re.Pattern[str], Callable[[Asked], bytes]] = {
            re.compile("_history"): self.history_of_everything,
            re.compile(f"{NAME}/_history"): self.history_of_type,
            re.compile(f"{NAME}/{ID}/_history"): self.history_of_resource,
            re.compile(""): self.of_the_system,
            re.compile(NAME): self.of_a_type,
            re.compile(rf"{OWNER}/{ID}/\*"): self.of_a_compartment,
            re.compile(f"{OWNER}/{ID}/{NAME}"): self.in_a_compartment,
            re.compile(rf"{NAME}(?:/{ID})?/\$(?P<code>[a-z\-]+)"): self.operation,
        }
        self.one = re.compile(f"{NAME}/{ID}(?:/_history/{VERSION})?")

    def answer(self, entry: Entry, within: Connection | None = None) -> Resource:
        """Raise InvalidRequest where nothing can be read at the entry's address."""
        answer = self.found(entry, within)
        return {"response": answer["response"]} if entry.method == "HEAD" else answer

    def found(self, entry: Entry, within: Connection | None) -> Resource:
        path, _, query = entry.url.lstrip("/").partition("?")
        parameters = parse_qsl(query, keep_blank_values=True)

        def asked(found: re.Match[str]) -> Asked:
            places = {name: text for name, text in found.groupdict().items() if text}
            return Asked(entry=entry, parameters=parameters, within=within, **places)

        if one := self.one.fullmatch(path):
            return self.read(asked(one))
        for address, bundle in self.bundles.items():
            found = address.fullmatch(path)
            if found and (path or query):
                page = bundle(asked(found))
                return {"resource": decode(page), "response": {"status": "200 OK"}}
        raise InvalidRequest("The entry's request is none that is known here.")

    def read(self, asked: Asked) -> Resource:
        """http.html#read, #vread and #cread"""
        self.allow(asked, "vread" if asked.version else "read", asked.type)
        request = asked.entry.request
        with self.resources.database.read(asked.within) as connection:
            stored, body = self.resources.fetch(
                connection, asked.type, asked.id, asked.version or None
            )
        since = request.get("ifModifiedSince")
        if is_known(stored, request.get("ifNoneMatch"), None if since is None else moment(since)):
            return {"response": response("304 Not Modified", stored)}
        return {"resource": decode(body), "response": response("200 OK", stored)}

    def of_a_type(self, asked: Asked) -> bytes:
        self.allow(asked, "search-type", asked.type)
        return self.search.search(
            asked.type, asked.parameters, asked.caller, strict=asked.strict, within=asked.within
        )

    def allow(self, asked: Asked, interaction: str, resource_type: str) -> None:
        require_supported(interaction, resource_type)
        self.access.require(asked.caller, interaction, resource_type)

    def history_of_everything(self, asked: Asked) -> bytes:
        return self.history.of_everything(
            asked.parameters, asked.caller, strict=asked.strict, within=asked.within
        )

    def history_of_type(self, asked: Asked) -> bytes:
        self.allow(asked, "history-type", asked.type)
        return self.history.of_type(
            asked.type, asked.parameters, asked.caller, strict=asked.strict, within=asked.within
        )

    def history_of_resource(self, asked: Asked) -> bytes:
        self.allow(asked, "history-instance", asked.type)
        return self.history.of_resource(
            asked.type,
            asked.id,
            asked.parameters,
            asked.caller,
            strict=asked.strict,
            within=asked.within,
        )

    def of_the_system(self, asked: Asked) -> bytes:
        return self.search.search_all(
            asked.parameters, asked.caller, strict=asked.strict, within=asked.within
        )

    def of_a_compartment(self, asked: Asked) -> bytes:
        return self.search.search_all(
            asked.parameters,
            asked.caller,
            compartment=self.compartment(asked),
            strict=asked.strict,
            within=asked.within,
        )

    def in_a_compartment(self, asked: Asked) -> bytes:
        compartment = self.compartment(asked)
        self.allow(asked, "search-type", asked.type)
        return self.search.search(
            asked.type,
            asked.parameters,
            asked.caller,
            compartment=compartment,
            strict=asked.strict,
            within=asked.within,
        )

    def compartment(self, asked: Asked) -> tuple[str, str]:
        if asked.owner not in COMPARTMENTS:
            raise ResourceNotFound(f"There is no compartment of a {asked.owner[:64]}.")
        if asked.owner != "RelatedPerson":  # which is not kept here, and yet has one
            self.allow(asked, "read", asked.owner)
        return asked.owner, asked.id

    def operation(self, asked: Asked) -> bytes:
        """$everything and $docref; raise ResourceNotFound for another."""
        level: Level = "instance" if asked.id else "type"
        known = operation_at(asked.code, level, asked.type)
        if known is None or asked.code not in ("everything", "docref"):
            raise ResourceNotFound("A Bundle has no operation but $everything and $docref.")
        self.allow(asked, known.interaction, asked.type)
        require_only(asked.parameters, known.inputs)
        if asked.code == "docref":
            return self.docref.docref(asked.parameters, asked.caller, within=asked.within)
        return self.everything.everything(
            asked.type, asked.id, asked.parameters, asked.caller, within=asked.within
        )


def moment(text: str) -> float:
    """Seconds since 1970 of an instant; raise InvalidRequest."""
    found = interval_of_text(text, UTC) if CHECKS["instant"](text) is None else None
    if found is None:
        raise InvalidRequest("The entry's ifModifiedSince is no instant.")
    return found[0] / 1_000_000
