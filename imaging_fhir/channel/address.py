"""Where notifications may go: a subscriber's address must not lead into the house itself.

A request that this server makes for somebody reaches what they cannot reach: itself, its
neighbours, the cloud's metadata service. So only public addresses are connected to, and others
where a setting names them. Checked is the address that is connected to, not the name: a name may
mean something else a moment later.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from imaging_fhir.errors import InvalidSetting

Address = IPv4Address | IPv6Address
PORTS = {"http": 80, "https": 443}
NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's host of every machine
        "192.0.0.0/24",  # of protocols (RFC 6890); also Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4, deprecated
        "64:ff9b:1::/48",  # translation to local networks (RFC 8215)
        "fec0::/10",  # site-local, deprecated
    )
)
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
COMPATIBLE = IPv6Network("::/96")  # RFC 4291 2.5.5.1


class AddressRefused(Exception):
    """Nothing is sent there, now or later."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart."""

    scheme: str
    host: str  # without brackets
    port: int
    path: str  # with the query

    @property
    def authority(self) -> str:
        """As the Host header has it (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Guard:
    """`listed` are names, addresses and networks that may be sent to though they are not public."""

    listed: frozenset[str] = frozenset()
    allow_http: bool = False

    @classmethod
    def of(cls, hosts: str, *, allow_http: bool) -> "Guard":
        """Of a list separated by commas; raise InvalidSetting."""
        listed = frozenset(one.strip().lower() for one in hosts.split(",") if one.strip())
        for one in listed:
            if "/" in one or one.count(":") > 1:
                require_network(one)
        return cls(listed, allow_http)

    def target(self, url: str) -> Target:
        """The URL taken apart; raise AddressRefused where it can be told without asking DNS."""
        parts = split(url)
        schemes = PORTS if self.allow_http else {"https": 443}
        if parts.scheme not in schemes:
            raise AddressRefused(f"The address must begin with {'://, '.join(schemes)}://.")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise AddressRefused("The address must have no user, password or fragment.")
        host = (parts.hostname or "").rstrip(".")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = Target(parts.scheme, host, parts.port or PORTS[parts.scheme], path)
        known = literal(host)
        is_local = host == "localhost" or host.endswith(".localhost")
        if host not in self.listed and (is_local or (known is not None and not self.allows(known))):
            raise AddressRefused(NO_ENTRY)
        return target

    def resolve(self, target: Target) -> list[str]:
        """The addresses that may be connected to; raise AddressRefused, OSError.

        One that may not be is enough to refuse them all.
        """
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if target.host not in self.listed:
            for text in addresses:
                if not self.allows(ip_address(text.partition("%")[0])):
                    raise AddressRefused(NO_ENTRY)
        return addresses

    def allows(self, address: Address) -> bool:
        return is_public(address) or any(
            address in ip_network(one, strict=False) for one in self.listed if is_network(one)
        )


NO_ENTRY = (
    "The address is none that notifications may go to: it is not public, and not listed in "
    "IMAGING_FHIR_SUBSCRIPTION_HOSTS."
)


def split(url: str) -> SplitResult:
    """Raise AddressRefused for what two readers could read differently."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (it is only read here, and checked by that)
    except ValueError as error:
        raise AddressRefused("The address is no URL.") from error
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not plain or not parts.hostname or "%" in parts.netloc:
        raise AddressRefused("The address is no URL with a host.")
    return parts


def literal(host: str) -> Address | None:
    """The address that a host is written as, in the forms of inet_aton(3) too; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = embedded(address)
        if inner is not None:
            return is_public(inner)
    within = any(address in network for network in NOT_PUBLIC)
    return address.is_global and not address.is_multicast and not within


def embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that it stands for."""
    if address in NAT64 or address in COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def require_network(text: str) -> None:
    if not is_network(text):
        raise InvalidSetting(
            f"IMAGING_FHIR_SUBSCRIPTION_HOSTS: {text!r} is no name, address or network."
        )
