"""Every search parameter of R4 that this server answers, type by type.

Source: https://hl7.org/fhir/R4/searchparameter-registry.html. A parameter is one line: its name,
and the element paths where they are not the name itself. Left out are `Location.near`, `_content`,
`_text` and `_query`.
"""

from dataclasses import replace
from functools import partial

from imaging_fhir.model.search import SearchParameter, SearchType

REGISTRY = "http://hl7.org/fhir/SearchParameter/"
AGENTS = "Device Organization Patient Practitioner PractitionerRole RelatedPerson"


def parameter(
    type_: SearchType,
    name: str,
    *paths: str,
    url: str = "",
    only: str = "",
    where: tuple[str, str] | None = None,
    exists: bool = False,
    phonetic: bool = False,
    uid: bool = False,
    targets: str = "",
    documentation: str = "",
) -> SearchParameter:
    """`url` is the last part of the canonical, where it is not TYPE-NAME."""
    return SearchParameter(
        name=name,
        type=type_,
        paths=paths or (element_name(name),),
        targets=tuple((targets or only).split()),
        url=url and REGISTRY + url,
        documentation=documentation,
        only=only,
        where=where,
        exists=exists,
        phonetic=phonetic,
        uid=uid,
    )


def element_name(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)


token = partial(parameter, "token")
reference = partial(parameter, "reference")
date = partial(parameter, "date")
string = partial(parameter, "string")
uri = partial(parameter, "uri")
quantity = partial(parameter, "quantity")
composite = partial(parameter, "composite")

COMMON = (
    token("_id", "id", url="Resource-id"),
    date("_lastUpdated", "meta.lastUpdated", url="Resource-lastUpdated"),
    uri("_profile", "meta.profile", url="Resource-profile"),
    token("_security", "meta.security", url="Resource-security"),
    uri("_source", "meta.source", url="Resource-source"),
    token("_tag", "meta.tag", url="Resource-tag"),
)

