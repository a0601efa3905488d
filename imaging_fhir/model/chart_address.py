"""Where the chart shows a resource, under the placeholder of our public address."""

from imaging_fhir.model.codec import ROOT_PLACEHOLDER

PAGES = {
    "Patient": "patients",
    "ImagingStudy": "studies",
    "DocumentReference": "documents",
    "Task": "held",
}


def chart_address(reference: str) -> str:
    """The page of `ImagingStudy/…`, `DocumentReference/…`, `Task/…` or `Patient/…`."""
    resource_type, _, resource_id = reference.partition("/")
    return f"{ROOT_PLACEHOLDER}/chart/{PAGES[resource_type]}/{resource_id}"
