"""FHIR R4 datatypes from the model's values (https://hl7.org/fhir/R4/datatypes.html).

A function answers None where nothing can be said; `without_empty` then leaves the element out,
since R4 has neither null nor empty elements.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.coding_scheme import CodeSystemCode, code_of
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.person import IssuedId, Issuer, NameComponents, PersonName
from imaging_fhir.model.study import CodedConcept, LocalDateTime, PersonReference

SystemOf = Callable[[Issuer | None], str | None]
"""The identifier system of an issuer; of None, the source's default or None."""

IDENTIFIER_TYPES = {
    "ACSN": "Accession ID",
    "FILL": "Filler Identifier",
    "MR": "Medical record number",
    "PLAC": "Placer Identifier",
    "SNO": "Serial Number",
    "VN": "Visit number",
}
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\U0010ffff]")  # what R4 forbids in a string
_OFFSET = re.compile(r"Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*))+")


def without_empty(elements: Mapping[str, Any]) -> Resource:
    """The elements that have a value; False and 0 are values."""
    return {
        name: value for name, value in elements.items() if value or value is False or value == 0
    }


def present(values: Iterable[Resource | None]) -> list[Resource]:
    return [value for value in values if value]


def string(text: str | None) -> str | None:
    """An R4 string: no control characters, no white space around it, never empty."""
    if not text:
        return None
    if not text.isprintable():
        text = _UNFIT.sub("", text)
    return text.strip() or None


def code(text: str | None) -> str | None:
    """An R4 code: a string with single spaces inside at most."""
    if text and text.isalnum():  # nearly always, and then nothing is to be done
        return text
    return " ".join((string(text) or "").split()) or None


def coding(system: str | None, value: str | None, display: str | None = None) -> Resource:
    return without_empty({"system": system, "code": code(value), "display": string(display)})


def concept_coding(concept: CodedConcept) -> Resource | None:
    """A Coding; with a scheme that no URI is known for, the meaning alone."""
    known = _code_of(concept)
    if known is None:
        return without_empty({"display": string(concept.code_meaning)}) or None
    return coding(known.system, known.code, concept.code_meaning)


def codeable_concept(concept: CodedConcept) -> Resource | None:
    known = _code_of(concept)
    text = string(concept.code_meaning)
    if known is None:
        return {"text": text} if text else None
    return without_empty(
        {"coding": [coding(known.system, known.code, concept.code_meaning)], "text": text}
    )


def codeable_concepts(concepts: Iterable[CodedConcept]) -> list[Resource]:
    return present(map(codeable_concept, concepts))


def _code_of(concept: CodedConcept) -> CodeSystemCode | None:
    return code_of(
        code(concept.code_value), concept.coding_scheme_designator, concept.coding_scheme_uid
    )


def identifier(
    value: str | None, *, system: str | None = None, type_code: str | None = None
) -> Resource | None:
    cleaned = string(value)
    if cleaned is None:
        return None
    return without_empty({"type": identifier_type(type_code), "system": system, "value": cleaned})


def identifier_type(type_code: str | None) -> Resource | None:
    """http://terminology.hl7.org/CodeSystem/v2-0203"""
    if type_code is None:
        return None
    display = IDENTIFIER_TYPES.get(type_code)
    return {"coding": [coding(canonical.IDENTIFIER_TYPE, type_code, display)]}


def issued_identifier(
    issued: IssuedId | None, system_of: SystemOf, *, type_code: str | None = None
) -> Resource | None:
    """The Identifier of a number; its issuer stays readable where it has no system."""
    if issued is None:
        return None
    system = system_of(issued.issuer)
    found = identifier(issued.value, system=system, type_code=issued.type_code or type_code)
    if found and system is None and issued.issuer:
        namespace = string(issued.issuer.local_namespace_entity_id)
        return without_empty({**found, "assigner": without_empty({"display": namespace})})
    return found


def dicom_uid(uid: str) -> Resource:
    """https://hl7.org/fhir/R4/imagingstudy.html#notes: a UID as an Identifier."""
    return {"system": canonical.DICOM_UID, "value": f"urn:oid:{uid}"}


def universal_system(issuer: Issuer | None) -> str | None:
    """The system that an issuer names itself by its Universal Entity ID (PS3.3 10.14)."""
    if issuer is None or not issuer.universal_entity_id:
        return None
    entity = issuer.universal_entity_id.strip()
    match (issuer.universal_entity_id_type or "").strip().upper():
        case "ISO" if _OID.fullmatch(entity):
            return f"urn:oid:{entity}"
        case "UUID" | "GUID" if _UUID.fullmatch(entity.lower()):
            return f"urn:uuid:{entity.lower()}"
        case "URI" if ":" in entity and not re.search(r"\s", entity):
            return entity
        case "DNS" if re.fullmatch(r"[\w.-]+", entity, re.ASCII):
            return f"dns:{entity.lower()}"  # RFC 4501
    return None


