"""Bundles put together around stored bytes (https://hl7.org/fhir/R4/bundle.html)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from urllib.parse import quote, urlencode

from imaging_fhir.fhir.datatypes import instant, without_empty
from imaging_fhir.fhir.operation_outcome import issue, outcome_of
from imaging_fhir.fhir.search_query import PAGE
from imaging_fhir.model.codec import Resource, encode
from imaging_fhir.model.search import Query

MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Link = tuple[str, str]  # relation and address


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entry of a searchset: `body` is the resource as JSON."""

    reference: str  # Type/id
    body: bytes
    mode: str = "match"  # match, include
    score: float | None = None  # these two of $match
    grade: str | None = None  # http://hl7.org/fhir/R4/valueset-match-grade.html


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An entry of a history; a deletion has no body."""

    reference: str
    version: int
    last_updated: int  # milliseconds since 1970 UTC
    body: bytes | None
    posted: bool = False  # of the first: the server chose the id


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An entry of a batch-response or transaction-response."""

    status: int
    location: str | None = None
    version: int | None = None
    last_updated: int | None = None
    body: bytes | None = None
    outcome: Resource | None = None


def searchset(
    found: Iterable[Found],
    *,
    base: str,
    links: Sequence[Link],
    total: int | None = None,
    warnings: Sequence[Resource] = (),
) -> Iterator[bytes]:
    """The JSON in pieces: nothing is parsed. `warnings` are issues, shown as an outcome entry."""
    entries = (found_entry(one, base) for one in found)
    outcome = [[outcome_entry(warnings)]] if warnings else []
    return bundle("searchset", chain(entries, outcome), links=links, total=total)


def history(
    versions: Iterable[Version],
    *,
    base: str,
    links: Sequence[Link] = (),
    total: int | None = None,
) -> Iterator[bytes]:
    """Newest first, as the versions come."""
    entries = (version_entry(version, base) for version in versions)
    return bundle("history", entries, links=links, total=total)


def answers(type_: str, given: Iterable[Answer]) -> Iterator[bytes]:
    """`type_` is batch-response or transaction-response; one entry for each request, in order."""
    return bundle(type_, (answer_entry(one) for one in given))


def bundle(
    type_: str,
    entries: Iterable[Iterable[bytes]],
    *,
    links: Sequence[Link] = (),
    total: int | None = None,
) -> Iterator[bytes]:
    head: Resource = {"resourceType": "Bundle", "type": type_}
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    yield encode(head)[:-1]
    separator = b',"entry":['
    for entry in entries:
        yield separator
        yield from entry
        separator = b","
    yield b"}" if separator.startswith(b',"') else b"]}"


def found_entry(found: Found, base: str) -> Iterator[bytes]:
    yield b'{"fullUrl":' + encode(f"{base}/{found.reference}") + b',"resource":'
    yield found.body
    yield b',"search":' + encode(search_of(found)) + b"}"


def search_of(found: Found) -> Resource:
    grade = [{"url": MATCH_GRADE, "valueCode": found.grade}] if found.grade else None
    return without_empty({"extension": grade, "mode": found.mode, "score": found.score})


def outcome_entry(warnings: Sequence[Resource]) -> bytes:
    return encode({"resource": outcome_of(warnings), "search": {"mode": "outcome"}})


def version_entry(version: Version, base: str) -> Iterator[bytes]:
    yield b'{"fullUrl":' + encode(f"{base}/{version.reference}")
    if version.body is not None:
        yield b',"resource":'
        yield version.body
    response = response_of(
        Answer(
            status=201 if version.version == 1 else 204 if version.body is None else 200,
            version=version.version,
            last_updated=version.last_updated,
        )
    )
    method = "DELETE" if version.body is None else "POST" if version.posted else "PUT"
    url = version.reference.partition("/")[0] if version.posted else version.reference
    request = {"method": method, "url": url}
    yield b"," + encode({"request": request, "response": response})[1:]


def answer_entry(answer: Answer) -> Iterator[bytes]:
    if answer.body is not None:
        yield b'{"resource":'
        yield answer.body
        yield b"," + encode({"response": response_of(answer)})[1:]
    else:
        yield encode({"response": response_of(answer)})


def response_of(answer: Answer) -> Resource:
    stamp = answer.last_updated
    modified = None if stamp is None else instant(EPOCH + timedelta(milliseconds=stamp))
    return without_empty(
        {
            "status": str(answer.status),
            "location": answer.location,
            "etag": None if answer.version is None else f'W/"{answer.version}"',
            "lastModified": modified,
            "outcome": answer.outcome,
        }
    )


def search_links(base: str, query: Query, next_after: str | None) -> list[Link]:
    """self says what was understood; the pages after the first hold their position."""
    first = page_address(base, query, None)
    links = [("self", page_address(base, query, query.after)), ("first", first)]
    if next_after is not None:
        links.append(("next", page_address(base, query, next_after)))
    return links


def page_address(base: str, query: Query, after: str | None) -> str:
    parameters = [*query.self_parameters, *([(PAGE, after)] if after else [])]
    text = urlencode(parameters, quote_via=quote, safe=":,/")
    below = query.resource_type if query.address is None else query.address
    address = f"{base}/{below}" if below else base
    return f"{address}?{text}" if text else address


def ignored_issues(query: Query) -> list[Resource]:
    """A warning for each parameter that was left out."""
    return [
        issue(
            "not-supported",
            f"The search parameter {name[:80]} is not known here and was ignored.",
            severity="warning",
        )
        for name in query.ignored
    ]


def truncated_issue(limit: int) -> Resource:
    return issue(
        "incomplete",
        f"More than {limit} resources are included: the rest was left out.",
        severity="warning",
    )
