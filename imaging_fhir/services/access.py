"""Who may do what: every door asks this one policy, by name or by filter in the query.

Without authentication the port is the boundary (design: loopback only), and what is left to
defend against is a web page in a browser on this machine: a page of another site may neither
reach us under a name of its own (DNS rebinding) nor have the browser write for it.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from imaging_fhir.errors import AccessDenied, InvalidSetting, Unauthenticated
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.search import Query, Restrictions
from imaging_fhir.services.grants import (
    DOCUMENT,
    LETTERS,
    PATIENT,
    STUDY,
    Grants,
    grants_of,
    patients_named,
    restrictions_of,
)
from imaging_fhir.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


RIGHTS = {"read-original": "ru"}  # the letters of the type, all of them without a limit


class AccessPolicy:
    """`person` finds the ids of all Patients who are the same person as the one of an id."""

    def __init__(
        self,
        settings: Settings,
        person: Callable[[str], frozenset[str]] | None = None,
        app_origins: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        self.asks_nobody = settings.auth != "smart"
        self.person = person or alone
        self.app_origins = app_origins  # of the pages of registered apps
        self.beyond_loopback = not is_loopback(settings.host)
        self.public_origin = origin_of(settings.public_address)
        self.listed_origins = settings.cors_origin_list
        self.names = LOOPBACK_NAMES | {
            settings.host.lower(),
            urlsplit(settings.public_address).hostname or "",
            *(name.strip().lower() for name in settings.allowed_hosts.split(",")),
        } - {""}

    def admit(self, method: str, host: str, origin: str | None) -> None:
        """Let a request of any kind in; raise AccessDenied."""
        if not self.admits(host):
            raise AccessDenied("The Host header names no host that this server answers for.")
        if origin is not None and method not in SAFE_METHODS and self.is_foreign(origin, host):
            raise AccessDenied("A page of another origin may not write here.")

    def admits(self, host: str) -> bool:
        """Does the Host header name us?"""
        return self.is_ours(host_name(host))

    def is_ours(self, name: str) -> bool:
        """An address as such cannot be rebound, so beyond loopback each of ours will do."""
        return name in self.names or (self.beyond_loopback and is_address(name))

    def is_foreign(self, origin: str, host: str) -> bool:
        return not self.is_own(origin, host) and not self.is_listed(origin)

    def is_own(self, origin: str, host: str) -> bool:
        own = {self.public_origin, f"http://{host.lower()}", f"https://{host.lower()}"}
        return origin.lower() in own

    def is_listed(self, origin: str) -> bool:
        """May pages of this origin read and write? A page without an origin is `null`."""
        if origin.lower() in self.listed_origins or "*" in self.listed_origins:
            return True
        return self.app_origins is not None and origin.lower() in self.app_origins()

    def is_open(self, caller: Caller) -> bool:
        """Is nothing closed to the caller?"""
        return self.asks_nobody or caller.internal

    def grants(self, caller: Caller) -> Grants:
        """Whom the token is about is looked up each time: a merge counts from the next request."""
        person = self.person(caller.patient) if caller.patient else frozenset[str]()
        return grants_of(caller, person)

    def require(self, caller: Caller, interaction: str, resource_type: str) -> None:
        """May the caller do this at all, with any resource of the type?

        Raise Unauthenticated, AccessDenied. Without authentication whoever was admitted may.
        """
        if self.is_open(caller):
            return
        require_known(caller)
        letter = LETTERS.get(interaction)
        if letter is None:
            self.require_right(caller, interaction, resource_type)
        elif not resource_type:  # of the system: what is found is told from each type
            if not any(letter in scope.permissions for scope in caller.scopes):
                raise AccessDenied(f"The access token does not allow {interaction}.")
        elif not as_named(caller).granted(resource_type, letter):
            raise AccessDenied(f"The access token does not allow {interaction} of {resource_type}.")

    def require_right(self, caller: Caller, right: str, resource_type: str) -> None:
        """One of the few that SMART has no letter for: raise AccessDenied."""
        letters = RIGHTS.get(right)
        if letters is None or not self.is_whole(caller, resource_type, letters):
            raise AccessDenied(f"The access token does not allow {right} of {resource_type}.")

    def require_whole(self, caller: Caller, letters: str, *resource_types: str) -> None:
        """For what is shown or changed without a filter: raise Unauthenticated, AccessDenied."""
        if self.is_open(caller):
            return
        require_known(caller)
        for one in resource_types:
            if not self.is_whole(caller, one, letters):
                raise AccessDenied(f"The access token does not open every {one}, which this needs.")

    def is_whole(self, caller: Caller, resource_type: str, letters: str) -> bool:
        """Is every resource of the type open to the caller, for each of the letters?"""
        if self.is_open(caller):
            return True
        return all(resource_type not in self.restrictions(caller, letter) for letter in letters)

    def may(self, caller: Caller, interaction: str, resource_type: str) -> bool:
        try:
            self.require(caller, interaction, resource_type)
        except (AccessDenied, Unauthenticated):
            return False
        return True

    def require_owner(self, caller: Caller, owner: Caller) -> None:
        """May the caller see or give up what the owner asked to be answered later?

        Raise AccessDenied. Without authentication whoever knows the address, which cannot be
        guessed, may.
        """
        if self.is_open(caller):
            return
        require_known(caller)
        if identity(caller) != identity(owner):
            raise AccessDenied("Another access token asked for this.")

    def patient_to_file(self, caller: Caller, named: str | None) -> str | None:
        """As `Patient/id`, whose images those that the caller sends are said to be; `named` is
        what the caller says.

        Raise AccessDenied for another patient than the token's.
        """
        if self.is_whole(caller, STUDY, "c") and self.is_whole(caller, DOCUMENT, "c"):
            return named
        if not caller.patient:
            raise AccessDenied("The access token allows to create only some images.")
        own = f"{PATIENT}/{caller.patient}"
        type_, _, id_ = (named or own).rpartition("/")
        if type_ != PATIENT or id_ not in self.grants(caller).person:
            raise AccessDenied("The access token is for another patient.")
        return own

    def restrictions(self, caller: Caller, letters: str = "s") -> Restrictions:
        """What a resource must fulfil to be open to the caller, in every query, by one of the
        letters. Without authentication: nothing."""
        if self.is_open(caller):
            return {}
        return restrictions_of(self.grants(caller), letters)

    def require_patient(self, caller: Caller, patient_id: str, letters: str) -> None:
        """That of the token, where it is about one; raise AccessDenied whether or not there is
        another of that id."""
        if not self.is_open(caller):
            self.require_patients(caller, {patient_id}, letters)

    def require_own_patients(self, caller: Caller, query: Query) -> None:
        """The same of those that a search names."""
        if not self.is_open(caller) and (named := set(patients_named(query))):
            self.require_patients(caller, named, "s", query.resource_type)

    def require_patients(
        self, caller: Caller, named: set[str], letters: str, resource_type: str = PATIENT
    ) -> None:
        is_of_one = bool(caller.patient) and is_of_one_patient(caller, resource_type, letters)
        if is_of_one and not named <= self.grants(caller).person:
            raise AccessDenied("The access token is for another patient.")


def as_named(caller: Caller) -> Grants:
    """As far as it can be told without looking up whom a merge has made one person."""
    return grants_of(caller, frozenset({caller.patient} - {""}))


def require_known(caller: Caller) -> None:
    if caller.is_anonymous:
        raise Unauthenticated("Sign in first: there is no access token.")


def identity(caller: Caller) -> tuple[object, ...]:
    """Who it is; what an answer may hold depends on the scopes and the patient too."""
    return (
        caller.issuer,
        caller.subject,
        caller.client_id,
        caller.patient,
        frozenset(caller.scopes),
        caller.patients,
        caller.studies,
    )


def is_of_one_patient(caller: Caller, resource_type: str, letters: str) -> bool:
    """Do no scopes but those of `patient/` open the type?"""
    return all(
        scope.context == "patient"
        for scope in caller.scopes
        if scope.resource_type in (resource_type, "*") and scope.permissions.intersection(letters)
    )


def alone(patient_id: str) -> frozenset[str]:
    """Of somebody who was never merged."""
    return frozenset({patient_id})


def require_safe_address(settings: Settings) -> None:
    """Without authentication only loopback is listened on; raise InvalidSetting.

    Client certificates that have to be valid are an authentication; AE titles are none.
    """
    if settings.auth != "none" or settings.allow_open:
        return
    if (
        settings.dimse_port
        and not settings.dimse_tls_client_ca_file
        and not is_loopback(settings.dimse_address)
    ):
        raise InvalidSetting(
            "Without client certificates C-STORE is taken on loopback only, not on "
            f"{settings.dimse_address}: set IMAGING_FHIR_DIMSE_TLS_CLIENT_CA_FILE, or "
            "IMAGING_FHIR_ALLOW_OPEN=yes if everyone who reaches the port may send."
        )
    if not is_loopback(settings.host):
        raise InvalidSetting(
            f"Without authentication the server listens on loopback only, not on {settings.host}: "
            "set IMAGING_FHIR_ALLOW_OPEN=yes if everyone who reaches the port may see everything."
        )


def is_loopback(host: str) -> bool:
    if not is_address(host):
        return host.lower() == "localhost"
    return ip_address(host).is_loopback


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty when it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()