def reference(
    target: str | None = None,
    *,
    type_: str | None = None,
    identifier: Resource | None = None,
    display: str | None = None,
) -> Resource | None:
    """A Reference; a type alone refers to nothing and is None."""
    found = without_empty(
        {"reference": target, "identifier": identifier, "display": string(display)}
    )
    return without_empty({"type": type_, **found}) if found else None


def local_references(value: Any) -> Iterator[str]:
    """Every text that begins with #, without recursion: input may be nested without end."""
    left = [value]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            left.extend(found.values())
        elif isinstance(found, list):
            left.extend(found)
        elif isinstance(found, str) and found.startswith("#"):
            yield found


def person_reference(person: PersonReference, *, type_: str = "Practitioner") -> Resource | None:
    """A logical reference: by the first identification code, shown by name."""
    return reference(
        type_=type_,
        identifier=next(iter(person_identifiers(person)), None),
        display=display_name(person.name) if person.name else None,
    )


def person_identifiers(person: PersonReference) -> list[Resource]:
    """PS3.3 10.1: the codes of a Person Identification Sequence name the person, as numbers do."""
    return present(map(_person_identifier, person.identification_codes))


def _person_identifier(concept: CodedConcept) -> Resource | None:
    known = _code_of(concept)
    return identifier(
        concept.code_value if known is None else known.code, system=known and known.system
    )


def human_names(name: PersonName) -> list[Resource]:
    """A HumanName for each component group of a PN, told apart by the ISO 21090 extension."""
    groups = (("ABC", name.alphabetic), ("IDE", name.ideographic), ("SYL", name.phonetic))
    names = [(kind, human_name(group)) for kind, group in groups if group]
    marked = len(names) > 1 or (names and names[0][0] != "ABC")
    return [
        {"extension": [_representation(kind)], **found} if marked else found
        for kind, found in names
        if found
    ]


def human_name(group: NameComponents) -> Resource | None:
    found = without_empty(
        {
            "family": string(group.family),
            "given": _strings(group.given),
            "prefix": _strings(group.prefix),
            "suffix": _strings(group.suffix),
        }
    )
    return {"text": group_text(group), **found} if found else None


def _representation(kind: str) -> Resource:
    return {"url": canonical.NAME_REPRESENTATION, "valueCode": kind}


def _strings(texts: Iterable[str]) -> list[str]:
    return [cleaned for cleaned in map(string, texts) if cleaned]


def display_name(name: PersonName) -> str | None:
    """The name as one line, from its first group that says anything."""
    groups = (name.alphabetic, name.ideographic, name.phonetic)
    return next((text for text in map(group_text, filter(None, groups)) if text), None)


def group_text(group: NameComponents) -> str:
    return " ".join(_strings((*group.prefix, *group.given, group.family or "", *group.suffix)))


def instant(moment: datetime) -> str:
    """An R4 instant in UTC and whole milliseconds; `moment` has a zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def date_time(local: LocalDateTime | None, zone: tzinfo | None) -> str | None:
    """An R4 dateTime; with no zone known, the date alone, for R4 has no time without a zone.

    The offset in the file goes before `zone`. Of a time that the clock shows twice the first is
    meant; one that it skips is moved on by the length of the gap.
    """
    if local is None:
        return None
    if local.time is None:
        return local.date
    time = local.time.replace(":60", ":59")  # a leap second: legal in DICOM, not in R4's models
    if local.offset:
        usable = _OFFSET.fullmatch(local.offset)
        return f"{local.date}T{time}{local.offset}" if usable else local.date
    if zone is None:
        return local.date
    return _in_zone(local.date, time, zone)


def _in_zone(date: str, time: str, zone: tzinfo) -> str:
    written = datetime.fromisoformat(f"{date}T{time}")
    try:
        moment = written.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    except OverflowError:  # the first or last day that datetime knows
        return date
    offset = moment.isoformat()[-6:]
    if not _OFFSET.fullmatch(offset) or _has_seconds(moment):
        return moment.astimezone(UTC).isoformat()
    if moment.replace(tzinfo=None) == written:
        return f"{date}T{time}{offset}"  # with the decimals as written
    return moment.isoformat()


def _has_seconds(moment: datetime) -> bool:
    """A local mean time of before time zones: R4's offsets are whole minutes."""
    offset = moment.utcoffset()
    return bool(offset and offset.total_seconds() % 60)
