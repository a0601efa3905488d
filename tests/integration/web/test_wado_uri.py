"""WADO-URI: one instance by parameters, as DICOM or as a picture."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from pydicom import dcmread
from pydicom.uid import RLELossless

from tests.dicom_samples import INSTANCE, SERIES, STUDY, pdf_instance, report_instance
from tests.integration.web.test_dicomweb_rendered import RAMP, cine, get, ramp, shown

OBJECT = f"requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"


def send(client: FlaskClient, content: bytes) -> None:
    answer = client.post("/dicomweb/studies", data=content, content_type="application/dicom")
    assert answer.status_code == 200, answer.text


def wado(client: FlaskClient, *more: str) -> Any:
    return get(client, f"/dicomweb/wado?{'&'.join((OBJECT, *more))}")


def test_a_single_image_is_a_jpeg(client: FlaskClient) -> None:
    send(client, ramp())
    answer = wado(client)
    assert answer.mimetype == "image/jpeg"
    assert shown(answer).shape == RAMP.shape


def test_it_is_dicom_where_that_is_asked_for(client: FlaskClient) -> None:
    content = ramp()
    send(client, content)
    answer = wado(client, "contentType=application/dicom")
    assert (answer.status_code, answer.mimetype) == (200, "application/dicom")
    assert answer.data == content


def test_a_clip_goes_as_dicom_and_a_frame_of_it_as_a_picture(client: FlaskClient) -> None:
    send(client, cine())
    assert wado(client).mimetype == "application/dicom"
    frame = wado(client, "frameNumber=3", "contentType=image/png")
    assert shown(frame)[-1, -1] == 120
    assert wado(client, "frameNumber=5").status_code == 404


def test_the_transfer_syntax_is_that_asked_for(client: FlaskClient) -> None:
    send(client, ramp())
    answer = wado(client, "contentType=application/dicom", f"transferSyntax={RLELossless}")
    assert answer.status_code == 200
    found = dcmread(BytesIO(answer.data))
    assert found.file_meta.TransferSyntaxUID == RLELossless
    assert np.array_equal(found.pixel_array, RAMP)
    assert wado(client, "contentType=application/dicom", "transferSyntax=1.2.3").status_code == 406


def test_size_window_and_part_are_those_asked_for(client: FlaskClient) -> None:
    send(client, ramp())
    assert shown(wado(client, "rows=16")).shape == (16, 32)
    assert shown(wado(client, "columns=16", "rows=100")).shape == (8, 16)
    right = shown(wado(client, "region=0.5,0,1,1", "contentType=image/png"))
    assert right.shape == (32, 32)
    assert right.min() >= 124
    dark = shown(wado(client, "windowCenter=1000", "windowWidth=10", "contentType=image/png"))
    assert dark.max() == 0


def test_of_the_media_types_the_first_that_can_be_made_is_sent(client: FlaskClient) -> None:
    send(client, ramp())
    assert wado(client, "contentType=video/mpeg,image/png;q=0.5").mimetype == "image/png"
    assert wado(client, "contentType=text/html").status_code == 406


def test_a_report_is_a_page_of_text(client: FlaskClient) -> None:
    text = {"RelationshipType": "CONTAINS", "ValueType": "TEXT", "TextValue": "No nodule"}
    send(client, report_instance(ContentSequence=[text]))
    answer = wado(client)
    assert answer.mimetype == "text/html", answer.text


def test_a_document_is_a_pdf(client: FlaskClient) -> None:
    send(client, pdf_instance())
    assert wado(client).mimetype == "application/pdf"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("requestType=QIDO", "requestType"),
        ("requestType=WADO", "studyUID"),
        (f"requestType=WADO&studyUID={STUDY}&seriesUID=x&objectUID=1", "seriesUID"),
        (f"{OBJECT}&windowCenter=1", "windowCenter"),
        (f"{OBJECT}&windowCenter=a&windowWidth=1", "window"),
        (f"{OBJECT}&rows=0", "rows"),
        (f"{OBJECT}&columns=1.5", "columns"),
        (f"{OBJECT}&frameNumber=-1", "frameNumber"),
        (f"{OBJECT}&imageQuality=101", "quality"),
        (f"{OBJECT}&region=0,0,1", "region"),
        (f"{OBJECT}&region=0.5,0,0.5,1", "region"),
        (f"{OBJECT}&region=0,0,2,1", "region"),
        (f"{OBJECT}&contentType=application/dicom&transferSyntax=a", "transferSyntax"),
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, query: str, name: str) -> None:
    send(client, ramp())
    answer = get(client, f"/dicomweb/wado?{query}")
    assert answer.status_code == 400
    assert name in answer.text


def test_what_is_not_there_or_not_done_is_said(client: FlaskClient) -> None:
    assert wado(client).status_code == 404
    send(client, ramp())
    assert wado(client, "anonymize=yes").status_code == 406
