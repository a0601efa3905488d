"""What the server can do, by the tables it does it by (capabilitystatement.html)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES, ResourceType
from imaging_fhir.fhir.search_criterion import target_types
from imaging_fhir.fhir.subscription_topic import TOPICS
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import SearchParameter

BACKPORT = f"{canonical.BACKPORT}/StructureDefinition/backport-subscription"
TOPIC = f"{canonical.BACKPORT}/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
NO_PROFILES: Mapping[str, Sequence[str]] = {}
DEFINITIONS = ("OperationDefinition", "SearchParameter", "StructureDefinition")
DOCUMENTATION = (
    "Every clinical image, linked to its Patient and Encounter. Prefer: respond-async is honoured "
    "by batch, transaction, search, history and operations (batch-response of one entry)."
)
OAUTH_URIS = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "introspect": "introspection_endpoint",
    "revoke": "revocation_endpoint",
    "register": "registration_endpoint",
    "manage": "management_endpoint",
}
SYSTEM_INTERACTIONS = ("batch", "transaction", "history-system", "search-system")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An extended operation; of no type, it is called at the base."""

    name: str
    definition: str
    type: str | None = None
    documentation: str | None = None


def capability_statement(
    *,
    base: str,
    software_version: str,
    date: str,
    operations: Sequence[Operation] = (),
    system_interactions: Iterable[str] = SYSTEM_INTERACTIONS,
    security: Resource | None = None,
    profiles: Mapping[str, Sequence[str]] = NO_PROFILES,
) -> Resource:
    """`date` is when what is stated here last changed, a FHIR dateTime; `profiles` by type."""
    at_base = [operation for operation in operations if operation.type is None]
    rest = {
        "mode": "server",
        "documentation": DOCUMENTATION,
        "security": security,
        "resource": [
            *(
                rest_resource(type_, operations, profiles.get(type_.name, ()))
                for type_ in RESOURCE_TYPES.values()
            ),
            *(definitions_resource(name) for name in DEFINITIONS),
        ],
        "interaction": [{"code": code} for code in system_interactions],
        "operation": [rest_operation(operation) for operation in at_base],
    }
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{base}/metadata",
        "version": software_version,
        "name": "ImagingFhir",
        "title": "imaging_fhir",
        "status": "active",
        "date": date,
        "description": "ImagingStudy and DocumentReference of all clinical images.",
        "kind": "instance",
        "software": {"name": "imaging_fhir", "version": software_version},
        "implementation": {"description": "imaging_fhir", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json", "application/fhir+xml", "xml"],
        "patchFormat": [
            "application/json-patch+json",
            "application/fhir+json",
            "application/fhir+xml",
        ],
        "rest": [without_empty(rest)],
    }


def smart_security(endpoints: Mapping[str, object]) -> Resource:
    """SMART's, with the end points by their names in RFC 8414."""
    uris = [
        {"url": name, "valueUri": endpoints[key]}
        for name, key in OAUTH_URIS.items()
        if key in endpoints
    ]
    return without_empty(
        {
            "extension": [{"url": canonical.OAUTH_URIS, "extension": uris}] if uris else [],
            "cors": True,
            "service": [
                {
                    "coding": [
                        {
                            "system": canonical.SECURITY_SERVICE,
                            "code": "SMART-on-FHIR",
                            "display": "SMART-on-FHIR",
                        }
                    ],
                    "text": "OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)",
                }
            ],
        }
    )


def rest_resource(
    type_: ResourceType, operations: Sequence[Operation], profiles: Sequence[str]
) -> Resource:
    own = [operation for operation in operations if operation.type == type_.name]
    creates, updates = ("create" in type_.interactions, "update" in type_.interactions)
    return without_empty(
        {
            "extension": [
                {"url": TOPIC, "valueCanonical": topic.url}
                for topic in TOPICS
                if type_.name == "Subscription"
            ],
            "type": type_.name,
            "supportedProfile": [BACKPORT] if type_.name == "Subscription" else list(profiles),
            "interaction": [{"code": code} for code in sorted(type_.interactions)],
            "versioning": "versioned",
            "readHistory": "vread" in type_.interactions,
            "updateCreate": updates and creates,
            "conditionalCreate": creates,
            "conditionalRead": "full-support",
            "conditionalUpdate": updates,
            "conditionalDelete": "single" if "delete" in type_.interactions else "not-supported",
            "referencePolicy": ["literal", "logical"],
            "searchInclude": [f"{type_.name}:{found.name}" for found in type_.references],
            "searchRevInclude": reverse_includes(type_.name),
            "searchParam": [search_param(found) for found in type_.search_parameters],
            "operation": [rest_operation(operation) for operation in own],
        }
    )


def definitions_resource(name: str) -> Resource:
    """Of what is defined here; see `definition_search`."""
    searched = (("_id", "token"), ("name", "string"), ("status", "token"), ("url", "uri"))
    return {
        "type": name,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": [{"name": name, "type": type_} for name, type_ in searched],
    }


def reverse_includes(name: str) -> list[str]:
    return [
        f"{source.name}:{found.name}"
        for source in RESOURCE_TYPES.values()
        for found in source.references
        if name in target_types(found, None)
    ]


def search_param(parameter: SearchParameter) -> Resource:
    return without_empty(
        {
            "name": parameter.name,
            "definition": parameter.url,
            "type": parameter.type,
            "documentation": parameter.documentation,
        }
    )


def rest_operation(operation: Operation) -> Resource:
    return without_empty(
        {
            "name": operation.name,
            "definition": operation.definition,
            "documentation": operation.documentation,
        }
    )
