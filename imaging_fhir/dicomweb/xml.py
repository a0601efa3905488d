"""The Native DICOM Model in XML (PS3.19 A.1) from and to the DICOM JSON Model (PS3.18 F)."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree
from pydicom.datadict import keyword_for_tag

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.study import DicomJson

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
SPACE = "{http://www.w3.org/XML/1998/namespace}space"
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
WHOLE_NUMBERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
NUMBERS = WHOLE_NUMBERS | {"DS", "FD", "FL"}
VRS = re.compile(r"[A-Z]{2}")
TAG = re.compile(r"[0-9A-Fa-f]{8}")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MAX_DEPTH = 64
MAX_ELEMENTS = 200_000
FIRST_BLOCK, LAST_BLOCK = 0x10, 0xFF  # of private elements

Element = dict[str, Any]


def to_xml(data_set: Mapping[str, Element]) -> bytes:
    """One document of one data set; what XML cannot say is U+FFFD."""
    root = etree.Element(f"{{{NAMESPACE}}}NativeDicomModel", nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    root.set(SPACE, "preserve")
    write_data_set(root, data_set)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def write_data_set(parent: etree._Element, data_set: Mapping[str, Element]) -> None:
    for tag, element in data_set.items():
        if not is_creator(tag):
            write_attribute(parent, tag, element, creator_of(tag, data_set))


def is_creator(tag: str) -> bool:
    return int(tag[3], 16) % 2 == 1 and tag[4:6] == "00" and int(tag[6:], 16) >= FIRST_BLOCK


def creator_of(tag: str, data_set: Mapping[str, Element]) -> str | None:
    """Of a private attribute, who says what it means."""
    if int(tag[3], 16) % 2 == 0:
        return None
    values = data_set.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value", ())
    return str(values[0]) if values else None


def write_attribute(
    parent: etree._Element, tag: str, element: Element, creator: str | None
) -> None:
    written = below(parent, "DicomAttribute")
    written.set("tag", tag if creator is None else f"{tag[:4]}00{tag[6:]}")
    written.set("vr", element["vr"])
    keyword = keyword_for_tag(int(tag, 16))
    if keyword:
        written.set("keyword", keyword)
    if creator is not None:
        written.set("privateCreator", sound(creator))
    if "BulkDataURI" in element:
        below(written, "BulkData").set("uri", sound(element["BulkDataURI"]))
    if "InlineBinary" in element:
        below(written, "InlineBinary").text = element["InlineBinary"]
    for number, value in enumerate(element.get("Value", ()), 1):
        if value is not None:
            write_value(written, element["vr"], number, value)


def write_value(parent: etree._Element, vr: str, number: int, value: Any) -> None:
    if vr == "SQ":
        item = below(parent, "Item", number)
        write_data_set(item, value)
    elif vr == "PN":
        write_name(below(parent, "PersonName", number), value)
    else:
        below(parent, "Value", number).text = sound(str(value))


def write_name(parent: etree._Element, groups: Mapping[str, str]) -> None:
    for name in GROUPS:
        if name in groups:
            group = below(parent, name)
            parts = groups[name].split("^", len(COMPONENTS) - 1)
            for component, part in zip(COMPONENTS, parts, strict=False):
                if part:
                    below(group, component).text = sound(part)


def below(parent: etree._Element, name: str, number: int = 0) -> etree._Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    if number:
        child.set("number", str(number))
    return child


def sound(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)


def from_xml(document: bytes) -> DicomJson:
    """The data set of one document; raise InvalidRequest where it is none."""
    if b"<!DOCTYPE" in document.upper() or b"\0" in document:
        raise InvalidRequest("The XML has a document type, or is not in UTF-8.")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidRequest("The XML does not parse.") from error
    if local_name(root) != "NativeDicomModel":
        raise InvalidRequest("The XML is no Native DICOM Model (PS3.19 A.1).")
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        raise InvalidRequest(f"The XML has more than {MAX_ELEMENTS} elements.")
    return data_set_of(root, 0)


def local_name(element: etree._Element) -> str:
    """Whatever its namespace: few senders name it."""
    return str(element.tag).rpartition("}")[2]


def children(parent: etree._Element, *names: str) -> Iterator[etree._Element]:
    return (child for child in parent if local_name(child) in names)


def data_set_of(parent: etree._Element, depth: int) -> DicomJson:
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"The XML is nested deeper than {MAX_DEPTH} levels.")
    found: DicomJson = {}
    blocks: dict[tuple[str, str], int] = {}
    for attribute in children(parent, "DicomAttribute"):
        tag, vr = attribute.get("tag", "").upper(), attribute.get("vr", "")
        if not TAG.fullmatch(tag) or not VRS.fullmatch(vr):
            raise InvalidRequest("A DicomAttribute has no tag of 8 hex digits, or no VR.")
        creator = attribute.get("privateCreator")
        if creator is not None:
            tag = in_block(tag, creator, blocks, found)
        found[tag] = element_of(attribute, vr, depth)
    return dict(sorted(found.items()))


def in_block(tag: str, creator: str, blocks: dict[tuple[str, str], int], found: DicomJson) -> str:
    """The tag in the block of its creator, who gets one when first named (PS3.5 7.8.1)."""
    group = tag[:4]
    if (group, creator) not in blocks:
        taken = [block for (of, _), block in blocks.items() if of == group]
        block = max(taken, default=FIRST_BLOCK - 1) + 1
        if block > LAST_BLOCK:
            raise InvalidRequest("The XML has too many private creators in one group.")
        blocks[group, creator] = block
        found[f"{group}00{block:02X}"] = {"vr": "LO", "Value": [creator]}
    return f"{group}{blocks[group, creator]:02X}{tag[6:]}"


def element_of(attribute: etree._Element, vr: str, depth: int) -> Element:
    for child in children(attribute, "BulkData", "InlineBinary"):
        if local_name(child) == "InlineBinary":
            return {"vr": vr, "InlineBinary": "".join((child.text or "").split())}
        return {"vr": vr, "BulkDataURI": child.get("uri") or child.get("uuid") or ""}
    values: list[object] = []
    for child in children(attribute, "Value", "PersonName", "Item"):
        number = child.get("number", "")
        if number.isascii() and number.isdigit() and len(values) < int(number[:6]) <= MAX_ELEMENTS:
            values += [None] * (int(number[:6]) - 1 - len(values))
        values.append(value_of(child, vr, depth))
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def value_of(child: etree._Element, vr: str, depth: int) -> object:
    if vr == "SQ":
        return data_set_of(child, depth + 1)
    if vr == "PN":
        return {local_name(group): name_of(group) for group in children(child, *GROUPS)}
    text = child.text or ""
    return number_of(text, vr) if vr in NUMBERS else text


def name_of(group: etree._Element) -> str:
    parts = {local_name(part): part.text or "" for part in children(group, *COMPONENTS)}
    return "^".join(parts.get(name, "") for name in COMPONENTS).rstrip("^")


def number_of(text: str, vr: str) -> int | Decimal:
    try:
        number = Decimal(text.strip()[:64])
    except InvalidOperation as error:
        raise InvalidRequest(f"A value of {vr} is not a number.") from error
    if not number.is_finite() or abs(number.adjusted()) > 400:
        raise InvalidRequest(f"A value of {vr} is not a number.")
    return int(number) if vr in WHOLE_NUMBERS else number
