"""A Patient and an Encounter as a DICOM data set names them (PS3.3 C.7.1.1, C.3.2)."""

import re
from collections.abc import Sequence

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.study import DicomJson

SEX = {"male": "M", "female": "F", "other": "O"}
LONGEST = 64  # characters of LO, and of each group of a PN
OID = re.compile(r"urn:oid:([0-9.]{1,64})")
UUID = re.compile(r"urn:uuid:([0-9a-f-]{36})")
DELIMITERS = str.maketrans({"\\": " ", "^": " ", "=": " "})
OLD = "old"


def dicom_identity(patient: Resource, encounter: Resource) -> DicomJson:
    """The identifying attributes in DICOM JSON; what is not known is empty, as type 2 asks."""
    return {**patient_elements(patient), **visit_elements(encounter)}


def patient_elements(patient: Resource) -> DicomJson:
    number = first_current(patient.get("identifier", ()))
    birth_date = str(patient.get("birthDate", "")).replace("-", "")
    return {
        "00100010": person_name(first_current(patient.get("name", ()))),
        "00100020": text("LO", number.get("value")),
        **issuer("00100024", number.get("system")),
        "00100030": text("DA", birth_date if len(birth_date) == len("20010203") else None),
        "00100040": text("CS", SEX.get(patient.get("gender", ""))),
    }


def visit_elements(encounter: Resource) -> DicomJson:
    visit = first_current(encounter.get("identifier", ()))
    if "value" not in visit:
        return {}
    return {"00380010": text("LO", visit["value"]), **issuer("00380014", visit.get("system"))}


OWN_ELEMENTS = {"Patient": patient_elements, "Encounter": visit_elements}


def first_current(items: Sequence[Resource]) -> Resource:
    """The first that is not out of use: of names the official one, if there is one."""
    current = [one for one in items if one.get("use") not in (OLD, "temp", "maiden")]
    official = [one for one in current if one.get("use") in ("official", "usual")]
    return next(iter(official or current or items), {})


def person_name(name: Resource) -> Resource:
    parts = (
        name.get("family") or ("" if name.get("given") else name.get("text", "")),
        *given_names(name),
        " ".join(name.get("prefix", ())),
        " ".join(name.get("suffix", ())),
    )
    written = "^".join(str(part or "").translate(DELIMITERS).strip() for part in parts)
    written = written[:LONGEST].rstrip("^")
    return {"vr": "PN", "Value": [{"Alphabetic": written}]} if written else {"vr": "PN"}


def given_names(name: Resource) -> tuple[str, str]:
    """The first name, and the others as middle names."""
    given = list(name.get("given", ()))
    return (given[0] if given else "", " ".join(given[1:]))


def issuer(tag: str, system: object) -> DicomJson:
    """Issuer of ... Qualifiers Sequence: an identifier's system as a universal entity."""
    if not isinstance(system, str) or not system:
        return {}
    found = OID.fullmatch(system) or UUID.fullmatch(system)
    type_ = {"urn:oid": "ISO", "urn:uuid": "UUID"}.get(system.rpartition(":")[0], "URI")
    entity = found.group(1) if found else system
    item = {"00400032": text("UT", entity), "00400033": text("CS", type_ if found else "URI")}
    return {tag: {"vr": "SQ", "Value": [item]}}


def text(vr: str, value: object) -> Resource:
    written = str(value).translate(DELIMITERS).strip() if value else ""
    limit = {"LO": LONGEST, "CS": 16, "DA": 8, "SH": 16}.get(vr)
    return {"vr": vr, "Value": [written[:limit]]} if written else {"vr": vr}
