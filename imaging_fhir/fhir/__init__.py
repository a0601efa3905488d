"""Model to and from FHIR R4 (4.0.1): one module a resource type; pure functions, no I/O."""
