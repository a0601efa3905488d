"""A call as OpenAPI describes it, with the media types, answers and parameters of many."""

from dataclasses import dataclass, field, replace
from typing import Any

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
PAGE = "text/html"
READABLE = (FHIR_JSON, FHIR_XML, PAGE)
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
RELATED = "multipart/related"
FORM = "multipart/form-data"
URL_ENCODED = "application/x-www-form-urlencoded"

ANSWERS = {
    200: "Done.",
    201: "It was created.",
    202: "It was accepted.",
    204: "Done; there is nothing to say.",
    206: "The part asked for.",
    304: "It is as the client knows it.",
    400: "The request makes no sense.",
    401: "There is no access token, or it does not count.",
    403: "The caller may not do this.",
    404: "There is nothing of this name.",
    405: "This is not offered here.",
    406: "No form that the client accepts is served.",
    409: "It is in the way of something that refers to it, or of another image.",
    410: "It was deleted.",
    411: "The length of the body is not said.",
    412: "It changed meanwhile, or the condition fits several.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken.",
    416: "There is no such part.",
    422: "The content breaks a rule.",
    429: "Too many requests wait to be answered.",
    503: "Not now: try again later.",
    507: "There is no room left.",
}
ALWAYS = (400, 401, 403, 404, 406, 503)
WRITING = (*ALWAYS, 405, 409, 410, 412, 413, 415, 422, 507)


def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    schema = schema or {"type": "string"}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


COMMON_PARAMETERS = {
    "_format": query(
        "_format",
        "The form wanted; beats Accept.",
        enum=["json", "xml", "html", FHIR_JSON, FHIR_XML, PAGE],
    ),
    "_pretty": query("_pretty", "Indented for people.", enum=["true", "false"]),
    "_summary": query(
        "_summary", "A part of each resource.", enum=["true", "text", "data", "false"]
    ),
    "_elements": query("_elements", "Elements wanted, with commas."),
    "_count": query("_count", "Matches on a page.", type="integer", minimum=0),
    "_sort": query("_sort", "Parameters to sort by, with commas; - for descending."),
    "_include": query("_include", "Type:parameter: what matches refer to."),
    "_revinclude": query("_revinclude", "Type:parameter: what refers to matches."),
    "_total": query("_total", "Whether to count.", enum=["none", "estimate", "accurate"]),
    "_since": query("_since", "Versions from this instant on."),
    "_at": query("_at", "Versions that were current at some time in this."),
    "accept": query("accept", "Media types wanted; beats Accept."),
    "PatientID": query("PatientID", "As any attribute of DICOM: by keyword or tag, * and ?."),
    "StudyDate": query("StudyDate", "A day, or a range: 20260101-20260131."),
    "includefield": query("includefield", "Attributes wanted besides, with commas, or all."),
    "fuzzymatching": query(
        "fuzzymatching", "Names by how their words begin.", enum=["true", "false"]
    ),
    "limit": query("limit", "Results wanted at most.", type="integer", minimum=0),
    "offset": query("offset", "Results to leave out first.", type="integer", minimum=0),
    "window": query("window", "center,width,function: linear, linear-exact or sigmoid."),
    "viewport": query("viewport", "vw,vh or vw,vh,sx,sy,sw,sh: the size, and the region shown."),
    "quality": query("quality", "Of JPEG and WebP.", type="integer", minimum=1, maximum=100),
    "annotation": query("annotation", "patient, technique, overlay; with commas."),
    "iccprofile": query("iccprofile", "The profile sent along.", enum=["no", "yes", "srgb"]),
    "presentationUID": query("presentationUID", "The presentation state to show it by."),
    "presentationSeriesUID": query("presentationSeriesUID", "The series of that."),
    "requestType": query("requestType", "WADO.", enum=["WADO"]),
    "studyUID": query("studyUID", "StudyInstanceUID."),
    "seriesUID": query("seriesUID", "SeriesInstanceUID."),
    "objectUID": query("objectUID", "SOPInstanceUID."),
    "contentType": query("contentType", "Media types wanted, with commas, the best first."),
    "transferSyntax": query("transferSyntax", "UID, of application/dicom."),
    "frameNumber": query("frameNumber", "The frame shown.", type="integer", minimum=1),
    "rows": query("rows", "Pixels at most, from top to bottom.", type="integer", minimum=1),
    "columns": query("columns", "Pixels at most, from left to right.", type="integer", minimum=1),
    "region": query("region", "left,top,right,bottom: the part shown, as shares from 0 to 1."),
    "windowCenter": query("windowCenter", "Of the window, with windowWidth.", type="number"),
    "windowWidth": query("windowWidth", "Of the window, with windowCenter.", type="number"),
    "imageQuality": query("imageQuality", "Of JPEG.", type="integer", minimum=1, maximum=100),
    "If-None-Match": header("If-None-Match", "Versions that the client has."),
    "If-Modified-Since": header("If-Modified-Since", "When the client read it last."),
    "If-Match": header("If-Match", "The version that may be changed."),
    "If-None-Exist": header("If-None-Exist", "A search; nothing is created where it finds one."),
    "Prefer": header("Prefer", "return=minimal, handling=strict, respond-async."),
    "Range": header("Range", "The part of the bytes wanted."),
    "url": query("url", "The canonical address of a definition."),
    "Condition": query("identifier", "A search, by any of the type's parameters."),
}
FORMAT = ("_format", "_pretty")
PARTS = (*FORMAT, "_summary", "_elements")
CONDITIONS = ("If-None-Match", "If-Modified-Since")
SEARCH = (*PARTS, "_count", "_sort", "_include", "_revinclude", "_total", "Prefer")
QUERY = ("accept", "PatientID", "StudyDate", "includefield", "fuzzymatching", "limit", "offset")
STATE = ("presentationUID", "presentationSeriesUID")
RENDERED = ("window", "viewport", "quality", "annotation", "iccprofile", *STATE)
WADO_URI = (
    *("requestType", "studyUID", "seriesUID", "objectUID", "contentType", "transferSyntax"),
    *("frameNumber", "rows", "columns", "region", "windowCenter", "windowWidth", "imageQuality"),
    *("annotation", *STATE),
)
HISTORY = (*FORMAT, "_count", "_since", "_at")

IMAGE_FIELDS = ("patient", "encounter", "type", "bodySite", "laterality", "description", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    id: str
    method: str
    path: str
    tag: str
    summary: str
    well: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ALWAYS
    parameters: tuple[str, ...] = FORMAT
    sends: tuple[str, ...] = ()
    sent_type: str = ""
    answers: tuple[str, ...] = READABLE
    answer_type: str = ""
    is_search: bool = False
    is_long: bool = False  # may be answered later
    fields: dict[str, Any] = field(default_factory=dict)


def with_preferences(call: Call) -> Call:
    """With what `Prefer: respond-async` adds to a call that may take long (async.html)."""
    if not call.is_long:
        return call
    return replace(
        call,
        well=(*call.well, 202),
        errors=(*call.errors, 429),
        parameters=tuple(dict.fromkeys((*call.parameters, "Prefer"))),
    )
