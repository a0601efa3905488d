"""Addresses of code systems and extensions: our own, all under one base, and those of others."""

BASE = "https://imaging-fhir.org/fhir"

PATIENT_ORIGIN = f"{BASE}/CodeSystem/patient-origin"
DOCUMENT_CATEGORY = f"{BASE}/CodeSystem/document-category"
TASK_CODE = f"{BASE}/CodeSystem/task-code"
TASK_STATE = f"{BASE}/CodeSystem/task-state"
TASK_INPUT = f"{BASE}/CodeSystem/task-input"
IMAGE_SOURCE = f"{BASE}/CodeSystem/image-source"
HOLD_REASON = f"{BASE}/CodeSystem/hold-reason"
CORRECTION = f"{BASE}/CodeSystem/correction"
LINK_RULE = f"{BASE}/CodeSystem/link-rule"
OWN_CONNECTION_TYPE = f"{BASE}/CodeSystem/endpoint-connection-type"
STUDY_STATE = f"{BASE}/CodeSystem/study-state"
LATERALITY_EXTENSION = f"{BASE}/StructureDefinition/laterality"
THUMBNAIL_EXTENSION = f"{BASE}/StructureDefinition/thumbnail"

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport"

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED_CT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
DICOM_UID = "urn:dicom:uid"
URI = "urn:ietf:rfc:3986"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PROVENANCE_AGENT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
AUDIT_EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
AUDIT_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
RESTFUL_INTERACTION = "http://hl7.org/fhir/restful-interaction"
PARTICIPATION_TYPE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
CONNECTION_TYPE = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
SECURITY_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
PAYLOAD_TYPE = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"
FORMAT_CODE = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
NAME_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
REQUIRES_ACCESS_TOKEN = (
    "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"  # noqa: S105
)
DOCUMENT_MODALITY = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference.modality"
)
DOCUMENT_BODY_SITE = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference.bodySite"
)
