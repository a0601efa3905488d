"""What the client sends and accepts (http.html#mime-type): JSON or XML, in every spelling of R4.

A form that is served has a rank in an Accept header: its quality, and how early it stands there.
What is named counts before a wildcard, so that `application/fhir+json;q=0, */*` refuses JSON.
"""

from collections.abc import Set
from functools import lru_cache
from urllib.parse import parse_qsl

from flask import Request, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from imaging_fhir.errors import NotAcceptable, UnsupportedMediaType

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
JSON_TYPES = frozenset({FHIR_JSON, "application/json", "text/json"})
XML_TYPES = frozenset({FHIR_XML, "application/xml", "text/xml"})
HTML = "text/html"  # who names it and gets no page is a client of Java's, and is given JSON
WILDCARDS = ("application/*", "text/*", "*/*")
JSON_FORMATS = JSON_TYPES | {"json"}
XML_FORMATS = XML_TYPES | {"xml"}
R4 = frozenset({"4.0", "4.0.1"})
ONLY = f"This server answers in {FHIR_JSON} or {FHIR_XML}."
ONLY_R4 = "This server speaks FHIR 4.0 (R4) only, not fhirVersion="
Rank = tuple[float, int]  # the quality, and the place from the end; wildcards stand behind all
NO_RANK: Rank = (0.0, 0)
LAST = -1_000_000


def require_acceptable(request: Request) -> None:
    """Raise NotAcceptable where the client takes none of our forms; `_format` beats Accept.

    Who wants XML or a page is served around the application, which is asked for JSON.
    """
    chosen = chosen_format(request.query_string.decode(errors="replace"))
    if chosen is not None:
        if not is_json_format(chosen):
            raise NotAcceptable(refusal(chosen), expression="http._format")
        return
    accept = request.headers.get("Accept", "")
    if not accepts_json(accept):
        raise NotAcceptable(refusal(accept), expression="http.Accept")


def refusal(wanted: str) -> str:
    """Why nothing is served for this: the version of FHIR, or the form."""
    for _, options, _ in accepted_types(wanted):
        if not is_r4(options):
            return f"{ONLY_R4}{fhir_version(options)[:20]}."
    return ONLY


def chosen_format(query: str) -> str | None:
    """`_format` of a query; the last one where there are several, and nothing where it is empty."""
    if "_format" not in query:
        return None
    return dict(parse_qsl(query)).get("_format")


def is_json_format(chosen: str) -> bool:
    return is_format(chosen, JSON_FORMATS)


def is_xml_format(chosen: str) -> bool:
    return is_format(chosen, XML_FORMATS)


def is_format(chosen: str, formats: Set[str]) -> bool:
    """`+` in a query may have been meant literally: `application/fhir json` is JSON too."""
    name, options = split_type(chosen)
    return name.replace(" ", "+") in formats and is_r4(options)


@lru_cache(maxsize=256)
def accepts_json(accept: str) -> bool:
    return not accept.strip() or rank(accept, JSON_TYPES | {HTML})[0] > 0


@lru_cache(maxsize=256)
def prefers_xml(accept: str) -> bool:
    """Is XML liked better than JSON? Of two that are liked alike, the first counts."""
    return rank(accept, XML_TYPES) > max(rank(accept, JSON_TYPES | {HTML}), NO_RANK)


def rank(accept: str, names: Set[str]) -> Rank:
    """Of a form that has these names: of the best where some are named, else of the wildcard."""
    types = accepted_types(accept)
    named = [
        (quality, -place)
        for place, (name, options, quality) in enumerate(types)
        if name in names and is_r4(options)
    ]
    if named:
        best = max(named)
        return best if best[0] > 0 else NO_RANK
    wildcards = {name: quality for name, options, quality in types if is_r4(options)}
    for wildcard in WILDCARDS:
        if wildcard in wildcards:
            return (wildcards[wildcard], LAST) if wildcards[wildcard] > 0 else NO_RANK
    return NO_RANK


@lru_cache(maxsize=256)
def prefers_fhir(accept: str) -> bool:
    """Is the FHIR form wanted of a Binary, rather than its bytes (binary.html#rest)?"""
    return liked_best(accept) in (FHIR_JSON, FHIR_XML)


@lru_cache(maxsize=256)
def liked_best(accept: str) -> str:
    """The first of the types with the highest quality; empty where there is none."""
    usable = [
        (name, quality) for name, options, quality in accepted_types(accept) if is_r4(options)
    ]
    best = max(usable, key=lambda one: one[1], default=("", 0.0))
    return best[0] if best[1] > 0 else ""


def accepted_types(accept: str) -> list[tuple[str, dict[str, str], float]]:
    """Name, options and quality of each type in an Accept header."""
    parsed = parse_accept_header(accept, MIMEAccept)
    return [(*split_type(value), quality) for value, quality in parsed]


def split_type(value: str) -> tuple[str, dict[str, str]]:
    name, options = parse_options_header(value)
    return name.lower(), options


def is_r4(options: dict[str, str]) -> bool:
    return fhir_version(options) in R4


def fhir_version(options: dict[str, str]) -> str:
    return options.get("fhirversion", options.get("fhirVersion", "4.0"))


def preference(name: str) -> str | None:
    """What `Prefer` says of it (RFC 7240): `return=minimal`, `handling=strict`, ..."""
    for part in ",".join(request.headers.getlist("Prefer")).replace(";", ",").split(","):
        said, _, value = part.strip().partition("=")
        if said.strip().lower() == name:
            return value.strip().strip('"')
    return None


def require_json_body(content_type: str | None) -> None:
    """Raise UnsupportedMediaType where the body is not said to be JSON in UTF-8 (R4)."""
    name, options = split_type(content_type or "")
    if name not in JSON_TYPES:
        require_r4(name, options)
        raise refused_body(f"The body must be {FHIR_JSON} or {FHIR_XML}.")
    require_r4(name, options)
    require_utf8(options)


def require_r4(name: str, options: dict[str, str]) -> None:
    """Raise UnsupportedMediaType for a body of another version of FHIR."""
    if name in JSON_TYPES | XML_TYPES and not is_r4(options):
        raise refused_body(f"{ONLY_R4}{fhir_version(options)[:20]}.")


def require_utf8(options: dict[str, str]) -> None:
    """http.html#mime-type; raise UnsupportedMediaType."""
    if not is_utf8(options.get("charset", "utf-8")):
        raise refused_body("FHIR is sent in UTF-8, in JSON and in XML.")


def is_utf8(charset: str) -> bool:
    return charset.lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii", "ascii")


def refused_body(why: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(why, expression="http.Content-Type")
