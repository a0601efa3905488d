"""FHIR XML (https://hl7.org/fhir/R4/xml.html) from and to the JSON that is stored.

Both directions walk the definitions: what R4 calls an element, a list or a number is told by
the type, never by how a value looks.
"""

import codecs
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from itertools import zip_longest
from typing import Any

from lxml import etree

from imaging_fhir.errors import ImagingError, InvalidRequest, InvalidResource
from imaging_fhir.fhir.definitions import Element, TypeDefinition, definition
from imaging_fhir.fhir.faults import MAX_ISSUES
from imaging_fhir.fhir.narrative import XHTML, as_xml
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES, UNDEFINED
from imaging_fhir.fhir.validation import MAX_DEPTH
from imaging_fhir.model.codec import Resource, decode

FHIR = "http://hl7.org/fhir"
MAX_ELEMENTS = (
    2_000_000  # a tree in memory is many times its text: small elements are the dear ones
)
MOST_ATTRIBUTES = 50  # lxml reads them in the square of their number; XHTML knows as many
PIECE = 64 * 1024
_FHIR = f"{{{FHIR}}}"
_DIV = f"{{{XHTML}}}div"
_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_RESOURCES = frozenset(RESOURCE_NAMES) - frozenset(UNDEFINED)
_NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,99})(?:\.\d{1,99})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECLARATION = re.compile(
    rb"(?:\xef\xbb\xbf)?<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']"
)
_PLACE = re.compile(r",? line \d+, column \d+$")


@cache
def _attributes(type_name: str) -> frozenset[str]:
    """What XML writes as attributes, not as elements, of objects of that type."""
    if type_name in _RESOURCES:
        return frozenset()
    return frozenset({"id", "url"} if type_name == "Extension" else {"id"})


# JSON to XML


def to_xml(resource: Resource, *, is_pretty: bool = False) -> bytes:
    """The resource as an XML document; raise ImagingError where it is none of R4."""
    root = etree.Element(_FHIR + _name_of(resource), nsmap={None: FHIR})  # type: ignore[dict-item]
    _write_object(root, resource, _name_of(resource))
    if is_pretty:
        _indent(root, 0)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _name_of(resource: Resource) -> str:
    name = resource.get("resourceType")
    if name not in _RESOURCES:
        raise ImagingError("What is to be written as XML is no R4 resource.")
    return str(name)


def _write_object(parent: etree._Element, value: Resource, type_name: str) -> None:
    elements, attributes = definition(type_name).elements, _attributes(type_name)
    for name in _in_order(value, type_name):
        found = value.get(name)
        if name in attributes:
            parent.set(name, _text(found))
        elif elements[name].is_primitive:
            _write_primitives(parent, name, found, value.get(f"_{name}"))
        else:
            for one in _listed(found):
                _write_one(etree.SubElement(parent, _FHIR + name), one, elements[name].type)


@cache
def _positions(type_name: str) -> dict[str, int]:
    return {name: place for place, name in enumerate(definition(type_name).elements)}


def _in_order(value: Resource, type_name: str) -> list[str]:
    names = {name.removeprefix("_") for name in value} - {"resourceType"}
    positions = _positions(type_name)
    if not names <= positions.keys():
        raise ImagingError(f"A {type_name} to be written as XML has an element that R4 has not.")
    return sorted(names, key=positions.__getitem__)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _write_one(element: etree._Element, value: Resource, type_name: str) -> None:
    """An object; a resource inside another stands in an element of its own name."""
    if type_name != "Resource":
        _write_object(element, value, type_name)
    else:
        name = _name_of(value)
        _write_object(etree.SubElement(element, _FHIR + name), value, name)


def _write_primitives(parent: etree._Element, name: str, values: Any, extras: Any) -> None:
    """Values beside their ids and extensions; either may be missing (json.html#primitive)."""
    for value, extra in zip_longest(_listed(values), _listed(extras)):
        if name == "div":
            parent.append(_div(value))
            continue
        element = etree.SubElement(parent, _FHIR + name)
        if value is not None:
            element.set("value", _text(value))
        if extra:
            _write_object(element, extra, "Element")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _NOT_XML.sub("\ufffd", value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _div(text: str) -> etree._Element:
    return etree.fromstring(as_xml(text).encode(), _parser())


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
    )


