"""Who may do what: every door asks this one policy, by name or by filter in the query.

Without authentication the port is the boundary (design: loopback only), and what is left to
defend against is a web page in a browser on this machine: a page of another site may neither
reach us under a name of its own (DNS rebinding) nor have the browser write for it.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from imaging_fhir.errors import AccessDenied, InvalidSetting
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.search import Restrictions
from imaging_fhir.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessPolicy:
    def __init__(self, settings: Settings) -> None:
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
        own = {self.public_origin, f"http://{host.lower()}", f"https://{host.lower()}"}
        return origin.lower() not in own and not self.is_listed(origin)

    def is_listed(self, origin: str) -> bool:
        """May pages of this origin read and write? A page without an origin is `null`."""
        return origin.lower() in self.listed_origins or "*" in self.listed_origins

    def require(self, caller: Caller, interaction: str, resource_type: str) -> None:
        """May the caller do this at all? Raise AccessDenied. Open: whoever was admitted may."""

    def may(self, caller: Caller, interaction: str, resource_type: str) -> bool:
        try:
            self.require(caller, interaction, resource_type)
        except AccessDenied:
            return False
        return True

    def require_owner(self, caller: Caller, owner: Caller) -> None:
        """May the caller see or give up what the owner asked to be answered later?

        Raise AccessDenied. Open: whoever knows the address, which cannot be guessed, may.
        """

    def restrictions(self, caller: Caller) -> Restrictions:
        """What a resource must fulfil to be seen by the caller, in every query. Open: nothing."""
        return {}


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
