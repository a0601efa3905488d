"""StructureDefinitions of the extensions that are defined here (structuredefinition.html)."""

from dataclasses import dataclass

from imaging_fhir.fhir import canonical
from imaging_fhir.model.codec import Resource

EXTENSION = "http://hl7.org/fhir/StructureDefinition/Extension"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedExtension:
    url: str
    title: str
    description: str
    context: str  # FHIRPath of the elements that have it
    type: str  # of its value


EXTENSIONS = (
    DefinedExtension(
        url=canonical.LATERALITY_EXTENSION,
        title="Laterality",
        description="The side of the body that the image shows.",
        context="DocumentReference",
        type="CodeableConcept",
    ),
    DefinedExtension(
        url=canonical.THUMBNAIL_EXTENSION,
        title="Thumbnail",
        description="Where a small picture of the image is: a JPEG, a few kilobytes.",
        context="DocumentReference.content.attachment",
        type="url",
    ),
)


def structure_definition(extension: DefinedExtension) -> Resource:
    return {
        "resourceType": "StructureDefinition",
        "id": extension.url.rpartition("/")[2],
        "url": extension.url,
        "name": extension.title.replace(" ", ""),
        "title": extension.title,
        "status": "active",
        "description": extension.description,
        "fhirVersion": "4.0.1",
        "kind": "complex-type",
        "abstract": False,
        "context": [{"type": "element", "expression": extension.context}],
        "type": "Extension",
        "baseDefinition": EXTENSION,
        "derivation": "constraint",
        "differential": {"element": differential(extension)},
    }


def differential(extension: DefinedExtension) -> list[Resource]:
    return [
        {
            "id": "Extension",
            "path": "Extension",
            "short": extension.title,
            "definition": extension.description,
            "min": 0,
            "max": "1",
        },
        {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
        {"id": "Extension.url", "path": "Extension.url", "fixedUri": extension.url},
        {
            "id": "Extension.value[x]",
            "path": "Extension.value[x]",
            "min": 1,
            "type": [{"code": extension.type}],
        },
    ]
