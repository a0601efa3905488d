"""SMART's scopes (https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html).

What cannot be understood to the letter grants nothing: permissions in another order, a parameter
that is not known here, a modifier, a chain. A scope is never widened by leaving a part of it out.
"""

import re
from functools import lru_cache
from typing import cast
from urllib.parse import quote, unquote

from imaging_fhir.model.caller import Context, Scope

URI = "http://smarthealthit.org/fhir/scopes/"
LETTERS = "cruds"
VERSION_1 = {"read": "rs", "write": "cud", "*": LETTERS}
PARAMETERS = frozenset({"category", "type", "status", "modality", "_security"})
LARGEST = 64 * 1024  # characters of all scopes of a token
MOST = 500
SCOPE = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{1,63})"
    r"\.(?P<permissions>read|write|\*|(?=[cruds])c?r?u?d?s?)(?:\?(?P<query>.+))?",
    re.ASCII,
)
PARAMETER = re.compile(r"([A-Za-z_][A-Za-z0-9_\-]*)=([^&=]+)", re.ASCII)


@lru_cache(maxsize=1024)
def parse_scopes(text: str) -> tuple[Scope, ...]:
    """Those that open resources, in the order of the text; others (`openid`, `launch`) are not."""
    if len(text) > LARGEST:
        return ()
    found = [scope for scope in map(parse_scope, text.split(" ")[:MOST]) if scope is not None]
    return tuple(dict.fromkeys(found))


def parse_scope(text: str) -> Scope | None:
    """None for what is no scope of resources, or one that is not understood."""
    match = SCOPE.fullmatch(text.removeprefix(URI))
    if match is None:
        return None
    parameters = parse_query(match["query"])
    if parameters is None:
        return None
    permissions = VERSION_1.get(match["permissions"], match["permissions"])
    return Scope(
        context=cast(Context, match["context"]),
        resource_type=match["type"],
        permissions=frozenset(permissions),
        parameters=parameters,
    )


def parse_query(query: str | None) -> tuple[tuple[str, str], ...] | None:
    """The parameters, decoded; None where one is not known here, or its value cannot be read."""
    if query is None:
        return ()
    matches = [PARAMETER.fullmatch(part) for part in query.split("&")]
    found = []
    for match in matches:
        if match is None or match[1] not in PARAMETERS:
            return None
        try:
            value = unquote(match[2], errors="strict")
        except UnicodeDecodeError:
            return None
        if not value.strip() or not value.isprintable():
            return None
        found.append((match[1], value))
    return tuple(found)


def written(scope: Scope) -> str:
    """In the form of version 2."""
    permissions = "".join(letter for letter in LETTERS if letter in scope.permissions)
    query = "&".join(f"{name}={quote(value, safe='/:|,')}" for name, value in scope.parameters)
    text = f"{scope.context}/{scope.resource_type}.{permissions}"
    return f"{text}?{query}" if query else text
