"""The profiles that are known here: US Core 6.1.0 and 7.0.0, International Patient Access 1.0.0.

https://hl7.org/fhir/us/core/STU7/ and https://hl7.org/fhir/uv/ipa/STU1/, of the types served here.
A value set that is too large to be listed has the systems whose codes may be in it. The slices of
US Core by value set (`category:us-core` of DocumentReference, DiagnosticReport and ServiceRequest)
are open and optional: other codes are permitted, so that they ask for nothing. Those of identifiers
by system ask for the form of the number.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.faults import MAX_ISSUES, Issue
from imaging_fhir.fhir.presence_rules import has
from imaging_fhir.fhir.profile import (
    Constraint,
    ElementRule,
    Profile,
    ValueSet,
    check_profile,
    conforms,
)
from imaging_fhir.model.codec import Resource

US_CORE = "http://hl7.org/fhir/us/core"
IPA = "http://hl7.org/fhir/uv/ipa"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
NPI = "http://hl7.org/fhir/sid/us-npi"
CPT = "http://www.ama-assn.org/go/cpt"
DOCUMENT_CODES = frozenset(  # LOINC codes whose scale is Doc: photographs and clinical notes
    {
        *("72170-4", "11488-4", "11502-2", "11504-8", "11506-3", "11526-1", "18748-4"),
        *("18761-7", "18842-5", "28570-0", "34111-5", "34117-2", "34746-8", "57133-1"),
    }
)


def value_set(name: str, *open_systems: str) -> ValueSet:
    return ValueSet(url=f"{US_CORE}/ValueSet/{name}", open_systems=frozenset(open_systems))


DOCUMENT_TYPE = ValueSet(
    url=f"{US_CORE}/ValueSet/us-core-documentreference-type",
    codes={
        canonical.LOINC: DOCUMENT_CODES,
        f"{TERMINOLOGY}/v3-NullFlavor": frozenset({"UNK"}),
    },
    open_systems=frozenset({canonical.LOINC}),
)
ENCOUNTER_TYPE = value_set("us-core-encounter-type", canonical.SNOMED_CT, CPT)
PROCEDURE_CODE = value_set(
    "us-core-procedure-code",
    canonical.SNOMED_CT,
    CPT,
    canonical.LOINC,
    "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "http://www.cms.gov/Medicare/Coding/ICD10",
    "http://www.ada.org/cdt",
)
REPORT_CODE = value_set("us-core-diagnosticreport-report-and-note-codes", canonical.LOINC)


def must(path: str) -> ElementRule:
    """An element that is mandatory."""
    return ElementRule(path=path, least=1)


def supported(*paths: str) -> tuple[ElementRule, ...]:
    return tuple(ElementRule(path=path) for path in paths)


def has_content(attachment: Resource) -> bool:
    return has(attachment, "url") or has(attachment, "data")


def is_absent(value: Resource) -> bool:
    return any(found.get("url") == DATA_ABSENT for found in value.get("extension", ()))


def is_named(name: Resource) -> bool:
    return (has(name, "family") or has(name, "given")) != is_absent(name)


def is_named_somehow(name: Resource) -> bool:
    return any(has(name, found) for found in ("family", "given", "text")) != is_absent(name)


def has_effective(report: Resource) -> bool:
    done = ("partial", "preliminary", "final", "amended", "corrected", "appended")
    return report.get("status") not in done or has(report, "effective[x]")


def has_performed(procedure: Resource) -> bool:
    done = ("completed", "in-progress")
    return procedure.get("status") not in done or has(procedure, "performed[x]")


def is_national(identifier: Resource) -> bool:
    """A National Provider Identifier: ten digits, the last by Luhn with the prefix 80840."""
    value = identifier.get("value", "")
    if identifier.get("system") != NPI:
        return True
    if not (value.isascii() and value.isdecimal() and len(value) == 10):
        return False
    doubled = (int(digit) * 2 for digit in value[-2::-2])
    total = 24 + sum(n - 9 if n > 9 else n for n in doubled) + sum(map(int, value[-1::-2]))
    return total % 10 == 0


RACE = f"{US_CORE}/StructureDefinition/us-core-race"
ONCE = frozenset(
    f"{US_CORE}/StructureDefinition/us-core-{name}"
    for name in ("race", "ethnicity", "birthsex", "sex")
)


def has_each_once(patient: Resource) -> bool:
    urls = [found.get("url") for found in patient.get("extension", ())]
    return all(urls.count(url) <= 1 for url in ONCE)


def is_one_answer(extension: Resource) -> bool:
    """Asked but unknown, or unknown, is no race beside others."""
    parts = extension.get("extension", ()) if extension.get("url") == RACE else ()
    races = [one.get("valueCoding", {}) for one in parts if one.get("url") == "ombCategory"]
    unknown = any(race.get("code") in ("ASKU", "UNK") for race in races)
    return not unknown or len(races) == 1


PROVIDER_NUMBER = Constraint(
    key="us-core-16, us-core-17",
    message="is no National Provider Identifier",
    holds=is_national,
    path="identifier",
)


def numbered(key: str, message: str, system: str, form: str) -> Constraint:
    """Of a slice of identifiers that is told by its system."""
    pattern = re.compile(form, re.ASCII)

    def holds(identifier: Resource) -> bool:
        is_other = identifier.get("system") != system
        return is_other or pattern.fullmatch(identifier.get("value", "")) is not None

    return Constraint(key=key, message=message, holds=holds, path="identifier")


LABORATORY_NUMBER = numbered(
    "us-core-18",
    "is no CLIA number",
    "urn:oid:2.16.840.1.113883.4.7",
    "[0-9]{2}D[0-9]{7}",
)
INSURER_NUMBER = numbered(
    "us-core-19", "is no NAIC company code", "urn:oid:2.16.840.1.113883.6.300", "[0-9]{5}"
)


def us_core(name: str, type_: str, *parts: "ElementRule | Constraint") -> Profile:
    return Profile(
        url=f"{US_CORE}/StructureDefinition/us-core-{name}",
        version="7.0.0",
        type=type_,
        rules=tuple(part for part in parts if isinstance(part, ElementRule)),
        constraints=tuple(part for part in parts if isinstance(part, Constraint)),
    )


US_CORE_7 = (
    us_core(
        "documentreference",
        "DocumentReference",
        ElementRule(path="type", least=1, required=DOCUMENT_TYPE),
        must("category"),
        must("subject"),
        ElementRule(path="context.encounter", most=1, targets=frozenset({"Encounter"})),
        *supported("identifier", "status", "date", "author", "content", "content.attachment"),
        *supported("content.attachment.contentType", "content.attachment.data"),
        *supported("content.attachment.url", "content.format", "context", "context.period"),
        Constraint(
            key="us-core-6",
            message="must have a url or data",
            holds=has_content,
            path="content.attachment",
        ),
    ),
    us_core(
        "patient",
        "Patient",
        must("identifier"),
        must("identifier.system"),
        must("identifier.value"),
        must("name"),
        must("telecom.system"),
        must("telecom.value"),
        must("gender"),
        *supported("name.family", "name.given", "telecom.use", "birthDate", "address"),
        *supported("address.line", "address.city", "address.state", "address.postalCode"),
        *supported("communication.language"),
        Constraint(
            key="us-core-6",
            message="must have a family or given name, or the reason why not",
            holds=is_named,
            path="name",
        ),
        Constraint(
            key="extension",
            message="must have no more than one race, ethnicity, birthsex and sex",
            holds=has_each_once,
        ),
        Constraint(
            key="us-core-23",
            message="must have no other category beside ASKU or UNK",
            holds=is_one_answer,
            path="extension",
        ),
    ),
    us_core(
        "encounter",
        "Encounter",
        must("identifier.system"),
        must("identifier.value"),
        ElementRule(path="type", least=1, extensible=ENCOUNTER_TYPE),
        must("subject"),
        *supported("meta.lastUpdated", "identifier", "status", "class", "participant"),
        *supported("participant.type", "participant.period", "participant.individual"),
        *supported("period", "reasonCode", "reasonReference", "hospitalization"),
        *supported("hospitalization.dischargeDisposition", "location", "location.location"),
        *supported("serviceProvider"),
    ),
    us_core(
        "practitioner",
        "Practitioner",
        must("identifier"),
        must("identifier.system"),
        must("identifier.value"),
        must("name"),
        must("name.family"),
        ElementRule(path="address.line", most=4),
        *supported("telecom", "telecom.system", "telecom.value", "address", "address.city"),
        *supported("address.state", "address.postalCode", "address.country"),
        PROVIDER_NUMBER,
    ),
    us_core(
        "practitionerrole",
        "PractitionerRole",
        must("telecom.system"),
        must("telecom.value"),
        *supported("practitioner", "organization", "code", "specialty", "location", "telecom"),
        *supported("endpoint"),
        Constraint(
            key="pd-1",
            message="must have a telecom or an endpoint",
            holds=lambda role: has(role, "telecom") or has(role, "endpoint"),
        ),
        Constraint(
            key="us-core-13",
            message="must have a practitioner, organization, healthcareService or location",
            holds=lambda role: any(
                has(role, name)
                for name in ("practitioner", "organization", "healthcareService", "location")
            ),
        ),
    ),
    us_core(
        "organization",
        "Organization",
        must("active"),
        must("name"),
        ElementRule(path="address.line", most=4),
        *supported("identifier", "identifier.system", "identifier.value", "telecom"),
        *supported("telecom.system", "telecom.value", "address", "address.city"),
        *supported("address.state", "address.postalCode", "address.country"),
        PROVIDER_NUMBER,
        LABORATORY_NUMBER,
        INSURER_NUMBER,
    ),
    us_core(
        "location",
        "Location",
        must("name"),
        *supported("identifier", "status", "type", "telecom", "address", "address.line"),
        *supported("address.city", "address.state", "address.postalCode"),
        *supported("managingOrganization"),
    ),
    us_core(
        "servicerequest",
        "ServiceRequest",
        ElementRule(path="code", least=1, extensible=PROCEDURE_CODE),
        *supported("status", "intent", "category", "subject", "encounter", "occurrence[x]"),
        *supported("authoredOn", "requester"),
    ),
    us_core(
        "diagnosticreport-note",
        "DiagnosticReport",
        must("category"),
        ElementRule(path="code", extensible=REPORT_CODE),
        must("subject"),
        *supported("status", "encounter", "effective[x]", "issued", "performer", "result"),
        *supported("media", "media.link", "presentedForm"),
        Constraint(
            key="us-core-10", message="needs the time that it is about", holds=has_effective
        ),
    ),
    us_core(
        "procedure",
        "Procedure",
        must("code"),
        *supported("status", "subject", "encounter", "performed[x]"),
        Constraint(
            key="us-core-7", message="needs the time that it was performed", holds=has_performed
        ),
    ),
    us_core(
        "specimen",
        "Specimen",
        must("type"),
        *supported("identifier", "accessionIdentifier", "subject"),
    ),
)
NEW_IN_7 = frozenset({"us-core-23"})
OF_PATIENTS_ALONE = frozenset(  # in US Core 6.1.0, where 7.0.0 allows other subjects
    {
        "DocumentReference",
        "Encounter",
        "ServiceRequest",
        "DiagnosticReport",
        "Procedure",
        "Specimen",
    }
)


def as_of_6_1(profile: Profile) -> Profile:
    rules = profile.rules
    if profile.type in OF_PATIENTS_ALONE:
        rules = (*rules, ElementRule(path="subject", targets=frozenset({"Patient"})))
    constraints = tuple(one for one in profile.constraints if one.key not in NEW_IN_7)
    return replace(profile, version="6.1.0", rules=rules, constraints=constraints)


def ipa(name: str, type_: str, *parts: "ElementRule | Constraint") -> Profile:
    found = us_core(name, type_, *parts)
    return replace(found, url=f"{IPA}/StructureDefinition/ipa-{name}", version="1.0.0")


IPA_1 = (
    ipa(
        "documentreference",
        "DocumentReference",
        ElementRule(path="subject", least=1, targets=frozenset({"Patient"})),
        must("content"),
        must("content.attachment.contentType"),
        ElementRule(path="context.encounter", most=1),
        *supported("status", "type", "category", "date", "author", "content.attachment"),
        *supported("content.attachment.data", "content.attachment.url", "content.format"),
        *supported("context", "context.period"),
        Constraint(
            key="ipa-doc-1",
            message="must have a url or data",
            holds=has_content,
            path="content.attachment",
        ),
    ),
    ipa(
        "patient",
        "Patient",
        must("identifier"),
        must("identifier.value"),
        *supported("active", "name", "gender", "birthDate", "link"),
        Constraint(
            key="ipa-pat-1",
            message="must have a system, type or assigner",
            holds=lambda one: any(has(one, name) for name in ("system", "type", "assigner")),
            path="identifier",
        ),
        Constraint(
            key="ipa-pat-2",
            message="must have a family or given name or a text, or the reason why not",
            holds=is_named_somehow,
            path="name",
        ),
        Constraint(
            key="ipa-pat-3",
            message="should have a text",
            holds=lambda name: has(name, "text"),
            path="name",
            severity="warning",
        ),
        Constraint(
            key="ipa-pat-4",
            message="with a link must say whether it is active",
            holds=lambda patient: not has(patient, "link") or has(patient, "active"),
        ),
    ),
    ipa(
        "practitioner",
        "Practitioner",
        must("name"),
        Constraint(
            key="ipa-pract-1",
            message="should have a text",
            holds=lambda name: has(name, "text"),
            path="name",
            severity="warning",
        ),
    ),
    ipa("practitionerrole", "PractitionerRole", *supported("practitioner")),
)
PACKS = {"us-core": US_CORE_7, "ipa": IPA_1}
PROFILES: dict[str, Profile] = {  # by canonical; without a version the newest
    f"{profile.url}{version}": profile
    for known, named in ((map(as_of_6_1, US_CORE_7), False), (US_CORE_7, True), (IPA_1, True))
    for profile in known
    for version in ((f"|{profile.version}", "") if named else (f"|{profile.version}",))
}


def supported_profiles(packs: frozenset[str]) -> dict[str, list[str]]:
    """The canonicals of those packs, by resource type."""
    found: dict[str, list[str]] = {}
    for pack in sorted(packs):
        for profile in PACKS[pack]:
            found.setdefault(profile.type, []).append(f"{profile.url}|{profile.version}")
    return found


def declared(resource: Resource) -> list[str]:
    """The canonicals in meta.profile."""
    meta = resource.get("meta")
    found = meta.get("profile", []) if isinstance(meta, dict) else []
    return [url for url in found if isinstance(url, str)] if isinstance(found, list) else []


def require_conformance(resource: Resource) -> None:
    """Raise InvalidResource where it breaks a profile that it claims and that is known here."""
    found = [
        (issue.expression, f"{issue.message}, as {url} asks")
        for url in declared(resource)
        if url in PROFILES
        for issue in judged(resource, PROFILES[url])
        if issue.severity == "error"
    ]
    if found:
        expression, message = found[0]
        raise InvalidResource(
            f"{expression}: {message}", expression=expression, issues=tuple(found[:MAX_ISSUES])
        )


def judged(resource: Resource, profile: Profile) -> Iterator[Issue]:
    """Everything that the profile says against it; a profile of another type says just that."""
    if resource.get("resourceType") == profile.type:
        yield from check_profile(resource, profile)
        return
    yield Issue(
        expression=str(resource.get("resourceType")),
        message=f"is no {profile.type}",
        code="structure",
    )


def claimed(resource: Resource, packs: frozenset[str]) -> Resource:
    """The resource, saying in meta.profile which profiles of those packs it conforms to."""
    meta = dict(resource.get("meta", {}))
    own = {profile.url for pack in PACKS.values() for profile in pack}
    kept = [url for url in meta.pop("profile", []) if url not in own]
    found = [
        profile.url
        for pack in sorted(packs)
        for profile in PACKS[pack]
        if profile.type == resource["resourceType"] and conforms(resource, profile)
    ]
    if kept or found:
        meta["profile"] = [*kept, *found]
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return {**rest, "meta": meta} if meta else rest
