"""Clients of the authorization server as they are registered (RFC 7591), and what makes sense."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.authorization import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    REFRESH_TOKEN,
    Client,
)
from imaging_fhir.smart.access_token import public_keys
from imaging_fhir.smart.roles import OF_LAUNCH, words
from imaging_fhir.smart.scope import parse_scope

AUTH_METHODS = ("none", "client_secret_basic", "private_key_jwt")
GRANT_TYPES = (AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS)
CLIENT_ID = re.compile(r"[A-Za-z0-9._\-]{1,100}", re.ASCII)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST = 2000
DANGEROUS = frozenset({"javascript", "data", "vbscript", "file", "blob", "about", "filesystem"})


def require_valid(client: Client) -> None:
    """Raise InvalidRequest."""
    if not CLIENT_ID.fullmatch(client.id):
        raise InvalidRequest("client_id has other characters than letters, digits and . _ -.")
    if not 0 < len(client.name) <= 100 or not client.name.isprintable():
        raise InvalidRequest("client_name is a short text.")
    if client.auth_method not in AUTH_METHODS:
        raise InvalidRequest(f"token_endpoint_auth_method is one of {', '.join(AUTH_METHODS)}.")
    if not client.grant_types or not set(client.grant_types) <= set(GRANT_TYPES):
        raise InvalidRequest(f"grant_types are of {', '.join(GRANT_TYPES)}.")
    require_keys(client)
    require_addresses(client)
    for scope in words(client.scope):
        if scope not in OF_LAUNCH and parse_scope(scope) is None:
            raise InvalidRequest("A scope of the client is none that is known here.")
    if CLIENT_CREDENTIALS in client.grant_types and client.auth_method != "private_key_jwt":
        raise InvalidRequest("A back end (client_credentials) shows itself by private_key_jwt.")


def require_keys(client: Client) -> None:
    has_key = client.auth_method == "private_key_jwt"
    given = (client.jwks is not None) + bool(client.jwks_uri)
    if given != has_key:
        raise InvalidRequest("private_key_jwt goes with either jwks or jwks_uri.")
    if client.jwks is not None and not public_keys(client.jwks):
        raise InvalidRequest("jwks has no public key that signatures can be checked with.")
    if client.jwks_uri and not is_web(client.jwks_uri):
        raise InvalidRequest("jwks_uri is an address of https, or of http on this machine.")


def require_addresses(client: Client) -> None:
    if bool(client.redirect_uris) != (AUTHORIZATION_CODE in client.grant_types):
        raise InvalidRequest("authorization_code goes with redirect_uris.")
    if not all(is_redirect(uri) for uri in client.redirect_uris):
        raise InvalidRequest(
            "redirect_uris are addresses of https, of http on this machine, or of an app's own "
            "scheme such as com.example.app:/callback, without a fragment."
        )
    if client.launch_uri and not is_web(client.launch_uri):
        raise InvalidRequest("launch_uri is an address of https, or of http on this machine.")


def split(uri: str) -> SplitResult | None:
    is_plain = uri.isascii() and uri.isprintable() and not set(uri) & set(' \\"<>^`{|}')
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    is_known = is_plain and len(uri) <= LONGEST and "#" not in uri and parts.username is None
    return parts if is_known else None


def is_web(uri: str) -> bool:
    parts = split(uri)
    if parts is None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def is_redirect(uri: str) -> bool:
    """Of the web, or of a scheme that is a reversed name (RFC 8252 7.1)."""
    parts = split(uri)
    if parts is None:
        return False
    return is_web(uri) or ("." in parts.scheme and parts.scheme not in DANGEROUS)


def origin(uri: str) -> str:
    """Of a page at the address; of an app's own scheme the scheme."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc}".lower()
    return f"{parts.scheme}:"


def origins(client: Client) -> frozenset[str]:
    """Of the pages that may call from a browser."""
    found = (*client.redirect_uris, *filter(None, (client.launch_uri,)))
    return frozenset(origin(uri) for uri in found if uri.startswith(("http://", "https://")))


def metadata_of(client: Client) -> dict[str, Any]:
    """As RFC 7591 2 names it, but the id."""
    named = {
        "client_name": client.name,
        "token_endpoint_auth_method": client.auth_method,
        "grant_types": list(client.grant_types),
        "response_types": ["code"] if client.redirect_uris else [],
        "redirect_uris": list(client.redirect_uris),
        "scope": client.scope,
        "launch_uri": client.launch_uri,
        "jwks_uri": client.jwks_uri,
        "jwks": client.jwks,
    }
    return {name: value for name, value in named.items() if value not in ("", None)}


def client_of_metadata(
    client_id: str, described: Mapping[str, Any], secret: bytes | None = None
) -> Client:
    """Not yet looked at as a whole; raise InvalidRequest for what is of a wrong type."""
    return Client(
        id=client_id,
        name=text(described, "client_name", client_id),
        auth_method=text(described, "token_endpoint_auth_method", "client_secret_basic"),
        grant_types=texts(described, "grant_types", (AUTHORIZATION_CODE,)),
        redirect_uris=texts(described, "redirect_uris", ()),
        scope=text(described, "scope", ""),
        launch_uri=text(described, "launch_uri", ""),
        jwks_uri=text(described, "jwks_uri", ""),
        jwks=mapping(described, "jwks"),
        secret=secret,
    )


def text(described: Mapping[str, Any], name: str, default: str) -> str:
    value = described.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST * 10:
        raise InvalidRequest(f"{name} is no text.")
    return value


def texts(described: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = described.get(name, default)
    if not isinstance(value, list | tuple) or len(value) > 50:
        raise InvalidRequest(f"{name} is no list of texts.")
    if not all(isinstance(one, str) for one in value):
        raise InvalidRequest(f"{name} is no list of texts.")
    return tuple(value)


def mapping(described: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = described.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest(f"{name} is no object.")
    return value
