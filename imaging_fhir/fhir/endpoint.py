"""Endpoint: where a study's pixels are (https://hl7.org/fhir/R4/endpoint.html)."""

from imaging_fhir.fhir import canonical
from imaging_fhir.model.codec import Resource


def archive_endpoint(address: str, *, requires_access_token: bool = False) -> Resource:
    """The DICOMweb base of an archive; `address` may begin with the placeholder of our base."""
    return {
        "resourceType": "Endpoint",
        "extension": [
            {"url": canonical.REQUIRES_ACCESS_TOKEN, "valueBoolean": requires_access_token}
        ],
        "status": "active",
        "connectionType": {
            "system": canonical.CONNECTION_TYPE,
            "code": "dicom-wado-rs",
            "display": "DICOM WADO-RS",
        },
        "name": "DICOMweb",
        "payloadType": [_payload("any", "Any")],
        "payloadMimeType": ["application/dicom"],
        "address": address,
    }


def viewer_endpoint(address: str) -> Resource:
    """A page that shows the study, contained in it as `#viewer` (IHE Invoke Image Display)."""
    return {
        "resourceType": "Endpoint",
        "id": "viewer",
        "status": "active",
        "connectionType": {
            "system": canonical.CONNECTION_TYPE,
            "code": "ihe-iid",
            "display": "IHE IID",
        },
        "name": "Viewer",
        "payloadType": [_payload("none", "None")],
        "payloadMimeType": ["text/html"],
        "address": address,
    }


def picture_endpoint(address: str) -> Resource:
    """One picture that stands for the study, contained in it as `#picture`.

    None of the base's connection types (extensible) is of an address that is a picture itself.
    """
    return {
        "resourceType": "Endpoint",
        "id": "picture",
        "status": "active",
        "connectionType": {
            "system": canonical.OWN_CONNECTION_TYPE,
            "code": "picture",
            "display": "A picture by GET",
        },
        "name": "Picture",
        "payloadType": [_payload("none", "None")],
        "payloadMimeType": ["image/jpeg"],
        "address": address,
    }


def _payload(code: str, display: str) -> Resource:
    return {"coding": [{"system": canonical.PAYLOAD_TYPE, "code": code, "display": display}]}
