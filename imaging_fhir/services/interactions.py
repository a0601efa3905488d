"""What may be asked of which resource type, as the CapabilityStatement says it."""

from imaging_fhir.errors import NotSupported, ResourceNotFound
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES


def require_supported(interaction: str, resource_type: str) -> None:
    """Raise ResourceNotFound for a type that is not kept, NotSupported for the interaction."""
    type_ = RESOURCE_TYPES.get(resource_type)
    if type_ is None:
        raise ResourceNotFound(f"This server keeps no {resource_type[:64]}.")
    if interaction not in type_.interactions:
        raise NotSupported(f"{interaction} of {resource_type} is not offered.")


def is_supported(interaction: str, resource_type: str) -> bool:
    type_ = RESOURCE_TYPES.get(resource_type)
    return type_ is not None and interaction in type_.interactions
