"""The provisional Patient: what a file says of a person whom no master knows."""

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import (
    SystemOf,
    human_names,
    issued_identifier,
    present,
    string,
    without_empty,
)
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.person import Person

PROVISIONAL_PREFIX = "provisional-"  # no id of an EHR begins so
PROVISIONAL = {
    "system": canonical.PATIENT_ORIGIN,
    "code": "provisional",
    "display": "Made from an image; not confirmed by a patient index",
}

GONE = {
    "system": canonical.PATIENT_ORIGIN,
    "code": "gone",
    "display": "No longer known to the EHR; kept for the images that are filed here",
}


def patient(person: Person, *, system_of: SystemOf, with_identifiers: bool) -> Resource:
    """A Patient without id; without identifiers where the number may be no key (a bare one)."""
    numbers = person.identifiers if with_identifiers else ()
    names = () if person.is_placeholder else person.names
    return without_empty(
        {
            "resourceType": "Patient",
            "meta": {"tag": [PROVISIONAL]},
            "identifier": present(
                issued_identifier(number, system_of, type_code="MR") for number in numbers
            ),
            "name": [found for name in names for found in human_names(name)],
            "gender": person.gender or "unknown",
            "birthDate": person.birth_date,
        }
    )


def subject_reference(patient_id: str, resource: Resource) -> Resource:
    """A reference to a known Patient that can be read without following it."""
    numbers = resource.get("identifier", [])
    first = numbers[0] if numbers else {}
    number = {name: first[name] for name in ("system", "value") if name in first}
    name = next((_shown(name) for name in resource.get("name", ())), None)
    return without_empty(
        {
            "reference": f"Patient/{patient_id}",
            "type": "Patient",
            "identifier": number if "value" in number else None,
            "display": string(name),
        }
    )


def _shown(name: Resource) -> str:
    parts = (*name.get("given", ()), name.get("family"))
    return name.get("text") or " ".join(filter(None, parts))


def is_provisional(resource: Resource) -> bool:
    """A tag can be written by anyone; no client gives an id that begins so."""
    return is_provisional_id(resource.get("id", "")) and has_tag(resource, PROVISIONAL)


def is_provisional_id(patient_id: str) -> bool:
    return patient_id.startswith(PROVISIONAL_PREFIX)


def is_gone(resource: Resource) -> bool:
    return has_tag(resource, GONE)


def has_tag(resource: Resource, coding: Resource) -> bool:
    tags = resource.get("meta", {}).get("tag", ())
    return any(
        (tag.get("system"), tag.get("code")) == (coding["system"], coding["code"]) for tag in tags
    )
