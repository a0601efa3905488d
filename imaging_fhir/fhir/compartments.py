"""Compartments: what belongs to one Patient, Encounter, ... (compartmentdefinition.html).

By which reference parameters a type is in a compartment, as R4's CompartmentDefinitions say, for
the types that are served. Two additions: a Patient is in its own compartment (R5 says so), and an
ImagingStudy in that of its Encounter (R4 has it in none).
"""

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.search import Membership

ITSELF = "{def}"  # as CompartmentDefinition.resource.param writes it
COMPARTMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Patient": {
        "AuditEvent": ("patient",),
        "BodyStructure": ("patient",),
        "Consent": ("patient",),
        "DiagnosticReport": ("subject",),
        "DocumentManifest": ("subject", "author", "recipient"),
        "DocumentReference": ("subject", "author"),
        "Encounter": ("patient",),
        "EpisodeOfCare": ("patient",),
        "Group": ("member",),
        "ImagingStudy": ("patient",),
        "List": ("subject", "source"),
        "Media": ("subject",),
        "Observation": ("subject", "performer"),
        "Patient": (ITSELF, "link"),
        "Procedure": ("patient", "performer"),
        "Provenance": ("patient",),
        "ServiceRequest": ("subject", "performer"),
        "Specimen": ("subject",),
    },
    "Encounter": {
        "DiagnosticReport": ("encounter",),
        "DocumentManifest": ("related-ref",),
        "DocumentReference": ("encounter",),
        "Encounter": (ITSELF,),
        "ImagingStudy": ("encounter",),
        "Media": ("encounter",),
        "Observation": ("encounter",),
        "Procedure": ("encounter",),
        "ServiceRequest": ("encounter",),
    },
    "Practitioner": {
        "AuditEvent": ("agent",),
        "DiagnosticReport": ("performer",),
        "DocumentManifest": ("subject", "author", "recipient"),
        "DocumentReference": ("subject", "author", "authenticator"),
        "Encounter": ("practitioner", "participant"),
        "EpisodeOfCare": ("care-manager",),
        "Group": ("member",),
        "List": ("source",),
        "Media": ("subject", "operator"),
        "Observation": ("performer",),
        "Patient": ("general-practitioner",),
        "Practitioner": (ITSELF,),
        "PractitionerRole": ("practitioner",),
        "Procedure": ("performer",),
        "Provenance": ("agent",),
        "ServiceRequest": ("performer", "requester"),
        "Specimen": ("collector",),
    },
    "Device": {
        "AuditEvent": ("agent",),
        "DiagnosticReport": ("subject",),
        "DocumentManifest": ("subject", "author"),
        "DocumentReference": ("subject", "author"),
        "Group": ("member",),
        "List": ("subject", "source"),
        "Media": ("subject",),
        "Observation": ("subject", "device"),
        "Provenance": ("agent",),
        "ServiceRequest": ("performer", "requester"),
        "Specimen": ("subject",),
    },
    "RelatedPerson": {
        "DocumentManifest": ("author", "recipient"),
        "DocumentReference": ("author",),
        "Encounter": ("participant",),
        "Observation": ("performer",),
        "Patient": ("link",),
        "Procedure": ("performer",),
        "Provenance": ("agent",),
        "ServiceRequest": ("performer",),
    },
}


def types_of(owner_type: str) -> tuple[str, ...]:
    """The types that a compartment of it can hold; raise ResourceNotFound."""
    types = COMPARTMENTS.get(owner_type)
    if types is None:
        raise ResourceNotFound(f"A {owner_type[:64]} has no compartment.")
    return tuple(types)


def membership(owner_type: str, owner_id: str, resource_type: str) -> Membership:
    """Of a type in one compartment; raise ResourceNotFound for a type that is never in it."""
    parameters = COMPARTMENTS.get(owner_type, {}).get(resource_type)
    if parameters is None:
        raise ResourceNotFound(f"{resource_type[:64]} is in no compartment of a {owner_type[:64]}.")
    return Membership(
        owner_type=owner_type,
        owner_ids=(owner_id,),
        parameters=tuple(name for name in parameters if name != ITSELF),
        itself=ITSELF in parameters,
    )
