"""What the page of one FHIR answer shows: words, rows of a Bundle, links and the JSON itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from markupsafe import Markup

from imaging_fhir.fhir.capability_statement import capability_statement
from imaging_fhir.fhir.human import Line, Words, lines_of, title_of
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.shown_narrative import shown_narrative
from imaging_fhir.model.codec import Resource, decode, pretty
from imaging_fhir.model.search import SearchParameter
from imaging_fhir.web.linked_json import Addresses, linked_json

IN_CHART = {
    "Patient": "/chart/patients/",
    "ImagingStudy": "/chart/studies/",
    "DocumentReference": "/chart/documents/",
    "Task": "/chart/held/",
}
OF_A_PERSON = {"Patient", "Encounter"}
IMAGES = {"ImagingStudy": "Its studies", "DocumentReference": "Its documents"}
OF_A_SEARCH = ("_id", "_lastUpdated", "_count", "_sort")
WIDEST_FORM = 60
IS_XML_SERVED = "xml" in str(capability_statement(base="", software_version="", date="")["format"])
PAGING = (("first", "First page"), ("previous", "Page before"), ("next", "Next page"))
HINTS = {
    "date": "2025-01-31, ge2025",
    "token": "code, system|code",
    "reference": "Type/id",
    "string": "starts with",
    "quantity": "5.4|system|code",
    "number": "5, gt5",
    "uri": "the whole address",
}


@dataclass(frozen=True, slots=True)
class Link:
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A value of a line, with where it leads."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of a Bundle."""

    name: str
    href: str
    title: str
    note: str = ""
    updated: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    hint: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    severity: str
    text: str
    where: str


@dataclass(slots=True, kw_only=True)
class FhirPage:
    title: str
    kind: str = ""
    status: str = ""
    lines: list[tuple[str, tuple[Shown, ...], int]] = field(default_factory=list)
    rows: list[Row] | None = None
    count: str = ""
    issues: list[Issue] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    paging: list[Link] = field(default_factory=list)
    forms: list[Link] = field(default_factory=list)
    narrative: Markup | None = None
    types: list[tuple[Link, str, str]] = field(default_factory=list)
    search: tuple[str, str, list[Field]] | None = None  # type, action, fields
    json: Markup = field(default_factory=Markup)
    json_is_cut: bool = False


def page_of(body: bytes, status: int, path: str, query: str, base: str) -> FhirPage:
    """`path` and `query` are those of the request."""
    resource = decode(body)
    page = Builder(resource, path, query, Addresses(base)).page(status)
    page.json, page.json_is_cut = linked_json(pretty(body).decode(), Addresses(base))
    return page


