"""The viewer beside the chart: OHIF for exactly the studies that are asked for, of one patient."""

import json
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from imaging_fhir.errors import ImagingError, InvalidRequest, ResourceNotFound
from imaging_fhir.services.image_display import Shown
from imaging_fhir.web import chart
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.page_headers import HEADERS
from imaging_fhir.web.viewer_site import CONFIGURATION, ViewerSite, installed_viewer

bp = Blueprint("viewer", __name__)
bp.register_error_handler(ImagingError, chart.expected)
bp.register_error_handler(HTTPException, chart.http_error)
bp.register_error_handler(Exception, chart.fault)

STUDIES = "StudyInstanceUIDs"  # the viewer reads it from its address itself
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' {scripts}; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self' blob: data:; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOT_STORED = {"Cache-Control": "no-store"}
SOURCE = "@ohif/extension-default.dataSourcesModule.dicomweb"


@bp.get("/viewer")
def viewer() -> AnyResponse:
    """Raise InvalidRequest, ResourceNotFound, ResourceDeleted."""
    site = viewer_site()
    shown = shown_studies(comma_separated(STUDIES))
    asked = tuple(comma_separated(STUDIES))
    if asked != shown.studies:  # one that has another id than its UID, or twice
        return redirect(viewer_path(shown))
    config = f"/viewer/{CONFIGURATION}?{urlencode({STUDIES: ','.join(shown.studies)})}"
    body = site.page.replace(f'src="/{CONFIGURATION}"', f'src="{config}"')
    policy = POLICY.format(scripts=" ".join(site.script_hashes))
    headers = HEADERS | NOT_STORED | {"Content-Security-Policy": policy}
    return Response(body, headers=headers, content_type="text/html; charset=utf-8")


@bp.get(f"/viewer/{CONFIGURATION}")
def configuration() -> Response:
    viewer_site()
    shown = shown_studies(comma_separated(STUDIES))
    body = f"window.config = {json.dumps(config_of(shown))};\n"
    headers = {"X-Content-Type-Options": "nosniff"} | NOT_STORED
    return Response(body, headers=headers, content_type="text/javascript; charset=utf-8")


@bp.get("/iid")
@bp.get("/iid/IHEInvokeImageDisplay")
def invoke_image_display() -> AnyResponse:
    """RAD-106: STUDY leads to the viewer, or to the chart where none is installed; PATIENT to the
    patient's chart.

    Raise InvalidRequest, ResourceNotFound, ResourceDeleted.
    """
    request_type = request.args.get("requestType", "")
    if request_type == "PATIENT":
        chart.may_read("Patient", interaction="search-type")
        number = request.args.get("patientID", "")
        if not number:
            raise InvalidRequest("requestType=PATIENT needs patientID.")
        birth_date = request.args.get("patientBirthDate", "")
        patient = services().image_display.patient(number, birth_date, caller())
        return redirect(f"/chart/patients/{patient}")
    if request_type != "STUDY":
        raise InvalidRequest("requestType is STUDY or PATIENT.")
    return redirect(display_path(studies_asked_for()))


def studies_asked_for() -> Shown:
    uids, numbers = comma_separated("studyUID"), comma_separated("accessionNumber")
    if bool(uids) == bool(numbers):
        raise InvalidRequest("requestType=STUDY needs either studyUID or accessionNumber.")
    if uids:
        return shown_studies(uids)
    chart.may_read("ImagingStudy", interaction="search-type")
    return services().image_display.with_accession_numbers(numbers, caller())


def shown_studies(uids: list[str]) -> Shown:
    chart.may_read("Patient", "ImagingStudy")
    return services().image_display.studies(uids, caller())


def display_path(shown: Shown) -> str:
    if installed_viewer() is not None:
        return viewer_path(shown)
    if len(shown.studies) == 1:
        return f"/chart/studies/{shown.studies[0]}"
    return f"/chart/patients/{shown.patient}"


def viewer_path(shown: Shown) -> str:
    return f"/viewer?{STUDIES}={','.join(shown.studies)}"


def viewer_site() -> ViewerSite:
    site = installed_viewer()
    if site is None:
        raise ResourceNotFound(
            "No viewer is installed here: IMAGING_FHIR_VIEWER_DIR names the folder of one."
        )
    return site


def comma_separated(name: str) -> list[str]:
    listed = ",".join(request.args.getlist(name)).split(",")
    return [one.strip() for one in listed if one.strip()]


def config_of(shown: Shown) -> dict[str, Any]:
    """What OHIF is told (its app-config): one source, and no list of everybody's studies."""
    return {
        "name": "imaging_fhir",
        "routerBasename": None,
        "extensions": [],
        "modes": [],
        "customizationService": [{"ohif.tours": {"$set": []}}],
        "showStudyList": False,
        "maxNumberOfWebWorkers": 3,
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": False,
        "showLoadingIndicator": True,
        "strictZSpacingForVolumeViewport": True,
        "maxNumRequests": {"interaction": 100, "thumbnail": 5, "prefetch": 25},
        "showErrorDetails": "production",
        "investigationalUseDialog": {"option": "configure", "days": 30},
        "defaultDataSourceName": "dicomweb",
        "dataSources": [
            {
                "namespace": SOURCE,
                "sourceName": "dicomweb",
                "configuration": {
                    "friendlyName": "imaging_fhir",
                    "name": "imaging_fhir",
                    "wadoUriRoot": "/dicomweb/wado",
                    "qidoRoot": f"/viewer/{shown.studies[0]}",
                    "wadoRoot": "/dicomweb",
                    "qidoSupportsIncludeField": True,
                    "supportsReject": False,
                    "supportsStow": False,
                    "supportsFuzzyMatching": True,
                    "supportsWildcard": True,
                    "imageRendering": "wadors",
                    "thumbnailRendering": "thumbnail",
                    "thumbnailRequestStrategy": "fetch",
                    "enableStudyLazyLoad": True,
                    "singlepart": "bulkdata,video,pdf",
                    "bulkDataURI": {"enabled": True},
                    "omitQuotationForMultipartRequest": True,
                },
            }
        ],
    }
