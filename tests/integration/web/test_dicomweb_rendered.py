"""`/rendered` and `/thumbnail`: what is asked by the query, in which form, kept, and for whom."""

import io
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageCms
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import body_end, part_start, parts
from imaging_fhir.images import decode, rendering
from imaging_fhir.images.decode import DecodeLimits
from imaging_fhir.services.composition import Services
from imaging_fhir.storage import rendered as kept
from imaging_fhir.storage import schema
from imaging_fhir.storage.blobs import BELONGINGS
from imaging_fhir.storage.prepared import Prepared
from tests.dicom_samples import (
    INSTANCE,
    SERIES,
    STUDY,
    ct_instance,
    data_set,
    dicom_file,
    pdf_instance,
    report_instance,
)
from tests.samples import pdf

STUDY_ADDRESS = f"/dicomweb/studies/{STUDY}"
SERIES_ADDRESS = f"{STUDY_ADDRESS}/series/{SERIES}"
ADDRESS = f"{SERIES_ADDRESS}/instances/{INSTANCE}"
Pixels = npt.NDArray[np.uint8]

RAMP = np.tile(np.arange(64, dtype=np.int16) * 4, (32, 1))
WINDOW = {"WindowCenter": "128", "WindowWidth": "256"}


def ramp(**attributes: Any) -> bytes:
    """Grey from black at the left to white at the right, which its window keeps."""
    values = attributes.pop("values", RAMP)
    rows, columns = values.shape[-2:]
    frames = {"NumberOfFrames": len(values)} if values.ndim == 3 else {}
    described: dict[str, Any] = {"PixelData": values.astype("<i2").tobytes(), **frames, **WINDOW}
    return ct_instance(rows=rows, columns=columns, **(described | attributes))


def cine(frames: int = 4) -> bytes:
    values = np.stack([RAMP * 0 + 60 * number for number in range(frames)])
    values[:, 0, 0] = 255
    return ramp(values=values, FrameTime="50")


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["imaging_fhir"]
    return found


@pytest.fixture
def send(client: FlaskClient) -> Callable[..., None]:
    def store(*files: bytes) -> None:
        head = part_start("b", {"Content-Type": "application/dicom"})
        body = b"".join(head + file for file in files) + body_end("b")
        related = 'multipart/related; type="application/dicom"; boundary=b'
        response = client.post("/dicomweb/studies", data=body, content_type=related)
        assert response.status_code == 200, response.data

    return store


