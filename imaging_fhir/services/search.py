"""Searching: text to query, narrowed to what the caller may see, to a Bundle (search.html)."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir.bundle import (
    Found,
    ignored_issues,
    search_links,
    searchset,
    truncated_issue,
)
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.search import Query
from imaging_fhir.services.access import AccessPolicy, Caller
from imaging_fhir.services.resources import Resources
from imaging_fhir.settings import Settings
from imaging_fhir.storage import search
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.search_inclusion import included

Parameters = Sequence[tuple[str, str]]

# By which parameter a type is in a compartment (compartmentdefinition-patient.html). Of
# DocumentReference only the subject, not the author. The Encounter compartment of R4 lacks
# ImagingStudy: that is our own.
COMPARTMENTS = {
    "Patient": {
        "DocumentReference": "patient",
        "Encounter": "patient",
        "ImagingStudy": "patient",
        "Provenance": "patient",
        "ServiceRequest": "patient",
    },
    "Encounter": {
        "DocumentReference": "encounter",
        "ImagingStudy": "encounter",
        "ServiceRequest": "encounter",
    },
}


class Search:
    def __init__(self, resources: Resources, access: AccessPolicy, settings: Settings) -> None:
        self.resources = resources
        self.access = access
        self.settings = settings

    def search(
        self,
        resource_type: str,
        parameters: Parameters,
        caller: Caller,
        *,
        compartment: tuple[str, str] | None = None,
        strict: bool = False,
    ) -> bytes:
        """The searchset Bundle; raise InvalidRequest, SearchTooCostly."""
        if compartment is not None:
            parameters = [compartment_parameter(compartment, resource_type), *parameters]
        query = self.parsed(resource_type, parameters, strict=strict)
        with self.resources.database.read() as connection:
            return self.bundle(connection, query, caller)

    def parsed(self, resource_type: str, parameters: Parameters, *, strict: bool) -> Query:
        return parse_query(
            resource_type,
            parameters,
            base=self.resources.base,
            zone=self.resources.zone,
            default_count=self.settings.page_size,
            max_count=self.settings.max_page_size,
            strict=strict,
        )

    def query(self, resource_type: str, text: str) -> Query:
        """The search of a Bundle's entry."""
        parameters = parse_qsl(text, keep_blank_values=True)
        return self.parsed(resource_type, parameters, strict=False)

    def condition(self, resource_type: str, text: str) -> Query:
        """Of a conditional interaction: nothing of it may be ignored, and it may not be empty."""
        parameters = parse_qsl(text, keep_blank_values=True)
        query = self.parsed(resource_type, parameters, strict=True)
        if not query.criteria:
            raise InvalidRequest("The condition has no search parameter.")
        return query

    def bundle(self, connection: Connection, query: Query, caller: Caller) -> bytes:
        """One page: matches, what they include, and what had to be left out."""
        restrictions = self.access.restrictions(caller)
        with search.limited(connection, self.settings.search_seconds):
            page = search.search(connection, query, restrictions=restrictions)
            others, is_truncated = included(
                connection,
                query,
                page.matches,
                limit=self.settings.max_page_size,
                restrictions=restrictions,
            )
        warnings = ignored_issues(query)
        if is_truncated:
            warnings.append(truncated_issue(self.settings.max_page_size))
        found = [
            Found(reference=one.reference, body=self.body(connection, one, query), mode=mode)
            for rows, mode in ((page.matches, "match"), (others, "include"))
            for one in rows
        ]
        links = search_links(BASE_PLACEHOLDER, query, page.next_after)
        return b"".join(
            searchset(
                found, base=BASE_PLACEHOLDER, links=links, total=page.total, warnings=warnings
            )
        )

    def body(self, connection: Connection, stored: StoredResource, query: Query) -> bytes:
        return self.resources.shown(connection, stored, query.summary, query.elements)


def compartment_parameter(compartment: tuple[str, str], resource_type: str) -> tuple[str, str]:
    """Raise ResourceNotFound for a type that is not in that compartment."""
    owner, owner_id = compartment
    name = COMPARTMENTS.get(owner, {}).get(resource_type)
    if name is None:
        raise ResourceNotFound(f"{resource_type[:64]} is in no compartment of a {owner[:64]}.")
    return name, f"{owner}/{owner_id}"
