"""Whose access tokens count here, and what a system client may see: of the site file.

A trusted issuer is the authorization server of an EHR. Its tokens are JWTs, checked by its keys, or
opaque, about which it is asked (RFC 7662).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from imaging_fhir.errors import InvalidSetting

T = TypeVar("T")
ALGORITHMS = frozenset(  # asymmetric ones alone: of others the key would have to be shared
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} | {"ES256", "ES384", "ES512", "Ed25519"}
)
USUAL_ALGORITHMS = ("RS256", "RS384", "PS256", "PS384", "ES256", "ES384")
ROLES = frozenset({"clinician", "uploader", "administrator", "patient"})
LARGEST_SKEW = 300  # seconds
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
RESOURCE_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """One `[[token_issuers]]`. Claims are named by a path, such as `realm_access.roles`."""

    issuer: str  # as its tokens have it in `iss`
    jwks_url: str = ""  # else the `jwks_uri` of its discovery document
    jwks_file: str = ""  # else keys that are here already
    introspection_url: str = ""  # where it is asked about every token, in place of keys
    client_id: str = ""  # ours there
    client_secret_file: str = ""
    client_secret_variable: str = ""  # of the environment
    audiences: tuple[str, ...] = ()  # none: our FHIR base
    algorithms: tuple[str, ...] = USUAL_ALGORITHMS
    requires_at_jwt: bool = False  # only `typ: at+jwt` (RFC 9068)
    clock_skew: int = 60  # seconds
    discovery_url: str = ""  # of its document, where that is not in its usual place
    hosts: tuple[str, ...] = ()  # of its discovery document, though they are not public
    fhir_bases: tuple[str, ...] = ()  # whose Practitioners and Patients are those here
    patient_claim: str = "patient"
    encounter_claim: str = "encounter"
    fhir_user_claim: str = "fhirUser"
    roles_claim: str = "roles"
    roles: Mapping[str, str] = field(default_factory=dict)  # theirs -> ours
    default_roles: tuple[str, ...] = ()

    @property
    def configured_hosts(self) -> frozenset[str]:
        """Named by the operator, so they may be anywhere."""
        urls = (self.issuer, self.jwks_url, self.introspection_url, self.discovery_url)
        found = {urlsplit(url).hostname or "" for url in urls}
        return frozenset(found | {host.lower() for host in self.hosts}) - {""}


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemClient:
    """One `[[system_clients]]`: what a client with `system/` scopes was let in for."""

    client_id: str
    issuer: str = ""  # none: our own authorization server
    everything: bool = False
    patients: tuple[str, ...] = ()  # ids of Patients: all that is theirs
    studies: tuple[str, ...] = ()  # Study Instance UIDs


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    issuers: tuple[TrustedIssuer, ...] = ()
    system_clients: tuple[SystemClient, ...] = ()

    @classmethod
    def from_description(cls, described: Mapping[str, Any]) -> "Trust":
        """Of the site file; raise InvalidSetting."""
        issuers = tuple(
            table(TrustedIssuer, one, "token_issuers") for one in described.get("token_issuers", ())
        )
        clients = tuple(
            table(SystemClient, one, "system_clients")
            for one in described.get("system_clients", ())
        )
        require_distinct("token_issuers", (one.issuer for one in issuers))
        require_distinct("system_clients", (f"{one.issuer} {one.client_id}" for one in clients))
        for issuer in issuers:
            require_sound(issuer)
        for client in clients:
            if not (client.everything or client.patients or client.studies):
                raise InvalidSetting(
                    f"system_clients: {client.client_id!r} has neither patients nor studies, and "
                    "not everything = true."
                )
        return cls(issuers=issuers, system_clients=clients)

    def system_client(self, issuer: str, client_id: str) -> SystemClient | None:
        for client in self.system_clients:
            if (client.issuer, client.client_id) == (issuer, client_id):
                return client
        return None


def table(kind: type[T], described: Any, name: str) -> T:
    """A dataclass of a table of the file; raise InvalidSetting."""
    unknown = set(described) - {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise InvalidSetting(f"{name}: there is no {', '.join(sorted(unknown))}.")
    try:
        return msgspec.convert(described, kind)
    except msgspec.ValidationError as error:
        raise InvalidSetting(f"{name}: {error}.") from error


def require_distinct(name: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise InvalidSetting(f"{name}: {value.strip()!r} is there twice.")
        seen.add(value)


def require_sound(issuer: TrustedIssuer) -> None:
    """What an entry says makes sense together; raise InvalidSetting."""
    name = f"token_issuers: {issuer.issuer!r}"
    urls = (issuer.jwks_url, issuer.introspection_url, issuer.discovery_url)
    for url in (issuer.issuer, *filter(None, urls)):
        require_url(name, url)
    if sum(map(bool, (issuer.jwks_url, issuer.jwks_file, issuer.introspection_url))) > 1:
        raise InvalidSetting(f"{name} has more than one of jwks_url, jwks_file, introspection_url.")
    unknown = sorted(set(issuer.algorithms) - ALGORITHMS)
    if unknown or not issuer.algorithms:
        known = ", ".join(sorted(ALGORITHMS))
        raise InvalidSetting(f"{name} has algorithms {unknown or 'none'}: of {known}.")
    strange = sorted({*issuer.roles.values(), *issuer.default_roles} - ROLES)
    if strange:
        raise InvalidSetting(f"{name} has roles {strange}: of {', '.join(sorted(ROLES))}.")
    if not 0 <= issuer.clock_skew <= LARGEST_SKEW:
        raise InvalidSetting(f"{name}: clock_skew is between 0 and {LARGEST_SKEW} seconds.")
    has_secret = bool(issuer.client_secret_file) != bool(issuer.client_secret_variable)
    if issuer.introspection_url and not (issuer.client_id and has_secret):
        raise InvalidSetting(
            f"{name}: introspection_url needs client_id, and client_secret_file or "
            "client_secret_variable."
        )


def require_url(name: str, url: str) -> None:
    """https, or http on loopback: keys that anybody may change on their way prove nothing."""
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_safe or not parts.hostname or parts.fragment or parts.username or parts.query:
        raise InvalidSetting(f"{name}: {url!r} is no https address.")
