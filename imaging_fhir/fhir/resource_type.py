"""The resource types that are served: what each can do, declared once.

Routes, the CapabilityStatement, the search index and access control are derived from this table.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from imaging_fhir.fhir.search_parameters import parameters_of
from imaging_fhir.model.search import SearchParameter

READING = ("read", "vread", "history-instance", "history-type")
WRITING = ("create", "update", "patch", "delete")
SEARCHING = ("search-type",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    name: str
    interactions: frozenset[str]  # http://hl7.org/fhir/R4/valueset-type-restful-interaction.html
    search_parameters: tuple[SearchParameter, ...]
    by_name: dict[str, SearchParameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {parameter.name: parameter for parameter in self.search_parameters}
        object.__setattr__(self, "by_name", found)

    @property
    def references(self) -> tuple[SearchParameter, ...]:
        return tuple(found for found in self.search_parameters if found.type == "reference")


def resource_type(name: str, interactions: Iterable[str]) -> ResourceType:
    return ResourceType(
        name=name, interactions=frozenset(interactions), search_parameters=parameters_of(name)
    )


EVERYTHING = (*READING, *WRITING, *SEARCHING)
RESOURCE_TYPES: dict[str, ResourceType] = {
    type_.name: type_
    for type_ in (
        resource_type("ImagingStudy", EVERYTHING),
        resource_type("DocumentReference", EVERYTHING),
        resource_type("Patient", EVERYTHING),
        resource_type("Encounter", EVERYTHING),
        resource_type("Practitioner", EVERYTHING),
        resource_type("PractitionerRole", EVERYTHING),
        resource_type("Organization", EVERYTHING),
        resource_type("Location", EVERYTHING),
        resource_type("ServiceRequest", EVERYTHING),
        resource_type("Endpoint", EVERYTHING),
        resource_type("Device", EVERYTHING),
        resource_type("Binary", ("create", "update", "delete", "read", "vread", *SEARCHING)),
        resource_type("Task", (*READING, *SEARCHING)),
        resource_type("Provenance", (*READING, *SEARCHING)),
        resource_type("Media", EVERYTHING),
        resource_type("EpisodeOfCare", EVERYTHING),
        resource_type("DiagnosticReport", EVERYTHING),
        resource_type("Observation", EVERYTHING),
        resource_type("Procedure", EVERYTHING),
        resource_type("BodyStructure", EVERYTHING),
        resource_type("Specimen", EVERYTHING),
        resource_type("Consent", EVERYTHING),
        resource_type("List", EVERYTHING),
        resource_type("DocumentManifest", EVERYTHING),
        resource_type("Group", EVERYTHING),
        resource_type("Subscription", EVERYTHING),
        resource_type("AuditEvent", ("read", "vread", *SEARCHING)),
    )
}
