"""GETs of a batch beyond one resource and one type (http.html#transaction): histories, searches of
the system and of compartments, and the operations that only read.

Each is answered as its own request would be, in a transaction of its own, which is why a
transaction cannot have them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.fhir.compartments import COMPARTMENTS
from imaging_fhir.fhir.operation_definition import Level, operation_at
from imaging_fhir.fhir.parameters import require_only
from imaging_fhir.services.access import Caller
from imaging_fhir.services.docref import DocRef
from imaging_fhir.services.everything import Everything
from imaging_fhir.services.history import History
from imaging_fhir.services.interactions import require_supported
from imaging_fhir.services.search import Search

NAME, ID = r"(?P<type>[A-Z][A-Za-z]+)", r"(?P<id>[A-Za-z0-9\-.]{1,64})"
OWNER = r"(?P<owner>[A-Z][A-Za-z]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A GET of an entry; of the places in its address those that there are."""

    parameters: Sequence[tuple[str, str]]
    caller: Caller
    strict: bool
    type: str = ""
    id: str = ""
    owner: str = ""
    code: str = ""


class BatchReads:
    def __init__(self, search: Search) -> None:
        resources, access, settings = search.resources, search.access, search.settings
        self.search = search
        self.access = access
        self.history = History(resources, access, settings)
        self.everything = Everything(resources, access, settings)
        self.docref = DocRef(search)
        self.addresses: dict[re.Pattern[str], Callable[[Asked], bytes]] = {
            re.compile("_history"): self.history_of_everything,
            re.compile(f"{NAME}/_history"): self.history_of_type,
            re.compile(f"{NAME}/{ID}/_history"): self.history_of_resource,
            re.compile(""): self.of_the_system,
            re.compile(rf"{OWNER}/{ID}/\*"): self.of_a_compartment,
            re.compile(f"{OWNER}/{ID}/{NAME}"): self.in_a_compartment,
            re.compile(rf"{NAME}(?:/{ID})?/\$(?P<code>[a-z\-]+)"): self.operation,
        }

    def find(self, url: str) -> Callable[[Caller, bool], bytes] | None:
        """Who answers a GET of this address, which is relative to the base; None: not here."""
        path, _, query = url.lstrip("/").partition("?")
        if not path and not query:
            return None
        matches = ((address.fullmatch(path), answer) for address, answer in self.addresses.items())
        found, answer = next(((one, answer) for one, answer in matches if one), (None, None))
        if found is None or answer is None:
            return None
        places = {name: text for name, text in found.groupdict().items() if text}
        parameters = parse_qsl(query, keep_blank_values=True)
        return lambda caller, strict: answer(
            Asked(parameters=parameters, caller=caller, strict=strict, **places)
        )

    def allow(self, asked: Asked, interaction: str, resource_type: str) -> None:
        require_supported(interaction, resource_type)
        self.access.require(asked.caller, interaction, resource_type)

    def history_of_everything(self, asked: Asked) -> bytes:
        return self.history.of_everything(asked.parameters, asked.caller, strict=asked.strict)

    def history_of_type(self, asked: Asked) -> bytes:
        self.allow(asked, "history-type", asked.type)
        return self.history.of_type(asked.type, asked.parameters, asked.caller, strict=asked.strict)

    def history_of_resource(self, asked: Asked) -> bytes:
        self.allow(asked, "history-instance", asked.type)
        return self.history.of_resource(
            asked.type, asked.id, asked.parameters, asked.caller, strict=asked.strict
        )

    def of_the_system(self, asked: Asked) -> bytes:
        return self.search.search_all(asked.parameters, asked.caller, strict=asked.strict)

    def of_a_compartment(self, asked: Asked) -> bytes:
        return self.search.search_all(
            asked.parameters,
            asked.caller,
            compartment=self.compartment(asked),
            strict=asked.strict,
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
            raise ResourceNotFound("A batch has no operation but $everything and $docref.")
        self.allow(asked, known.interaction, asked.type)
        require_only(asked.parameters, known.inputs)
        if asked.code == "docref":
            return self.docref.docref(asked.parameters, asked.caller)
        return self.everything.everything(asked.type, asked.id, asked.parameters, asked.caller)
