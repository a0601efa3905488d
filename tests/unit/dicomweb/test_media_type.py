import pytest

from imaging_fhir.dicomweb.media_type import (
    DICOM,
    EXPLICIT_VR_LITTLE_ENDIAN,
    OCTET_STREAM,
    BulkForm,
    compressed_bulk_form,
    data_set_type,
    dicom_form,
    media_ranges,
    plain_bulk_form,
)
from imaging_fhir.errors import InvalidRequest, NotAcceptable

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"
POSSIBLE = (EXPLICIT_VR_LITTLE_ENDIAN, RLE)


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'MULTIPART/Related;Type="Application/DICOM";Transfer-Syntax="*"',
        "text/html, multipart/related; type=application/dicom;transfer-syntax=*;q=0.1",
        "multipart/related; transfer-syntax=*",
        "*/*",
        "",
    ],
)
@pytest.mark.parametrize("single", [True, False])
def test_instances_as_stored_in_parts(accept: str, single: bool) -> None:
    form = dicom_form(media_ranges(accept), single=single)
    assert form.is_multipart
    assert form.chosen(JPEG_BASELINE, POSSIBLE) == JPEG_BASELINE


def test_no_transfer_syntax_is_explicit_little_endian() -> None:
    form = dicom_form(media_ranges('multipart/related; type="application/dicom"'), single=False)
    assert form.chosen(JPEG_BASELINE, POSSIBLE) == EXPLICIT_VR_LITTLE_ENDIAN
    assert form.chosen(JPEG_BASELINE, ()) == JPEG_BASELINE  # rather than nothing


def test_every_transfer_syntax_that_is_listed_is_taken() -> None:
    accept = ", ".join(
        f"multipart/related; type={DICOM}; transfer-syntax={syntax}"
        for syntax in (JPEG_BASELINE, RLE)
    )
    form = dicom_form(media_ranges(accept), single=False)
    assert form.chosen(JPEG_BASELINE, POSSIBLE) == JPEG_BASELINE
    assert form.chosen(RLE, POSSIBLE) == RLE
    assert form.chosen(EXPLICIT_VR_LITTLE_ENDIAN, POSSIBLE) == RLE
    assert form.chosen(EXPLICIT_VR_LITTLE_ENDIAN, ()) is None


def test_as_stored_comes_before_others_that_are_liked_as_well_and_no_more() -> None:
    part = f"multipart/related; type={DICOM}; transfer-syntax"
    alike = dicom_form(media_ranges(f"{part}={RLE}, {part}={JPEG_BASELINE}"), single=False)
    assert alike.chosen(JPEG_BASELINE, POSSIBLE) == JPEG_BASELINE
    better = dicom_form(media_ranges(f"{part}={JPEG_BASELINE};q=0.5, {part}={RLE}"), single=False)
    assert better.chosen(JPEG_BASELINE, POSSIBLE) == RLE
    assert better.chosen(JPEG_BASELINE, ()) == JPEG_BASELINE


def test_the_form_with_the_best_quality_is_chosen() -> None:
    accept = "multipart/related; type=application/dicom; q=0.5, application/dicom; q=0.8"
    assert not dicom_form(media_ranges(accept), single=True).is_multipart
    assert dicom_form(media_ranges(accept), single=False).is_multipart


@pytest.mark.parametrize(
    ("accept", "single"),
    [
        ("application/dicom", False),
        ("application/*", False),
        ("text/html", True),
        ('multipart/related; type="image/jpeg"', True),
        ("application/dicom; q=0", True),
        ("application/dicom+json", True),
    ],
)
def test_what_instances_are_not_is_refused(accept: str, single: bool) -> None:
    with pytest.raises(NotAcceptable, match="multipart/related"):
        dicom_form(media_ranges(accept), single=single)


@pytest.mark.parametrize("accept", ["*/*; q=2", "*/*; q=x", "*/*; q=nan", "*/*; q=-1", 9000 * "a"])
def test_a_malformed_accept_is_refused(accept: str) -> None:
    with pytest.raises(InvalidRequest):
        media_ranges(accept)


def test_ranges_of_one_quality_keep_their_order() -> None:
    ranges = media_ranges('a/b;q=0.5, c/d, e/f;x="1,2", g/h;q=0')
    assert [one.media_type for one in ranges] == ["c/d", "e/f", "a/b"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/json", "application/dicom+json"),
        ("text/html, */*;q=0.1", "application/dicom+json"),
        ('multipart/related; type="application/dicom+xml"', "application/dicom+xml"),
        ("application/dicom+xml;q=0.9, application/dicom+json", "application/dicom+json"),
        ("application/dicom+xml, application/dicom+json;q=0.9", "application/dicom+xml"),
    ],
)
def test_data_sets_are_json_or_xml(accept: str, media_type: str) -> None:
    assert data_set_type(media_ranges(accept)) == media_type


@pytest.mark.parametrize(
    "accept", ["application/dicom", 'multipart/related; type="application/dicom+json"']
)
def test_data_sets_are_nothing_else(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        data_set_type(media_ranges(accept))


def bulk(accept: str, syntax: str = "") -> BulkForm:
    ranges = media_ranges(accept)
    return compressed_bulk_form(ranges, syntax) if syntax else plain_bulk_form(ranges)


def test_a_value_that_is_not_compressed_comes_alone_unless_in_parts() -> None:
    alone = BulkForm(is_multipart=False, media_type=OCTET_STREAM)
    assert bulk("*/*") == bulk(OCTET_STREAM) == alone
    assert bulk(f'multipart/related; type="{OCTET_STREAM}"').is_multipart
    with pytest.raises(NotAcceptable):
        bulk("image/jpeg")


@pytest.mark.parametrize(
    ("syntax", "media_type"),
    [
        (JPEG_BASELINE, "image/jpeg"),
        (RLE, "image/dicom-rle"),
        ("1.2.840.10008.1.2.4.90", "image/jp2"),
        ("1.2.840.10008.1.2.4.201", "image/jphc"),
        ("1.2.840.10008.1.2.4.102", "video/mp4"),
        ("1.2.3", OCTET_STREAM),
    ],
)
def test_compressed_frames_have_the_type_of_their_transfer_syntax(
    syntax: str, media_type: str
) -> None:
    assert bulk("*/*", syntax) == BulkForm(is_multipart=True, media_type=media_type)


def test_compressed_frames_are_octets_only_in_a_transfer_syntax_that_was_asked_for() -> None:
    octets = f'multipart/related; type="{OCTET_STREAM}"'
    assert bulk(f"{octets}; transfer-syntax=*", RLE).media_type == OCTET_STREAM
    assert bulk(f"{octets}; transfer-syntax={RLE}", RLE).media_type == OCTET_STREAM
    for accept in (octets, f"{octets}; transfer-syntax={JPEG_BASELINE}", "image/jpeg"):
        with pytest.raises(NotAcceptable, match="dicom-rle"):
            bulk(accept, RLE)