def _indent(parent: etree._Element, level: int) -> None:
    """Line breaks between FHIR's elements; in a narrative they would show."""
    children = list(parent)
    if children:
        parent.text = _line(level + 1)
    for child in children:
        if str(child.tag).startswith(_FHIR):
            _indent(child, level + 1)
        child.tail = _line(level if child is children[-1] else level + 1)


def _line(level: int) -> str:
    return "\n" + "  " * level


# XML to JSON


def from_xml(body: bytes) -> Resource:
    """The resource in an XML document, whose values are still to be checked.

    Raise InvalidRequest for what is no XML, and InvalidResource, with the line of each fault, for
    elements and attributes that R4 does not have.
    """
    root = _parsed(body)
    reader = _Reader()
    resource = reader.resource(root, "", 0)
    if reader.faults:
        expression, message = reader.faults[0]
        raise InvalidResource(
            f"{expression}: {message}", expression=expression, issues=tuple(reader.faults)
        )
    return resource


def declared_encoding(body: bytes) -> str:
    """What a document says of its bytes, by a byte order mark or in its declaration."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:4]:
        return "utf-16"
    declared = _DECLARATION.match(body)
    return declared[1].decode() if declared else "utf-8"


def _parsed(body: bytes) -> etree._Element:
    """The root; nothing is expanded, loaded or fetched for it. Raise InvalidRequest."""
    if b"<!DOCTYPE" in body:
        raise InvalidRequest("FHIR XML must have no document type (DTD).")
    parser = etree.XMLPullParser(
        events=("start",),
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_pis=True,
        huge_tree=True,
    )
    try:
        _feed(parser, body)
        return parser.close()
    except etree.XMLSyntaxError as error:
        raise InvalidRequest(_syntax_fault(parser, error)) from error


def _syntax_fault(parser: Any, error: etree.XMLSyntaxError) -> str:
    """What is wrong and where; of an unknown entity only the log tells the place."""
    logged = [(found.line, found.column, found.message) for found in parser.feed_error_log]
    line, column, said = logged[0] if logged else (*error.position, error.msg or "")
    said = _PLACE.sub("", said.strip())
    return f"The XML does not parse at line {line}, column {column}: {said}."


def _feed(parser: Any, body: bytes) -> None:
    """In pieces, so that a document of too many elements is given up before it fills the memory."""
    count = 0
    for start in range(0, max(len(body), 1), PIECE):
        parser.feed(body[start : start + PIECE])
        count += sum(1 for _ in parser.read_events())
        if count > MAX_ELEMENTS:
            raise InvalidRequest(f"The XML has more than {MAX_ELEMENTS} elements.")


class _Reader:
    """One pass over a document; `faults` are FHIRPath expressions and what is wrong there."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []

    def fault(self, element: etree._Element, path: str, message: str) -> None:
        if len(self.faults) < MAX_ISSUES:
            self.faults.append((path, f"{message} (line {element.sourceline})"))

    def resource(self, element: etree._Element, path: str, depth: int) -> Resource:
        name = self.name(element, path or "Resource")
        if name not in _RESOURCES:
            self.fault(element, path or "Resource", "is of no R4 resource type")
            return {}
        content = self.object(element, definition(name), path or name, depth)
        return {"resourceType": name, **content}

    def name(self, element: etree._Element, path: str) -> str:
        """Its name, empty and a fault where it is not of FHIR's namespace."""
        tag = str(element.tag)
        if tag == _DIV:
            return "div"
        if not tag.startswith(_FHIR):
            self.fault(element, path, f"has an element that is not of the namespace {FHIR}")
            return ""
        return tag.removeprefix(_FHIR)

    def object(
        self, element: etree._Element, type_: TypeDefinition, path: str, depth: int
    ) -> Resource:
        if depth > MAX_DEPTH:
            self.fault(element, path, "is nested too deeply")
            return {}
        found = self.attributes(element, type_.name, path)
        counts: dict[str, int] = {}
        for child in self.children(element, path):
            name = self.name(child, path)
            known = None if name in _attributes(type_.name) else type_.elements.get(name)
            if name and known is None:
                self.fault(child, f"{path}.{name}", f"is no element of {type_.name}")
            elif known is not None:
                place = counts[name] = counts.get(name, -1) + 1
                self.add(found, child, name, known, place, path, depth)
        return _without_nulls(found)

    def attributes(self, element: etree._Element, type_name: str, path: str) -> Resource:
        found: Resource = {}
        if self.has_too_many_attributes(element, path):
            return found
        for key, text in element.attrib.items():
            name = str(key)
            if name in _attributes(type_name):
                found[name] = str(text)
            elif name != _SCHEMA_LOCATION and not (name == "value" and type_name == "Element"):
                self.fault(element, path, "has an attribute that R4 does not have")
        return found

    def has_too_many_attributes(self, element: etree._Element, path: str) -> bool:
        if len(element.attrib) <= MOST_ATTRIBUTES:
            return False
        self.fault(element, path, f"has more than {MOST_ATTRIBUTES} attributes")
        return True

    def children(self, element: etree._Element, path: str) -> Iterator[etree._Element]:
        """The elements in it: comments are skipped, text is a fault."""
        texts = [element.text]
        for child in element:
            texts.append(child.tail)
            if isinstance(child.tag, str):
                yield child
        if any(text and not text.isspace() for text in texts):
            self.fault(element, path, "has text, which belongs into the attribute `value`")

    def add(
        self,
        found: Resource,
        child: etree._Element,
        name: str,
        known: Element,
        place: int,
        path: str,
        depth: int,
    ) -> None:
        here = f"{path}.{name}[{place}]" if known.is_list else f"{path}.{name}"
        if place and not known.is_list:
            self.fault(child, here, "may stand here only once")
        elif known.is_primitive:
            value, extra = self.primitive(child, known.type, here, depth)
            _put(found, name, value, known)
            _put(found, f"_{name}", extra, known)
        else:
            _put(found, name, self.complex(child, known.type, here, depth), known)

    def complex(self, child: etree._Element, type_name: str, path: str, depth: int) -> Resource:
        if type_name != "Resource":
            return self.object(child, definition(type_name), path, depth + 1)
        inner = list(self.children(child, path))
        if len(inner) != 1 or child.attrib:
            self.fault(child, path, "must be one resource")
            return {}
        return self.resource(inner[0], path, depth + 1)

    def primitive(
        self, child: etree._Element, type_name: str, path: str, depth: int
    ) -> tuple[Any, Resource | None]:
        """Its value, and its id and extensions."""
        if type_name == "xhtml":
            return self.div(child, path), None
        text = child.get("value")
        extra = self.object(child, definition("Element"), path, depth + 1)
        if text is None and not extra:
            self.fault(child, path, "has neither a value nor an extension")
        return (None if text is None else self.value(child, str(text), type_name, path)), extra

    def value(self, child: etree._Element, text: str, type_name: str, path: str) -> Any:
        if type_name in _NUMBERS:
            if _NUMBER.fullmatch(text):
                return decode(text.encode())
            self.fault(child, path, "must be a number")
        elif type_name == "boolean":
            if text in ("true", "false"):
                return text == "true"
            self.fault(child, path, "must be true or false")
        return text

    def div(self, child: etree._Element, path: str) -> str | None:
        """A narrative as the text that JSON has, whatever prefix the document gave XHTML."""
        if child.tag != _DIV:
            self.fault(child, path, f"must be a div of the namespace {XHTML}")
            return None
        if self.has_too_many_attributes(child, path):
            return None
        bare = etree.Element(_DIV, {**child.attrib}, nsmap={None: XHTML})  # type: ignore[dict-item, misc]
        bare.text = child.text
        bare.extend([deepcopy(inner) for inner in child])
        return etree.tostring(bare, encoding="unicode")


def _put(found: Resource, name: str, value: Any, known: Element) -> None:
    if known.is_list:
        found.setdefault(name, []).append(value or None if name.startswith("_") else value)
    elif value not in (None, {}) or not known.is_primitive:
        found[name] = value


def _without_nulls(found: Resource) -> Resource:
    """Lists of nulls go: they are the values or the extensions that no item of a list has."""
    return {
        name: value
        for name, value in found.items()
        if not (isinstance(value, list) and all(one is None for one in value))
    }
