"""Practitioner as DICOM names one: contained in the resource that refers to it."""

from imaging_fhir.fhir.datatypes import human_names, person_identifiers, without_empty
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.study import PersonReference


def contained_practitioner(person: PersonReference, *, contained_id: str) -> Resource:
    return without_empty(
        {
            "resourceType": "Practitioner",
            "id": contained_id,
            "identifier": person_identifiers(person),
            "name": human_names(person.name) if person.name else [],
        }
    )
