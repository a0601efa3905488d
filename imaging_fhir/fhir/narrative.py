"""Narrative.div: the XHTML that R4 allows (narrative.html: txt-1, txt-2)."""

import re
from html.entities import name2codepoint
from xml.parsers import expat

TAGS = frozenset(
    """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2
    h3 h4 h5 h6 hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th
    thead tr tt ul var
    """.split()  # noqa: SIM905
)
ATTRIBUTES = frozenset(
    """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign
    char charoff charset cite class colspan compact coords dir frame headers height href hreflang
    hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span src start style
    summary tabindex title type valign value vspace width xml:lang xmlns
    """.split()  # noqa: SIM905
)
SCHEMES = ("http:", "https:", "mailto:", "tel:", "data:image/", "#")
XHTML = "http://www.w3.org/1999/xhtml"
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_XML_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})


def xhtml_fault(text: str) -> str | None:
    """What is wrong with a div, or None; scripts, forms and foreign markup are refused."""
    return _Reader().fault_of(as_xml(text))


def as_xml(text: str) -> str:
    """The same div, with no entity in it that only HTML knows."""
    return _ENTITY.sub(_numeric, text)


def _numeric(match: re.Match[str]) -> str:
    """XHTML's entities as XML knows them: `&nbsp;` as `&#160;`."""
    name = match[1]
    known = name not in _XML_ENTITIES and name in name2codepoint
    return f"&#{name2codepoint[name]};" if known else match[0]


class _Refused(Exception):
    """The first fault ends the reading."""


class _Reader:
    """Without a document type there are no entities to expand: expat is safe with any text."""

    def __init__(self) -> None:
        self.depth = 0
        self.has_content = False
        parser = self.parser = expat.ParserCreate()
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        for event in (
            "StartDoctypeDeclHandler",
            "ProcessingInstructionHandler",
            "XmlDeclHandler",
            "StartCdataSectionHandler",
        ):
            setattr(parser, event, self.declaration)

    def fault_of(self, text: str) -> str | None:
        try:
            self.parser.Parse(text, True)
        except expat.ExpatError:
            return "is not well-formed XHTML"
        except _Refused as refused:
            return str(refused)
        return None if self.has_content else "has no content"

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and (tag != "div" or attributes.get("xmlns") != XHTML):
            raise _Refused(f'must be <div xmlns="{XHTML}">')
        if tag not in TAGS:
            raise _Refused("has an element that R4 does not allow")
        for name, value in attributes.items():
            check_attribute(name, value)
        self.depth += 1
        self.has_content = self.has_content or tag == "img"

    def end(self, _tag: str) -> None:
        self.depth -= 1

    def characters(self, text: str) -> None:
        self.has_content = self.has_content or not text.isspace()

    def declaration(self, *_: object) -> None:
        raise _Refused("must have no declaration, processing instruction or CDATA section")


def check_attribute(name: str, value: str) -> None:
    if name not in ATTRIBUTES or (name == "xmlns" and value != XHTML):
        raise _Refused("has an attribute that R4 does not allow")
    address = "".join(value.split()).lower()
    if name in ("href", "src") and ":" in address and not address.startswith(SCHEMES):
        raise _Refused("has an address that a browser would run or load")