@dataclass(frozen=True, slots=True)
class Builder:
    resource: Resource
    path: str
    query: str
    addresses: Addresses

    def page(self, status: int) -> FhirPage:
        page = FhirPage(title=self.heading(), kind=self.type_name)
        page.status = f"{status} {HTTPStatus(status).phrase}"
        page.forms = self.other_forms()
        match self.type_name:
            case "Bundle":
                self.fill_bundle(page)
            case "OperationOutcome":
                page.issues = list(issues_of(self.resource))
            case "CapabilityStatement":
                page.lines = self.shown_lines()
                page.types = list(self.served_types())
                page.links = [Link("All calls (OpenAPI)", self.at("docs"))]
            case _:
                self.fill_resource(page)
        return page

    @property
    def type_name(self) -> str:
        return str(self.resource.get("resourceType", "Resource"))

    @property
    def is_instance(self) -> bool:
        return self.type_name in RESOURCE_TYPES and "id" in self.resource

    def at(self, place: str) -> str:
        return f"{self.addresses.path}/{place}"

    def heading(self) -> str:
        if self.type_name == "Bundle":
            place = self.path.strip("/").removeprefix("fhir").strip("/").removesuffix("/_search")
            if place.endswith("_history"):
                return f"History of {place.removesuffix('_history').strip('/') or 'everything'}"
            return f"Search: {place}" if place else "Bundle"
        if self.type_name == "OperationOutcome":
            return "OperationOutcome"
        return title_of(self.resource) or f"{self.type_name} {self.resource.get('id', '')}".strip()

    def other_forms(self) -> list[Link]:
        """The same answer for programs; of a posted search there is the self link."""
        if self.path.endswith("/_search"):
            return []
        own = self.addresses.path + self.path.removeprefix("/fhir")
        asked = f"{own}?{self.query}&" if self.query else f"{own}?"
        return [
            Link("JSON", f"{asked}_format=json&_pretty=true"),
            *([Link("XML", f"{asked}_format=xml&_pretty=true")] if IS_XML_SERVED else []),
        ]

    def fill_resource(self, page: FhirPage) -> None:
        page.lines = self.shown_lines()
        div = (self.resource.get("text") or {}).get("div")
        safe = shown_narrative(div) if isinstance(div, str) else None
        page.narrative = Markup(safe) if safe else None  # noqa: S704 - sanitised just before
        if self.is_instance:
            page.links = list(self.instance_links())

    def shown_lines(self) -> list[tuple[str, tuple[Shown, ...], int]]:
        lines: list[Line] = [*meta_lines(self.resource), *lines_of(self.resource)]
        return [(line.label, self.shown(line.values), line.more) for line in lines]

    def shown(self, values: tuple[Words, ...]) -> tuple[Shown, ...]:
        return tuple(Shown(one.text, self.addresses.link(one.reference)) for one in values)

    def instance_links(self) -> Iterator[Link]:
        name, resource_id = self.type_name, str(self.resource["id"])
        offered = RESOURCE_TYPES[name].interactions
        own = self.at(f"{name}/{resource_id}")
        if self.path.count("/") > 3:
            yield Link("Current version", own)
        if "history-instance" in offered:
            yield Link("History", f"{own}/_history")
        version = (self.resource.get("meta") or {}).get("versionId")
        if version and "vread" in offered:
            yield Link(f"Version {version}", f"{own}/_history/{version}")
        if name in IN_CHART:
            yield Link("In the chart", f"{IN_CHART[name]}{resource_id}")
        if name in OF_A_PERSON:
            for kind, text in IMAGES.items():
                yield Link(text, f"{own}/{kind}")
        if "search-type" in offered:
            yield Link(f"Search {name}", self.at(name))

    def fill_bundle(self, page: FhirPage) -> None:
        entries = self.resource.get("entry") or []
        links = {link["relation"]: link["url"] for link in self.resource.get("link") or []}
        page.paging = [
            Link(text, self.addresses.link(links[name])) for name, text in PAGING if name in links
        ]
        if "self" in links:
            page.links = [Link("Address of this page", self.addresses.link(links["self"]))]
        outcomes = [found for found in entries if is_outcome(found)]
        page.issues = [one for found in outcomes for one in issues_of(found["resource"])]
        page.rows = [self.row(entry) for entry in entries if not is_outcome(entry)]
        page.count = counted(self.resource.get("total"), len(page.rows))
        page.search = self.search_form(links.get("self", ""))

    def row(self, entry: Mapping[str, Any]) -> Row:
        resource, response = entry.get("resource") or {}, entry.get("response") or {}
        name = resource_name(resource) or str(entry.get("fullUrl", "")) or "entry"
        updated = (resource.get("meta") or {}).get("lastUpdated", response.get("lastModified", ""))
        return Row(
            name=self.addresses.short(response.get("location", "") if not resource else name),
            href=self.addresses.link(self.target(entry, resource, response)),
            title=title_of(resource),
            note=note_of(entry),
            updated=str(updated),
        )

    def target(
        self, entry: Mapping[str, Any], resource: Resource, response: Mapping[str, Any]
    ) -> str:
        """A version of a history, by its ETag; the resource itself otherwise."""
        version = str((resource.get("meta") or {}).get("versionId", ""))
        if self.path.endswith("/_history") and version and resource:
            return f"{resource_name(resource)}/_history/{version}"
        return str(response.get("location") or resource_name(resource) or entry.get("fullUrl", ""))

    def search_form(self, self_link: str) -> tuple[str, str, list[Field]] | None:
        place = self.path.removeprefix("/fhir").strip("/").removesuffix("/_search")
        name = place.rpartition("/")[2]
        if name not in RESOURCE_TYPES or self.resource.get("type") != "searchset":
            return None
        asked = dict(parse_qsl(self_link.partition("?")[2]))
        parameters = RESOURCE_TYPES[name].search_parameters
        return name, self.at(f"{place}/_search"), fields_of(parameters, asked)

    def served_types(self) -> Iterator[tuple[Link, str, str]]:
        """Each type that is served, what can be done with it, and by how much it is found."""
        for rest in self.resource.get("rest") or []:
            for one in rest.get("resource") or []:
                codes = [interaction["code"] for interaction in one.get("interaction") or []]
                href = self.at(one["type"]) if "search-type" in codes else ""
                count = len(one.get("searchParam") or [])
                yield Link(one["type"], href), ", ".join(codes), str(count)


def resource_name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}" if "id" in resource else ""


def is_outcome(entry: Mapping[str, Any]) -> bool:
    return (entry.get("resource") or {}).get("resourceType") == "OperationOutcome"


def counted(total: int | None, shown: int) -> str:
    here = f"{shown} on this page"
    return here if total is None else f"{total} in all, {here}"


def note_of(entry: Mapping[str, Any]) -> str:
    """How the entry came to be here: an include, a method and a status."""
    request, response = entry.get("request") or {}, entry.get("response") or {}
    said = [request.get("method", ""), response.get("status", "")]
    mode = (entry.get("search") or {}).get("mode", "")
    return " ".join(one for one in [*said, "included" if mode == "include" else ""] if one)


def issues_of(outcome: Resource) -> Iterator[Issue]:
    for issue in outcome.get("issue") or []:
        text = issue.get("diagnostics") or (issue.get("details") or {}).get("text", "")
        where = ", ".join(issue.get("expression") or issue.get("location") or [])
        yield Issue(issue.get("severity", "error"), f"{issue.get('code', '')}: {text}", where)


def meta_lines(resource: Resource) -> Iterator[Line]:
    meta = resource.get("meta") or {}
    if "id" in resource:
        yield Line("Id", (Words(str(resource["id"])),))
    if "versionId" in meta:
        yield Line("Version", (Words(f"{meta['versionId']}, {meta.get('lastUpdated', '')}"),))


def fields_of(parameters: tuple[SearchParameter, ...], asked: Mapping[str, str]) -> list[Field]:
    """The type's own parameters first, then those of every search."""
    own = [one for one in parameters if not one.name.startswith("_")]
    fields = [Field(one.name, HINTS.get(one.type, one.type)) for one in own]
    fields += [Field(name, HINTS_OF_A_SEARCH[name]) for name in OF_A_SEARCH]
    return [Field(one.name, one.hint, asked.get(one.name, "")) for one in fields[:WIDEST_FORM]]


HINTS_OF_A_SEARCH = {
    "_id": "id",
    "_lastUpdated": "ge2025-01-31",
    "_count": "matches on a page",
    "_sort": "-_lastUpdated",
}
