"""The searches of the viewer (QIDO-RS): those among the studies of one patient.

To find what else there is of a patient it searches by PatientID. The same number may be another
person's, of another issuer, and one person may have several: so it is given a base below which
the studies of the shown one's Patient are searched, and the number is not looked at.
"""

from flask import Blueprint, Response, request

from imaging_fhir.model.dicom_query import Level
from imaging_fhir.web.chart import may_read
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.dicomweb_answers import answer_errors
from imaging_fhir.web.dicomweb_query import search_answer

bp = Blueprint("viewer_query", __name__, url_prefix="/viewer/<shown>")
answer_errors(bp)

PATIENT_NUMBER = frozenset({"PatientID", "00100020"})


@bp.get("/studies")
def search_for_studies(shown: str) -> Response:
    return search(shown, "study")


@bp.get("/studies/<study>/series")
def search_for_series(shown: str, study: str) -> Response:
    return search(shown, "series", study)


@bp.get("/studies/<study>/series/<series>/instances")
def search_for_instances(shown: str, study: str, series: str) -> Response:
    return search(shown, "instance", study, series)


def search(
    shown: str, level: Level, study: str | None = None, series: str | None = None
) -> Response:
    may_read("Patient", "ImagingStudy")
    asked = [one for one in request.args.items(multi=True) if one[0] not in PATIENT_NUMBER]
    patient = services().image_display.studies([shown], caller()).patient
    return search_answer(level, study, series, asked, patient=patient)
