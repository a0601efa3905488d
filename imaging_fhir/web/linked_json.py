"""JSON as people read it: indented, and what is an address can be followed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from imaging_fhir.fhir.resource_names import RESOURCE_NAMES

MOST_CHARACTERS = 400_000
STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?')
RELATIVE = re.compile(
    rf"(?:{'|'.join(RESOURCE_NAMES)})/[A-Za-z0-9\-.]{{1,64}}(?:/_history/[A-Za-z0-9\-.]{{1,64}})?"
)
WITHIN = Markup('"<a href="{}">{}</a>"')
ABROAD = Markup('"<a href="{}" rel="noreferrer noopener">{}</a>"')
OF_ADDRESSES = frozenset({"reference", "url", "fullUrl", "location", "address", "valueUri"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Those of this site, whose public FHIR base is `base`, as a browser follows them here."""

    base: str

    @property
    def root(self) -> str:
        return self.base.removesuffix("/fhir")

    @property
    def path(self) -> str:
        """Of the FHIR base, without its host: the reader may have come by another name."""
        return urlsplit(self.base).path

    def link(self, address: str) -> str:
        """Where it leads, or nothing: it may be a fragment, a urn, or no address at all."""
        if RELATIVE.fullmatch(address):
            return f"{self.path}/{address}"
        if address == self.root or address.startswith((f"{self.root}/", f"{self.base}?")):
            path = urlsplit(self.root).path + address.removeprefix(self.root)
            return "" if path.startswith("//") else path  # it would lead to another host
        return address if address.startswith(("https://", "http://")) else ""

    def is_ours(self, address: str) -> bool:
        return address.startswith(f"{self.root}/")

    def short(self, address: str) -> str:
        return address.removeprefix(f"{self.base}/")


def linked_json(text: str, addresses: Addresses) -> tuple[Markup, bool]:
    """Of indented JSON, and whether it was too long to be shown whole."""
    is_cut = len(text) > MOST_CHARACTERS
    if is_cut:
        text = text[: text.rfind("\n", 0, MOST_CHARACTERS)]
    return Markup("").join(pieces(text, addresses)), is_cut


def pieces(text: str, addresses: Addresses) -> Iterator[Markup]:
    """A string that a colon follows is a name; it counts for the values up to the next one."""
    end, name = 0, ""
    for found in STRING.finditer(text):
        yield escape(text[end : found.start()])
        end = found.end()
        literal, colon = found.groups()
        if colon:
            name = literal[1:-1]
            yield Markup('<span class="name">{}</span>{}').format(literal, colon)
        else:
            yield value(literal, name, addresses)
    yield escape(text[end:])


def value(literal: str, name: str, addresses: Addresses) -> Markup:
    address = str(json.loads(literal))
    href = addresses.link(address)
    if not href or not (name in OF_ADDRESSES or addresses.is_ours(address)):
        return escape(literal)
    return (WITHIN if href.startswith("/") else ABROAD).format(href, literal[1:-1])
