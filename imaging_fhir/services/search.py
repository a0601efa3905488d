"""Searching: text to query, narrowed to what the caller may see, to a Bundle (search.html)."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.bundle import (
    Found,
    ignored_issues,
    search_links,
    searchset,
    truncated_issue,
)
from imaging_fhir.fhir.compartments import membership, types_of
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.search_union import Options, UnionQuery, parse_union
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.search import Condition, Query
from imaging_fhir.services import audit_log
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.resources import Resources
from imaging_fhir.settings import Settings
from imaging_fhir.storage import search, search_inclusion
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.search import Page

Parameters = Sequence[tuple[str, str]]
Included = tuple[list[StoredResource], bool]  # and whether the limit cut them short


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
        within: Connection | None = None,
    ) -> bytes:
        """The searchset Bundle; raise InvalidRequest, SearchTooCostly."""
        query = self.parsed(resource_type, parameters, strict=strict)
        if compartment is not None:
            query = in_compartment(query, compartment)
        self.access.require_own_patients(caller, query)
        with self.resources.database.read(within) as connection:
            return self.bundle(connection, query, caller)

    def search_all(
        self,
        parameters: Parameters,
        caller: Caller,
        *,
        compartment: tuple[str, str] | None = None,
        strict: bool = False,
        within: Connection | None = None,
    ) -> bytes:
        """The same over all types, those of `_type`, or all that are in the compartment."""
        union = self.parsed_union(parameters, compartment=compartment, strict=strict)
        union = self.permitted(union, caller, named=any(name == "_type" for name, _ in parameters))
        restrictions = self.access.restrictions(caller)
        with self.resources.database.read(within) as connection:
            with search.limited(connection, self.settings.search_seconds):
                page = search.search_union(
                    connection, union.whole, union.parts, restrictions=restrictions
                )
                included = self.included(connection, union.whole, page, caller)
            return self.page_bundle(connection, union.whole, page, included)

    def permitted(self, union: UnionQuery, caller: Caller, *, named: bool) -> UnionQuery:
        """Of all types those that the caller may search; raise AccessDenied where one that is
        named, or each, is closed."""
        parts = [
            part
            for part in union.parts
            if named or self.access.may(caller, "search-type", part.resource_type)
        ]
        for part in parts or union.parts:
            self.access.require(caller, "search-type", part.resource_type)
            self.access.require_own_patients(caller, part)
        return UnionQuery(whole=union.whole, parts=tuple(parts))

    def parsed_union(
        self, parameters: Parameters, *, compartment: tuple[str, str] | None, strict: bool
    ) -> UnionQuery:
        every = searched_types() if compartment is None else types_of(compartment[0])
        types = tuple(name for name in every if name != audit_log.AUDIT_EVENT)
        address = "" if compartment is None else "/".join((*compartment, "*"))
        options = Options(
            base=self.resources.base,
            ehr_base=self.resources.addresses.ehr_base,
            zone=self.resources.zone,
            default_count=self.settings.page_size,
            max_count=self.settings.max_page_size,
            strict=strict,
        )
        union = parse_union(types, parameters, options, address=address)
        if compartment is None:
            return union
        parts = tuple(in_compartment(part, compartment) for part in union.parts)
        return UnionQuery(whole=union.whole, parts=parts)

    def parsed(self, resource_type: str, parameters: Parameters, *, strict: bool) -> Query:
        query = parse_query(
            resource_type,
            parameters,
            base=self.resources.base,
            ehr_base=self.resources.addresses.ehr_base,
            zone=self.resources.zone,
            default_count=self.settings.page_size,
            max_count=self.settings.max_page_size,
            strict=strict,
        )
        audit_log.require_apart(query)
        return query

    def query(self, resource_type: str, text: str, *, strict: bool = False) -> Query:
        """The search of a Bundle's entry."""
        parameters = parse_qsl(text, keep_blank_values=True)
        return self.parsed(resource_type, parameters, strict=strict)

    def condition(self, resource_type: str, text: str, caller: Caller) -> Condition:
        """Of a conditional interaction: nothing of it may be ignored, and it may not be empty.

        It is a search by the caller, who must be allowed to search, and finds what they may see.
        """
        self.access.require(caller, "search-type", resource_type)
        parameters = parse_qsl(text, keep_blank_values=True)
        query = self.parsed(resource_type, parameters, strict=True)
        if not query.criteria:
            raise InvalidRequest("The condition has no search parameter.")
        self.access.require_own_patients(caller, query)
        return Condition(query=query, restrictions=self.access.restrictions(caller))

    def bundle(self, connection: Connection, query: Query, caller: Caller) -> bytes:
        """One page: matches, what they include, and what had to be left out."""
        restrictions = self.access.restrictions(caller)
        if query.resource_type == audit_log.AUDIT_EVENT:
            with search.limited(connection, self.settings.search_seconds):
                base = self.resources.base
                return audit_log.bundle(connection, query, base=base, restrictions=restrictions)
        with search.limited(connection, self.settings.search_seconds):
            page = search.search(connection, query, restrictions=restrictions)
            included = self.included(connection, query, page, caller)
        return self.page_bundle(connection, query, page, included)

    def included(
        self, connection: Connection, query: Query, page: Page, caller: Caller
    ) -> Included:
        """What is led to needs be open to be read or to be searched."""
        if not (query.includes or query.revincludes):
            return [], False
        restrictions = self.access.restrictions(caller, "rs")
        limit = self.settings.max_page_size
        return search_inclusion.included(
            connection, query, page.matches, limit=limit, restrictions=restrictions
        )

    def page_bundle(
        self, connection: Connection, query: Query, page: Page, included: Included
    ) -> bytes:
        others, is_truncated = included
        warnings = ignored_issues(query)
        if is_truncated:
            warnings.append(truncated_issue(self.settings.max_page_size))
        rows = [*page.matches, *others]
        modes = ["match"] * len(page.matches) + ["include"] * len(others)
        bodies = self.resources.shown(connection, rows, query.summary, query.elements)
        found = [
            Found(reference=one.reference, body=body, mode=mode)
            for one, body, mode in zip(rows, bodies, modes, strict=True)
        ]
        links = search_links(BASE_PLACEHOLDER, query, page.next_after)
        return b"".join(
            searchset(
                found, base=BASE_PLACEHOLDER, links=links, total=page.total, warnings=warnings
            )
        )


def searched_types() -> tuple[str, ...]:
    return tuple(
        name for name, type_ in RESOURCE_TYPES.items() if "search-type" in type_.interactions
    )


def in_compartment(query: Query, compartment: tuple[str, str]) -> Query:
    """Only what is in the compartment; raise ResourceNotFound for a type that never is."""
    criterion = membership(*compartment, query.resource_type)
    address = "/".join((*compartment, query.resource_type))
    return replace(query, criteria=(criterion, *query.criteria), address=address)
