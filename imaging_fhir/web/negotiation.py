"""What the client sends and accepts (http.html#mime-type): JSON, in every spelling R4 allows."""

from functools import lru_cache

from flask import Request, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from imaging_fhir.errors import NotAcceptable, UnsupportedMediaType

FHIR_JSON = "application/fhir+json"
JSON_TYPES = frozenset({FHIR_JSON, "application/json", "text/json"})
FHIR_TYPES = JSON_TYPES | {"application/fhir+xml", "application/xml", "text/xml"}
ACCEPTED = JSON_TYPES | {"*/*", "application/*", "text/*", "text/html"}  # html: a browser
FORMATS = JSON_TYPES | {"json"}
ONLY = "This server answers in JSON or XML of FHIR 4.0."


def require_json_accepted(request: Request) -> None:
    """Raise NotAcceptable where the client wants another form; `_format` beats Accept."""
    chosen = request.args.get("_format") if request.query_string else None
    if chosen is not None:
        if not is_json_format(chosen):
            raise NotAcceptable(ONLY, expression="http._format")
    elif not accepts_json(request.headers.get("Accept", "")):
        raise NotAcceptable(ONLY, expression="http.Accept")


def is_json_format(chosen: str) -> bool:
    """`+` in a query may have been meant literally: `application/fhir json` is JSON too."""
    name, options = parse_options_header(chosen)
    return name.lower().replace(" ", "+") in FORMATS and is_r4(options)


@lru_cache(maxsize=256)
def accepts_json(accept: str) -> bool:
    return not accept.strip() or any(
        quality > 0 and name in ACCEPTED and is_r4(options)
        for name, options, quality in accepted_types(accept)
    )


@lru_cache(maxsize=256)
def prefers_fhir(accept: str) -> bool:
    """Is the FHIR form wanted of a Binary, rather than its bytes (binary.html#rest)?"""
    types = sorted(accepted_types(accept), key=lambda accepted: -accepted[2])
    return bool(types) and types[0][2] > 0 and types[0][0] in (FHIR_JSON, "application/fhir+xml")


def accepted_types(accept: str) -> list[tuple[str, dict[str, str], float]]:
    """Name, options and quality of each type in an Accept header."""
    parsed = parse_accept_header(accept, MIMEAccept)
    return [(*split_type(value), quality) for value, quality in parsed]


def split_type(value: str) -> tuple[str, dict[str, str]]:
    name, options = parse_options_header(value)
    return name.lower(), options


def is_r4(options: dict[str, str]) -> bool:
    return options.get("fhirversion", options.get("fhirVersion", "4.0")) == "4.0"


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
    if name not in JSON_TYPES or not is_r4(options):
        raise UnsupportedMediaType(
            f"The body must be {FHIR_JSON} or application/fhir+xml of FHIR 4.0.",
            expression="http.Content-Type",
        )
    if options.get("charset", "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("FHIR JSON is UTF-8.", expression="http.Content-Type")
