"""The EHR's FHIR R4 server as a client sees it: the master of patients, visits and orders."""
