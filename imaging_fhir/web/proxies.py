"""Whose request a proxy passes on: the client's address, from listed proxies alone.

One header is read, the one that the site's proxies write: who writes one may pass on the other as
the client sent it. Of its addresses (RFC 7239 5.2) the last ones are the proxies' own words; the
first that is no listed proxy is the client. Scheme and host are read from no header: addresses are
made of the public address, and `Host` has to be one of ours.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from werkzeug.http import parse_list_header, parse_options_header

from imaging_fhir.settings import Settings
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

Networks = tuple[IPv4Network | IPv6Network, ...]
UNKNOWN = ""  # as the address of a client that its proxy does not name


class Proxies:
    def __init__(self, application: Application, settings: Settings) -> None:
        self.application = application
        self.trusted: Networks = settings.proxy_networks
        self.variable = f"HTTP_{settings.proxy_header.upper().replace('-', '_')}"

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        said = environ.get(self.variable)
        if said is not None:
            peer = environ.get("REMOTE_ADDR", UNKNOWN)
            environ["REMOTE_ADDR"] = client_of(peer, self.variable, said, self.trusted)
        return self.application(environ, start_response)


def behind_proxies(application: Application, settings: Settings) -> Application:
    """The application itself where no proxy is listed."""
    return Proxies(application, settings) if settings.proxy_networks else application


@lru_cache(maxsize=1024)
def client_of(peer: str, variable: str, said: str, trusted: Networks) -> str:
    """The address that the listed proxies vouch for; the peer's, where it is none of them."""
    told = forwarded(said) if variable == "HTTP_FORWARDED" else said.split(",")
    client = peer
    for node in reversed(told):
        if not is_within(client, trusted):
            return client
        client = address_of(node)
    return client


def forwarded(said: str) -> list[str]:
    """What each `for` of RFC 7239 says; nothing, where an element has none.

    A quotation mark of the client's, or a comma between two, could hide or make elements: of a
    header that can be read in two ways nothing is believed.
    """
    elements = parse_list_header(said)
    if len(elements) != said.count(",") + 1:
        return [UNKNOWN]
    return [parse_options_header(f"_;{element}")[1].get("for", UNKNOWN) for element in elements]


def address_of(node: str) -> str:
    """Of an address with or without a port; unknown for all else."""
    written = node.strip().strip('"')
    try:
        return plain(written)
    except ValueError:
        pass
    try:
        return plain(urlsplit(f"//{written}").hostname or UNKNOWN)
    except ValueError:
        return UNKNOWN


def plain(text: str) -> str:
    """Raise ValueError."""
    address = ip_address(text)
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(inner or address)


def is_within(text: str, networks: Networks) -> bool:
    try:
        address = ip_address(plain(text))
    except ValueError:
        return False
    return any(address in network for network in networks)