DECLARED: dict[str, tuple[SearchParameter, ...]] = {
    "ImagingStudy": (
        reference(
            "basedon",
            "basedOn",
            targets="Appointment AppointmentResponse CarePlan ServiceRequest Task",
        ),
        token("bodysite", "series.bodySite"),
        token("dicom-class", "series.instance.sopClass", uid=True),
        reference("encounter", targets="Encounter"),
        reference("endpoint", "endpoint", "series.endpoint", targets="Endpoint"),
        token("identifier", uid=True, url="clinical-identifier"),
        token("instance", "series.instance.uid", uid=True),
        reference("interpreter", targets="Practitioner PractitionerRole"),
        token(
            "modality",
            "series.modality",
            "modality",
            documentation="Also ImagingStudy.modality: a study known by its order has no series.",
        ),
        reference("patient", "subject", only="Patient", url="clinical-patient"),
        reference(
            "performer",
            "series.performer.actor",
            targets=f"CareTeam {AGENTS}",
        ),
        token("reason", "reasonCode"),
        reference("referrer", targets="Practitioner PractitionerRole"),
        token("series", "series.uid", uid=True),
        date("started"),
        token("status"),
        reference("subject", targets="Device Group Patient"),
    ),
    "DocumentReference": (
        reference("authenticator", targets="Organization Practitioner PractitionerRole"),
        reference(
            "author",
            targets=AGENTS,
        ),
        token("category"),
        token("contenttype", "content.attachment.contentType"),
        reference("custodian", targets="Organization"),
        date("date"),
        string("description"),
        reference(
            "encounter",
            "context.encounter",
            targets="Encounter EpisodeOfCare",
            url="clinical-encounter",
        ),
        token("event", "context.event"),
        token("facility", "context.facilityType"),
        token("format", "content.format"),
        token("identifier", "masterIdentifier", "identifier", url="clinical-identifier"),
        token("language", "content.attachment.language"),
        uri("location", "content.attachment.url"),
        reference("patient", "subject", only="Patient", url="clinical-patient"),
        date("period", "context.period"),
        reference("related", "context.related"),
        reference("relatesto", "relatesTo.target", targets="DocumentReference"),
        token("relation", "relatesTo.code"),
        composite("relationship", "relatesTo"),
        token("security-label"),
        token("setting", "context.practiceSetting"),
        token("status"),
        reference("subject", targets="Device Group Patient Practitioner"),
        token("type", url="clinical-type"),
    ),
    "Patient": (
        token("active"),
        string("address", url="individual-address"),
        string("address-city", "address.city", url="individual-address-city"),
        string("address-country", "address.country", url="individual-address-country"),
        string("address-postalcode", "address.postalCode", url="individual-address-postalcode"),
        string("address-state", "address.state", url="individual-address-state"),
        token("address-use", "address.use", url="individual-address-use"),
        date("birthdate", "birthDate", url="individual-birthdate"),
        date("death-date", "deceasedDateTime"),
        token("deceased", "deceased[x]", exists=True),
        token("email", "telecom", where=("system", "email"), url="individual-email"),
        string("family", "name.family", url="individual-family"),
        token("gender", url="individual-gender"),
        reference("general-practitioner", targets="Organization Practitioner PractitionerRole"),
        string("given", "name.given", url="individual-given"),
        token("identifier"),
        token("language", "communication.language"),
        reference("link", "link.other", targets="Patient RelatedPerson"),
        string("name"),
        reference("organization", "managingOrganization", targets="Organization"),
        token("phone", "telecom", where=("system", "phone"), url="individual-phone"),
        string("phonetic", "name", phonetic=True, url="individual-phonetic"),
        token("telecom", url="individual-telecom"),
    ),
    "Encounter": (
        reference("account", targets="Account"),
        reference("appointment", targets="Appointment"),
        reference("based-on", targets="ServiceRequest"),
        token("class"),
        date("date", "period", url="clinical-date"),
        reference("diagnosis", "diagnosis.condition", targets="Condition Procedure"),
        reference("episode-of-care", targets="EpisodeOfCare"),
        token("identifier", url="clinical-identifier"),
        quantity("length"),
        reference("location", "location.location", targets="Location"),
        date("location-period", "location.period"),
        reference("part-of", targets="Encounter"),
        reference(
            "participant",
            "participant.individual",
            targets="Practitioner PractitionerRole RelatedPerson",
        ),
        token("participant-type", "participant.type"),
        reference("patient", "subject", only="Patient", url="clinical-patient"),
        reference("practitioner", "participant.individual", only="Practitioner"),
        token("reason-code"),
        reference(
            "reason-reference", targets="Condition ImmunizationRecommendation Observation Procedure"
        ),
        reference("service-provider", targets="Organization"),
        token("special-arrangement", "hospitalization.specialArrangement"),
        token("status"),
        reference("subject", targets="Group Patient"),
        token("type", url="clinical-type"),
    ),
    "Practitioner": (
        token("active"),
        string("address", url="individual-address"),
        string("address-city", "address.city", url="individual-address-city"),
        string("address-country", "address.country", url="individual-address-country"),
        string("address-postalcode", "address.postalCode", url="individual-address-postalcode"),
        string("address-state", "address.state", url="individual-address-state"),
        token("address-use", "address.use", url="individual-address-use"),
        token("communication"),
        token("email", "telecom", where=("system", "email"), url="individual-email"),
        string("family", "name.family", url="individual-family"),
        token("gender", url="individual-gender"),
        string("given", "name.given", url="individual-given"),
        token("identifier"),
        string("name"),
        token("phone", "telecom", where=("system", "phone"), url="individual-phone"),
        string("phonetic", "name", phonetic=True, url="individual-phonetic"),
        token("telecom", url="individual-telecom"),
    ),
    "PractitionerRole": (
        token("active"),
        date("date", "period"),
        token("email", "telecom", where=("system", "email"), url="individual-email"),
        reference("endpoint", targets="Endpoint"),
        token("identifier"),
        reference("location", targets="Location"),
        reference("organization", targets="Organization"),
        token("phone", "telecom", where=("system", "phone"), url="individual-phone"),
        reference("practitioner", targets="Practitioner"),
        token("role", "code"),
        reference("service", "healthcareService", targets="HealthcareService"),
        token("specialty"),
        token("telecom", url="individual-telecom"),
    ),
    "Organization": (
        token("active"),
        string("address"),
        string("address-city", "address.city"),
        string("address-country", "address.country"),
        string("address-postalcode", "address.postalCode"),
        string("address-state", "address.state"),
        token("address-use", "address.use"),
        reference("endpoint", targets="Endpoint"),
        token("identifier"),
        string("name", "name", "alias"),
        reference("partof", "partOf", targets="Organization"),
        string("phonetic", "name", phonetic=True),
        token("type"),
    ),
    "Location": (
        string("address"),
        string("address-city", "address.city"),
        string("address-country", "address.country"),
        string("address-postalcode", "address.postalCode"),
        string("address-state", "address.state"),
        token("address-use", "address.use"),
        reference("endpoint", targets="Endpoint"),
        token("identifier"),
        string("name", "name", "alias"),
        token("operational-status"),
        reference("organization", "managingOrganization", targets="Organization"),
        reference("partof", "partOf", targets="Location"),
        token("status"),
        token("type"),
    ),
    "ServiceRequest": (
        date("authored", "authoredOn"),
        reference("based-on", targets="CarePlan MedicationRequest ServiceRequest"),
        token("body-site"),
        token("category"),
        token("code", url="clinical-code"),
        reference("encounter", targets="Encounter EpisodeOfCare", url="clinical-encounter"),
        token("identifier", url="clinical-identifier"),
        reference("instantiates-canonical", targets="ActivityDefinition PlanDefinition"),
        uri("instantiates-uri"),
        token("intent"),
        date("occurrence", "occurrence[x]"),
        reference("patient", "subject", only="Patient", url="clinical-patient"),
        reference(
            "performer",
            targets=f"CareTeam HealthcareService {AGENTS}",
        ),
        token("performer-type"),
        token("priority"),
        reference("replaces", targets="ServiceRequest"),
        reference(
            "requester",
            targets=AGENTS,
        ),
        token("requisition"),
        reference("specimen", targets="Specimen"),
        token("status"),
        reference("subject", targets="Device Group Location Patient"),
    ),
    "Endpoint": (
        token("connection-type"),
        token("identifier"),
        string("name"),
        reference("organization", "managingOrganization", targets="Organization"),
        token("payload-type"),
        token("status"),
    ),
    "Device": (
        string("device-name", "deviceName.name", "type.coding.display", "type.text"),
        token("identifier"),
        reference("location", targets="Location"),
        string("manufacturer"),
        string("model", "modelNumber"),
        reference("organization", "owner", targets="Organization"),
        reference("patient", targets="Patient"),
        token("status"),
        token("type"),
        string("udi-carrier", "udiCarrier.carrierHRF"),
        string("udi-di", "udiCarrier.deviceIdentifier"),
        uri("url"),
    ),
    "Task": (
        date("authored-on"),
        reference("based-on"),
        token("business-status"),
        token("code"),
        reference("encounter", targets="Encounter"),
        reference("focus"),
        token("group-identifier"),
        token("identifier"),
        token("intent"),
        date("modified", "lastModified"),
        reference(
            "owner",
            targets=f"CareTeam HealthcareService {AGENTS}",
        ),
        reference("part-of", targets="Task"),
        reference("patient", "for", only="Patient"),
        token("performer", "performerType"),
        date("period", "executionPeriod"),
        token("priority"),
        reference(
            "requester",
            targets=AGENTS,
        ),
        token("status"),
        reference("subject", "for"),
    ),
    "Provenance": (
        reference(
            "agent",
            "agent.who",
            targets=AGENTS,
        ),
        token("agent-role", "agent.role"),
        token("agent-type", "agent.type"),
        reference("entity", "entity.what"),
        reference("location", targets="Location"),
        reference("patient", "target", only="Patient"),
        date("recorded"),
        token("signature-type", "signature.type"),
        reference("target"),
        date("when", "occurredDateTime"),
    ),
    "Binary": (),
}


def parameters_of(resource_type: str) -> tuple[SearchParameter, ...]:
    """The type's own parameters and those of every resource, each with its canonical."""
    own = (
        found if found.url else replace(found, url=f"{REGISTRY}{resource_type}-{found.name}")
        for found in DECLARED[resource_type]
    )
    return (*own, *COMMON)
