"""DICOM coding schemes as FHIR code systems (PS3.16 section 8, Table 8-1).

Codes of SNOMED RT and SNOMED 3 (`T-D4000`; designators SRT, SNM3, 99SDM) have no code system in
FHIR: the UID that DICOM gives them is SNOMED CT's, of which they are no codes. They become the
SNOMED CT concept that PS3.16 names for them (`snomed_rt.json`), or text alone.
"""

import json
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from imaging_fhir.fhir import canonical

SYSTEMS = {
    "SCT": canonical.SNOMED_CT,
    "LN": canonical.LOINC,
    "DCM": canonical.DCM,
    "RADLEX": "http://radlex.org",
    "UCUM": "http://unitsofmeasure.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "ICD-10-CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "C4": "http://www.ama-assn.org/go/cpt",
    "CPT4": "http://www.ama-assn.org/go/cpt",
    "NCIT": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
    "MDC": "urn:iso:std:iso:11073:10101",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
}
SYSTEMS_BY_UID = {
    "2.16.840.1.113883.6.96": canonical.SNOMED_CT,
    "2.16.840.1.113883.6.1": canonical.LOINC,
    "1.2.840.10008.2.16.4": canonical.DCM,
    "2.16.840.1.113883.6.256": "http://radlex.org",
    "2.16.840.1.113883.6.8": "http://unitsofmeasure.org",
    "2.16.840.1.113883.6.3": "http://hl7.org/fhir/sid/icd-10",
    "2.16.840.1.113883.6.42": "http://hl7.org/fhir/sid/icd-9-cm",
    "2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-cm",
    "2.16.840.1.113883.6.12": "http://www.ama-assn.org/go/cpt",
}
SNOMED_RT_DESIGNATORS = frozenset({"SRT", "SNM3", "99SDM"})
_SCTID = re.compile(r"[1-9]\d{5,17}")
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*))+")


class CodeSystemCode(NamedTuple):
    system: str
    code: str


def code_of(
    code_value: str | None, designator: str | None, uid: str | None = None
) -> CodeSystemCode | None:
    """The code in FHIR's terms; None where no code system is known for it."""
    if not code_value:
        return None
    scheme = (designator or "").strip().upper()
    if scheme in SNOMED_RT_DESIGNATORS:
        return _snomed(code_value)
    system = SYSTEMS.get(scheme) or _system_of_uid(uid)
    if system == canonical.SNOMED_CT:
        return _snomed(code_value)
    return CodeSystemCode(system, code_value) if system else None


def _system_of_uid(uid: str | None) -> str | None:
    if not uid or not _UID.fullmatch(uid):
        return None
    return SYSTEMS_BY_UID.get(uid, f"urn:oid:{uid}")


def _snomed(code_value: str) -> CodeSystemCode | None:
    if _SCTID.fullmatch(code_value):
        return CodeSystemCode(canonical.SNOMED_CT, code_value)
    concept = snomed_rt().get(code_value.upper())
    return CodeSystemCode(canonical.SNOMED_CT, concept) if concept else None


@cache
def snomed_rt() -> dict[str, str]:
    """SNOMED RT code -> SNOMED CT concept id, as PS3.16 pairs them."""
    text = files("imaging_fhir.fhir").joinpath("snomed_rt.json").read_text("ascii")
    table: dict[str, str] = json.loads(text)
    return table
