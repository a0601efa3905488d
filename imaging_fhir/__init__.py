"""Every clinical image in the patient's chart: DICOM and all other images as FHIR R4."""

__version__ = "0.1.0"
