"""Every call of the API as OpenAPI needs it: address, parameters, bodies and statuses."""

from collections.abc import Iterator
from dataclasses import replace

from imaging_fhir.fhir.capability_statement import SYSTEM_INTERACTIONS
from imaging_fhir.fhir.openapi_call import (
    ALWAYS,
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    FHIR_JSON,
    FORM,
    FORMAT,
    HISTORY,
    IMAGE_FIELDS,
    QUERY,
    RELATED,
    RENDERED,
    SEARCH,
    URL_ENCODED,
    WADO_URI,
    WRITING,
    Call,
)

PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp", RELATED)


def base_calls() -> Iterator[Call]:
    yield Call(
        id="capabilities",
        method="get",
        path="/fhir/metadata",
        tag="Server",
        summary="What the server can do (capabilities)",
        answer_type="CapabilityStatement",
    )
    yield Call(
        id="smartConfiguration",
        method="get",
        path="/fhir/.well-known/smart-configuration",
        tag="Server",
        summary="Where access tokens are had, where there is a log-in",
        errors=(400, 403, 404, 503),
        parameters=(),
        answers=("application/json",),
    )
    if "history-system" in SYSTEM_INTERACTIONS:
        yield Call(
            id="historyOfEverything",
            method="get",
            path="/fhir/_history",
            tag="Server",
            summary="All versions of everything, the newest first (history)",
            parameters=HISTORY,
            is_long=True,
            answer_type="Bundle",
        )
    if "search-system" in SYSTEM_INTERACTIONS:
        yield Call(
            id="searchEverything",
            method="get",
            path="/fhir",
            tag="Server",
            summary="Search across types (_type)",
            parameters=SEARCH,
            is_long=True,
            answer_type="Bundle",
        )
        yield Call(
            id="searchPostedEverything",
            method="post",
            path="/fhir/_search",
            tag="Server",
            summary="Search across types (_type), with a form",
            errors=(*ALWAYS, 413, 415),
            parameters=SEARCH,
            is_long=True,
            sends=(URL_ENCODED,),
            answer_type="Bundle",
        )
    yield Call(
        id="batch",
        method="post",
        path="/fhir",
        tag="Server",
        summary="Several interactions at once (batch, transaction)",
        errors=WRITING,
        parameters=(*FORMAT, "Prefer"),
        is_long=True,
        sends=(FHIR_JSON,),
        sent_type="Bundle",
        answer_type="Bundle",
    )

    status = Call(
        id="asyncStatus",
        method="get",
        path="/fhir/_async/{request}",
        tag="Server",
        summary="The answer to what was asked with respond-async, or how far it has come",
        well=(200, 202),
        answer_type="Bundle",
    )
    yield status
    yield replace(status, id="asyncCancel", method="delete", summary="Give it up", well=(202,))


def image_calls() -> Iterator[Call]:
    yield from import_calls()
    yield from rendering_calls()
    yield from dicomweb_calls()
    yield from query_calls()


def import_calls() -> Iterator[Call]:
    tag = "Images"
    said = {name: {"type": "string"} for name in IMAGE_FIELDS}
    yield Call(
        id="importImage",
        method="post",
        path="/fhir/$import-image",
        tag=tag,
        summary="Take in images of any kind",
        errors=(*WRITING, 411),
        parameters=("_format", "Prefer"),
        is_long=True,
        sends=(FORM, "*/*"),
        answer_type="Bundle",
        fields=said | {"file": {"type": "string", "format": "binary"}},
    )


def rendering_calls() -> Iterator[Call]:
    for name, summary in (("thumbnail", "A small picture"), ("preview", "A large picture")):
        yield Call(
            id=f"{name}OfBinary",
            method="get",
            path=f"/fhir/Binary/{{id}}/${name}",
            tag="Images",
            summary=f"{summary} of a photo, scan or PDF",
            well=(200, 304),
            errors=(*ALWAYS, 410, 415, 422),
            parameters=(),
            answers=("image/jpeg", "image/png"),
        )


def dicomweb_calls() -> Iterator[Call]:
    study = "/dicomweb/studies/{study}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"
    yield store_call("storeInstances", "/dicomweb/studies")
    yield store_call("storeInstancesOfStudy", study)
    for name, path in (("Study", study), ("Series", series), ("Instance", instance)):
        yield retrieve_call(f"retrieve{name}", path, "DICOM, as stored", (RELATED, DICOM))
        metadata = f"{path}/metadata"
        yield retrieve_call(f"metadataOf{name}", metadata, "DICOM JSON", (DICOM_JSON,))
    frames = f"{instance}/frames/{{frames}}"
    yield retrieve_call("retrieveFrames", frames, "Frames", (RELATED, "*/*"))
    for name, path in (
        ("Study", study),
        ("Series", series),
        ("Instance", instance),
        ("Frames", frames),
    ):
        yield rendered_call(f"rendered{name}", f"{path}/rendered", "A picture", RENDERED)
        yield rendered_call(
            f"thumbnailOf{name}", f"{path}/thumbnail", "A small picture", ("viewport",)
        )
    yield Call(
        id="retrieveByParameters",
        method="get",
        path="/dicomweb/wado",
        tag="DICOMweb",
        summary="One instance, as DICOM or as a picture (WADO-URI)",
        well=(200, 304),
        errors=(*ALWAYS, 410, 422),
        parameters=("If-None-Match", *WADO_URI),
        answers=(DICOM, "*/*"),
    )
    bulk = f"{instance}/bulkdata/{{path}}"
    yield retrieve_call("retrieveBulkData", bulk, "A large value", (RELATED, "*/*"))


def store_call(call_id: str, path: str) -> Call:
    return Call(
        id=call_id,
        method="post",
        path=path,
        tag="DICOMweb",
        summary="Store instances (STOW-RS)",
        well=(200, 202),
        errors=(*WRITING, 411),
        parameters=("accept",),
        sends=(RELATED, DICOM),
        answers=(DICOM_JSON, DICOM_XML),
    )


def retrieve_call(call_id: str, path: str, what: str, answers: tuple[str, ...]) -> Call:
    return Call(
        id=call_id,
        method="get",
        path=path,
        tag="DICOMweb",
        summary=f"{what} (WADO-RS)",
        well=(200, 304),
        errors=(*ALWAYS, 410),
        parameters=("accept", "If-None-Match"),
        answers=answers,
    )


def rendered_call(call_id: str, path: str, what: str, asked: tuple[str, ...]) -> Call:
    return Call(
        id=call_id,
        method="get",
        path=path,
        tag="DICOMweb",
        summary=f"{what} of it (WADO-RS)",
        well=(200, 304),
        errors=(*ALWAYS, 410),
        parameters=("accept", "If-None-Match", *asked),
        answers=PICTURES,
    )


def query_calls() -> Iterator[Call]:
    study = "/dicomweb/studies/{study}"
    for name, path in (
        ("Studies", "/dicomweb/studies"),
        ("Series", "/dicomweb/series"),
        ("SeriesOfStudy", f"{study}/series"),
        ("Instances", "/dicomweb/instances"),
        ("InstancesOfStudy", f"{study}/instances"),
        ("InstancesOfSeries", f"{study}/series/{{series}}/instances"),
    ):
        yield Call(
            id=f"searchFor{name}",
            method="get",
            path=path,
            tag="DICOMweb",
            summary="Search by DICOM attributes (QIDO-RS)",
            well=(200, 204),
            parameters=QUERY,
            answers=(DICOM_JSON, RELATED),
        )