def get(client: FlaskClient, address: str, accept: str = "", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = {"Accept": accept, **named} if accept else named
    return client.get(address, headers=asked, buffered=True)


def shown(response: TestResponse) -> Pixels:
    assert response.status_code == 200, response.data
    return np.asarray(Image.open(io.BytesIO(response.data)))


def parts_of(response: TestResponse) -> list[bytes]:
    found = parts(io.BytesIO(response.data), response.headers["Content-Type"])
    return [b"".join(part.chunks) for part in found]


def png(client: FlaskClient, address: str) -> Pixels:
    return shown(get(client, address, "image/png"))


def rows_kept(services: Services) -> int:
    with services.database.read() as connection:
        counted = connection.execute(select(func.count()).select_from(schema.rendered))
        return int(counted.scalar_one())


def test_an_instance_is_a_jpeg_of_all_its_pixels(client: FlaskClient, send: Any) -> None:
    send(ramp())
    response = get(client, f"{ADDRESS}/rendered")
    assert response.mimetype == "image/jpeg"
    assert shown(response).shape == (32, 64)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert np.abs(png(client, f"{ADDRESS}/rendered").astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif", "image/webp"])
def test_it_comes_in_the_type_that_is_accepted(
    client: FlaskClient, send: Any, media_type: str
) -> None:
    send(ramp())
    accept = f"application/dicom, image/*;q=0.1, {media_type};q=0.8"
    response = get(client, f"{ADDRESS}/rendered", accept)
    assert response.mimetype == media_type
    assert np.abs(shown(response).astype(int)[..., :1].reshape(32, -1)[0, 0]) <= 8
    by_query = client.get(f"{ADDRESS}/rendered?accept={media_type}", headers={"Accept": "*/*"})
    assert by_query.mimetype == media_type


def test_parts_are_sent_where_they_are_asked_for(client: FlaskClient, send: Any) -> None:
    send(ramp())
    response = get(client, f"{ADDRESS}/rendered", 'multipart/related; type="image/png"')
    [picture] = parts_of(response)
    assert Image.open(io.BytesIO(picture)).size == (64, 32)


def test_a_type_that_is_not_made_is_not_acceptable(client: FlaskClient, send: Any) -> None:
    send(ramp())
    response = get(client, f"{ADDRESS}/rendered", "image/tiff")
    assert response.status_code == 406
    assert "image/jpeg, image/png, image/gif, image/webp" in response.get_json()["error"]


def test_a_window_replaces_that_of_the_file(client: FlaskClient, send: Any) -> None:
    send(ramp())
    picture = png(client, f"{ADDRESS}/rendered?window=100.5,101,linear")[0]
    expected = np.clip((RAMP[0] - 100) / 100 + 0.5, 0, 1) * 255
    assert np.abs(picture - np.rint(expected)).max() <= 1
    exact = png(client, f"{ADDRESS}/rendered?window=100,100,linear-exact")[0]
    assert (exact == picture).all()
    sigmoid = png(client, f"{ADDRESS}/rendered?window=100,100,sigmoid")[0]
    assert np.abs(sigmoid - 255 / (1 + np.exp(-4 * (RAMP[0] - 100) / 100))).max() <= 1


@pytest.mark.parametrize(
    ("viewport", "size", "columns"),
    [
        ("32,32", (16, 32), slice(None)),
        ("128,128", (64, 128), slice(None)),
        ("32,32,32,0,32,32", (32, 32), slice(32, 64)),
        ("32,32,32,,", (32, 32), slice(32, 64)),
    ],
)
def test_a_viewport_is_filled_and_not_left(
    client: FlaskClient, send: Any, viewport: str, size: tuple[int, int], columns: slice
) -> None:
    send(ramp())
    picture = png(client, f"{ADDRESS}/rendered?viewport={viewport}")
    assert picture.shape == size
    assert picture.mean() == pytest.approx(RAMP[:, columns].mean(), abs=2)


def test_a_negative_width_of_the_region_flips_it(client: FlaskClient, send: Any) -> None:
    send(ramp())
    flipped = png(client, f"{ADDRESS}/rendered?viewport=64,32,0,0,-64,32")
    assert (flipped == png(client, f"{ADDRESS}/rendered")[:, ::-1]).all()


def test_a_lower_quality_is_a_smaller_file(client: FlaskClient, send: Any) -> None:
    send(ramp(values=np.random.default_rng(1).integers(0, 256, (64, 64))))
    sizes = [len(get(client, f"{ADDRESS}/rendered?quality={q}").data) for q in (10, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("window=1,2", "window"),
        ("window=1,2,other", "window"),
        ("window=a,2,linear", "window"),
        ("window=1,0,sigmoid", "window"),
        ("window=1,0.5,linear", "window"),
        ("window=1,nan,linear", "window"),
        ("viewport=10", "viewport"),
        ("viewport=0,10", "viewport"),
        ("viewport=10,999999", "viewport"),
        ("viewport=1.5,10", "viewport"),
        ("viewport=10,10,0,0,0,5", "viewport"),
        ("viewport=10,10,x,0,5,5", "viewport"),
        ("viewport=1,1,1,1,1,1,1", "viewport"),
        ("quality=0", "quality"),
        ("quality=101", "quality"),
        ("quality=high", "quality"),
        ("iccprofile=cmyk", "iccprofile"),
        ("presentationUID=1.2", "presentationUID"),
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, send: Any, query: str, name: str) -> None:
    send(ramp())
    response = client.get(f"{ADDRESS}/rendered?{query}")
    assert response.status_code == 400
    assert name in response.get_json()["error"]


def test_what_is_not_supported_is_ignored_with_a_warning(client: FlaskClient, send: Any) -> None:
    send(ramp())
    response = client.get(
        f"{ADDRESS}/rendered?iccprofile=adobergb&annotation=patient,halo&charset=x"
    )
    assert response.status_code == 200
    warnings = " ".join(response.headers.getlist("Warning"))
    assert "iccprofile=adobergb" in warnings
    assert "annotation" in warnings
    assert "charset" in warnings


def test_a_profile_is_sent_where_it_is_asked_for(client: FlaskClient, send: Any) -> None:
    send(ramp())
    assert "icc_profile" not in Image.open(io.BytesIO(get(client, f"{ADDRESS}/rendered").data)).info
    for value in ("yes", "srgb"):
        response = get(client, f"{ADDRESS}/rendered?iccprofile={value}")
        profile = io.BytesIO(Image.open(io.BytesIO(response.data)).info["icc_profile"])
        assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(profile))


def test_each_frame_is_rendered_and_several_come_in_parts(client: FlaskClient, send: Any) -> None:
    send(cine())
    assert png(client, f"{ADDRESS}/frames/2/rendered")[5, 5] == 60
    response = get(client, f"{ADDRESS}/frames/4,1/rendered", "image/png")
    found = parts_of(response)
    assert [np.asarray(Image.open(io.BytesIO(one)))[5, 5] for one in found] == [180, 0]
    assert client.get(f"{ADDRESS}/frames/5/rendered").status_code == 404
    assert client.get(f"{ADDRESS}/frames/0/rendered").status_code == 404
    assert client.get(f"{ADDRESS}/frames/1,x/rendered").status_code == 400
    assert png(client, f"{ADDRESS}/rendered")[5, 5] == 120  # the middle one


def test_frames_become_an_animated_gif(client: FlaskClient, send: Any) -> None:
    send(cine())
    response = get(client, f"{ADDRESS}/rendered", "image/gif")
    animation: Any = Image.open(io.BytesIO(response.data))
    assert animation.n_frames == 4
    assert animation.info["duration"] == 50
    some = Image.open(io.BytesIO(get(client, f"{ADDRESS}/frames/2,3/rendered", "image/gif").data))
    assert getattr(some, "n_frames", 1) == 2
    one = Image.open(io.BytesIO(get(client, f"{ADDRESS}/frames/2/rendered", "image/gif").data))
    assert getattr(one, "n_frames", 1) == 1


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_frames_become_a_video(client: FlaskClient, send: Any) -> None:
    send(cine())
    response = get(client, f"{ADDRESS}/rendered", "video/mp4")
    assert response.mimetype == "video/mp4"
    assert response.data[4:8] == b"ftyp"


def test_without_ffmpeg_a_video_is_not_acceptable(
    client: FlaskClient, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "FFMPEG", "no-such-program")
    send(cine())
    response = get(client, f"{ADDRESS}/rendered", "video/mp4")
    assert response.status_code == 406
    assert "ffmpeg" in response.get_json()["error"]


def test_a_picture_is_made_once(
    client: FlaskClient, send: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(ramp())
    first = get(client, f"{ADDRESS}/rendered")
    assert rows_kept(services) == 1
    monkeypatch.setattr(rendering, "RENDER_LIMITS", DecodeLimits(seconds=0.001))  # type: ignore[arg-type]
    assert get(client, f"{ADDRESS}/rendered").data == first.data
    known = client.get(f"{ADDRESS}/rendered", headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.data) == (304, b"")
    another = client.get(f"{ADDRESS}/rendered?quality=50")
    assert another.status_code == 503  # nothing is kept of another question
    assert another.headers["Retry-After"]


def test_not_more_pictures_are_kept_than_there_is_room_for(
    client: FlaskClient, send: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    outdated = select(schema.rendered.c.created).order_by(schema.rendered.c.created.desc())
    monkeypatch.setattr(kept, "OLDEST_KEPT", Prepared(outdated.limit(1).offset(3)))
    send(ramp())
    for quality in range(50, 60):
        get(client, f"{ADDRESS}/rendered?quality={quality}")
    assert rows_kept(services) == 3


def test_a_damaged_image_cannot_be_rendered_and_says_so(client: FlaskClient, send: Any) -> None:
    send(ct_instance(PixelData=b"\0\0"), report_instance(SOPInstanceUID=f"{INSTANCE}.2"))
    for path in ("rendered", "thumbnail"):
        response = get(client, f"{ADDRESS}/{path}")
        assert response.status_code == 406
        assert "cannot be rendered" in response.get_json()["error"]


def test_a_server_whose_decoders_are_busy_says_when_to_come_again(
    client: FlaskClient, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(ramp())
    monkeypatch.setattr(rendering, "PATIENCE_SECONDS", 0.01)
    for _ in range(decode.SIMULTANEOUS_CHILDREN):
        decode._slots.acquire()
    try:
        response = get(client, f"{ADDRESS}/rendered")
    finally:
        for _ in range(decode.SIMULTANEOUS_CHILDREN):
            decode._slots.release()
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert get(client, f"{ADDRESS}/rendered").status_code == 200


def in_series(number: int, instances: int, **attributes: Any) -> list[bytes]:
    return [
        ramp(
            SeriesInstanceUID=f"{SERIES}{number}",
            SeriesNumber=number,
            InstanceNumber=index + 1,
            SOPInstanceUID=f"{SERIES}{number}.{index + 1}",
            values=RAMP * 0 + 20 * number + index,
            **attributes,
        )
        for index in range(instances)
    ]


def test_a_study_is_shown_by_the_middle_of_its_largest_series_but_the_localizer(
    client: FlaskClient, send: Any
) -> None:
    send(
        *in_series(1, 5, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        *in_series(2, 3),
        *in_series(3, 2),
        *in_series(4, 6, Modality="OT"),
        *in_series(5, 4, SeriesDescription="Topogram 0.6"),
    )
    assert png(client, f"{STUDY_ADDRESS}/rendered")[5, 5] == 41
    assert png(client, f"{SERIES_ADDRESS}3/rendered")[5, 5] == 61
    assert png(client, f"{SERIES_ADDRESS}1/rendered")[5, 5] == 22
    thumbnail = get(client, f"{STUDY_ADDRESS}/thumbnail")
    assert shown(thumbnail)[5, 5] == 41


def test_a_localizer_within_a_series_does_not_stand_for_it(client: FlaskClient, send: Any) -> None:
    files = in_series(1, 3)
    files[1] = in_series(1, 2, ImageType=["DERIVED", "SECONDARY", "LOCALIZER"])[1]
    send(*files)
    assert png(client, f"{SERIES_ADDRESS}1/rendered")[5, 5] == 22


def test_the_background_chooses_the_same_and_makes_one_thumbnail_a_series(
    client: FlaskClient, send: Any, services: Services
) -> None:
    send(*in_series(1, 5), *in_series(2, 3))
    at_once = update(schema.job).where(schema.job.c.kind == "series-picture").values(due=0)
    services.database.write(lambda transaction: transaction.execute(at_once))
    while services.background.work():
        pass
    with services.database.read() as connection:
        made = connection.execute(select(func.count()).select_from(schema.rendition)).scalar_one()
    assert made == 2
    get(client, f"{STUDY_ADDRESS}/thumbnail")
    get(client, f"{SERIES_ADDRESS}2/thumbnail")
    with services.database.read() as connection:
        assert (
            connection.execute(select(func.count()).select_from(schema.rendition)).scalar_one() == 2
        )


def test_a_thumbnail_may_have_a_size_of_its_own(client: FlaskClient, send: Any) -> None:
    send(cine())
    assert shown(get(client, f"{ADDRESS}/thumbnail")).shape == (32, 64)
    assert shown(get(client, f"{ADDRESS}/thumbnail?viewport=16,16")).shape == (8, 16)
    assert shown(get(client, f"{ADDRESS}/frames/2/thumbnail", "image/png")).shape[1] == 256
    assert client.get(f"{ADDRESS}/thumbnail?viewport=16,16,1,1,2,2").status_code == 400
    assert client.get(f"{ADDRESS}/frames/9/thumbnail").status_code == 404


def test_a_document_comes_as_it_is(client: FlaskClient, send: Any) -> None:
    content = pdf()
    send(pdf_instance(content))
    response = get(client, f"{ADDRESS}/rendered")
    assert response.mimetype == "application/pdf"
    assert response.data[: len(content)] == content
    assert len(response.data) - len(content) <= 1
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
    assert get(client, f"{ADDRESS}/rendered", "image/png").status_code == 406
    assert shown(get(client, f"{ADDRESS}/thumbnail")).shape[1] < 256


def test_a_report_is_a_page_without_anything_that_acts(client: FlaskClient, send: Any) -> None:
    code = {"CodeValue": "1", "CodingSchemeDesignator": "99X", "CodeMeaning": "Findings"}
    text = {
        "RelationshipType": "CONTAINS",
        "ValueType": "TEXT",
        "ConceptNameCodeSequence": [code],
        "TextValue": "<script>alert(1)</script> & a nodule",
    }
    send(report_instance(ContentSequence=[text]))
    response = get(client, f"{ADDRESS}/rendered")
    assert response.mimetype == "text/html"
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; &amp; a nodule" in response.data
    assert b"<b>Findings:</b>" in response.data
    assert b"<script" not in response.data
    assert get(client, f"{ADDRESS}/rendered", "image/jpeg").status_code == 406


def state(**attributes: Any) -> bytes:
    """A presentation state of the image at ADDRESS."""
    reference = {"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
                 "ReferencedSOPInstanceUID": INSTANCE}  # fmt: skip
    described: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1",
        "SOPInstanceUID": f"{INSTANCE}.9",
        "SeriesInstanceUID": f"{SERIES}.9",
        "Modality": "PR",
        "PresentationLUTShape": "INVERSE",
        "ReferencedSeriesSequence": [
            {"SeriesInstanceUID": SERIES, "ReferencedImageSequence": [reference]}
        ],
        "SoftcopyVOILUTSequence": [dict(WINDOW)],
    }
    return dicom_file(data_set(described | attributes))


def test_a_presentation_state_is_its_image_as_it_is_to_be_shown(
    client: FlaskClient, send: Any
) -> None:
    send(ramp(), state(ImageHorizontalFlip="Y", ImageRotation=0))
    by_itself = png(client, f"{SERIES_ADDRESS}.9/instances/{INSTANCE}.9/rendered")
    assert np.abs(255 - RAMP[:, ::-1].astype(int) - by_itself).max() <= 1
    query = f"presentationUID={INSTANCE}.9&presentationSeriesUID={SERIES}.9"
    assert (png(client, f"{ADDRESS}/rendered?{query}") == by_itself).all()
    no_state = f"presentationUID={INSTANCE}&presentationSeriesUID={SERIES}"
    assert client.get(f"{ADDRESS}/rendered?{no_state}").status_code == 400
    unknown = f"presentationUID={INSTANCE}.8&presentationSeriesUID={SERIES}.9"
    assert client.get(f"{ADDRESS}/rendered?{unknown}").status_code == 404


def test_a_presentation_state_without_its_image_is_not_found(
    client: FlaskClient, send: Any
) -> None:
    send(state())
    response = client.get(f"{SERIES_ADDRESS}.9/instances/{INSTANCE}.9/rendered")
    assert response.status_code == 404


def test_annotations_are_written_into_the_picture(client: FlaskClient, send: Any) -> None:
    send(ramp(values=np.zeros((256, 256)), PatientName="Doe^Jane"))
    assert png(client, f"{ADDRESS}/rendered").max() == 0
    patient = png(client, f"{ADDRESS}/rendered?annotation=patient")
    technique = png(client, f"{ADDRESS}/rendered?annotation=technique")
    assert (patient[:60].max() > 250, patient[128:].max()) == (True, 0)
    assert (technique[:128].max(), technique[200:].max() > 250) == (0, True)


def test_what_is_held_is_not_there(client: FlaskClient, send: Any, services: Services) -> None:
    send(ramp())
    held = update(schema.study).values(state="held")
    services.database.write(lambda transaction: transaction.execute(held))
    for address in (STUDY_ADDRESS, SERIES_ADDRESS, ADDRESS, f"{ADDRESS}/frames/1"):
        for path in ("rendered", "thumbnail"):
            assert client.get(f"{address}/{path}").status_code == 404


@pytest.mark.parametrize("path", ["rendered", "thumbnail"])
def test_an_address_that_is_none_is_refused(client: FlaskClient, path: str) -> None:
    assert client.get(f"/dicomweb/studies/1.2;3/{path}").status_code == 400
    assert client.get(f"/dicomweb/studies/1.2.3/{path}").status_code == 404
    assert client.get(f"/dicomweb/studies/1.2.3/series/4/{path}").status_code == 404


def test_erased_bytes_take_their_pictures_along() -> None:
    assert schema.rendered.c.blob in BELONGINGS
