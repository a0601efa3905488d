import random
from collections.abc import Iterator
from io import BytesIO

import pytest

from imaging_fhir.dicomweb.multipart import (
    MAX_FIELD_BYTES,
    MAX_HEADER_BYTES,
    Part,
    body_end,
    new_boundary,
    part_start,
    parts,
    split_media_type,
)
from imaging_fhir.errors import InvalidRequest, UnsupportedMediaType, UploadTooLarge

RELATED = 'multipart/related; type="application/dicom"; boundary=b'
FORM = "multipart/form-data; boundary=b"
TWO = b"--b\r\nContent-Type: application/dicom\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--"
CUT = TWO[: TWO.index(b"one") + 2]


class Trickle(BytesIO):
    """A stream that gives less than is asked for, as a socket does."""

    def __init__(self, body: bytes, sizes: Iterator[int]) -> None:
        super().__init__(body)
        self.sizes = sizes

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(next(self.sizes))


class Endless:
    """One part of so many bytes that holding it whole would show."""

    def __init__(self, size: int) -> None:
        self.head = part_start("b", {})
        self.left = size
        self.largest_read = 0

    def read(self, size: int = -1, /) -> bytes:
        self.largest_read = max(size, self.largest_read)
        if self.head:
            head, self.head = self.head, b""
            return head
        if self.left == 0:
            self.left = -1
            return body_end("b")
        piece = min(size, max(self.left, 0))
        self.left -= piece
        return bytes(piece)


def whole(body: bytes, content_type: str = RELATED) -> list[bytes]:
    return [b"".join(part.chunks) for part in parts(BytesIO(body), content_type)]


def first(body: bytes, content_type: str) -> Part:
    return next(parts(BytesIO(body), content_type))


def test_parts_come_in_order_with_their_bytes() -> None:
    assert whole(TWO) == [b"one", b"two"]


def test_a_part_of_multipart_related_needs_no_content_disposition() -> None:
    part = first(TWO, RELATED)
    assert (part.content_type, part.name, part.filename) == ("application/dicom", None, None)


def test_a_part_of_a_form_has_its_name_and_file_name() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nx\r\n--b--'
    part = first(body, FORM)
    assert (part.name, part.filename) == ("file", "a.jpg")


def test_a_part_of_a_form_without_a_content_disposition_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Content-Disposition"):
        whole(TWO, FORM)


def test_a_field_is_read_as_text() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="d"\r\n\r\nWunde \xc3\xb6\r\n--b--'
    assert first(body, FORM).text() == "Wunde ö"


def test_a_field_in_another_character_set_is_refused() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="d"\r\n\r\n\xff\r\n--b--'
    with pytest.raises(InvalidRequest, match="UTF-8"):
        first(body, FORM).text()


def test_a_field_larger_than_its_limit_is_refused() -> None:
    value = b"x" * (MAX_FIELD_BYTES + 1)
    body = b'--b\r\nContent-Disposition: form-data; name="d"\r\n\r\n' + value + b"\r\n--b--"
    with pytest.raises(UploadTooLarge):
        first(body, FORM).text()


def test_a_part_that_nobody_reads_is_skipped() -> None:
    assert [part.content_type for part in parts(BytesIO(TWO), RELATED)] == ["application/dicom", ""]


def test_a_part_that_was_read_in_half_is_skipped_to_its_end() -> None:
    body = part_start("b", {}) + bytes(10**6) + part_start("b", {}) + b"two" + body_end("b")
    found = []
    for part in parts(BytesIO(body), RELATED):
        found.append(next(part.chunks)[:3])
    assert found == [bytes(3), b"two"]


@pytest.mark.parametrize("boundary", ["b", "=_part-1.2'()+,/:?", "x" * 70])
def test_a_boundary_may_be_quoted_or_not(boundary: str) -> None:
    body = part_start(boundary, {}) + b"one" + body_end(boundary)
    assert whole(body, f'multipart/related; boundary="{boundary}"') == [b"one"]
    assert whole(body, "multipart/related; boundary=" + boundary) == [b"one"]


@pytest.mark.parametrize(
    "value",
    [
        'multipart/related; type="application/dicom"; boundary=b',
        "Multipart/Related;type=application/dicom;boundary=b",
        "multipart/related; boundary=\"b\"; TYPE='x'; type=application/dicom ",
    ],
)
def test_the_type_parameter_may_be_quoted_or_not(value: str) -> None:
    media_type, parameters = split_media_type(value)
    assert (media_type, parameters["boundary"]) == ("multipart/related", "b")
    assert parameters["type"] in ("application/dicom", "'x'")


def test_preamble_and_epilogue_are_ignored() -> None:
    assert whole(b"For old mail readers.\r\n" + TWO + b"\r\nThe end.") == [b"one", b"two"]


def test_a_body_without_parts_has_none() -> None:
    assert whole(b"--b--") == []


def test_what_looks_like_the_boundary_within_a_part_belongs_to_it() -> None:
    content = b"\r\n--\r\n-b\r\r\n--\n--b--\r\n--c"
    assert whole(part_start("b", {}) + content + body_end("b")) == [content]


@pytest.mark.parametrize("largest", [1, 7, 100, 5000])
def test_pieces_of_any_size_give_the_same_parts(largest: int) -> None:
    chance = random.Random(3)
    contents = [chance.randbytes(chance.randrange(2000)) + b"\r\n--" for _ in range(20)]
    body = b"".join(part_start("b", {}) + content for content in contents) + body_end("b")
    stream = Trickle(body, iter(lambda: chance.randint(1, largest), 0))
    assert [b"".join(part.chunks) for part in parts(stream, RELATED)] == contents


def collect(body: bytes, found: list[bytes]) -> None:
    for part in parts(BytesIO(body), RELATED):
        found.append(b"".join(part.chunks))


@pytest.mark.parametrize("end", range(len(TWO)))
def test_every_cut_raises_and_only_parts_before_it_are_whole(end: int) -> None:
    found: list[bytes] = []
    with pytest.raises(InvalidRequest):
        collect(TWO[:end], found)
    assert found == ([b"one"] if end >= TWO.index(b"\r\n--b\r\n\r\ntwo") + 7 else [])


def test_a_cut_that_somebody_swallowed_is_raised_again() -> None:
    found = parts(BytesIO(CUT), RELATED)
    part = next(found)
    with pytest.raises(InvalidRequest):
        b"".join(part.chunks)
    with pytest.raises(InvalidRequest):
        next(found)


def test_a_client_that_goes_away_is_not_the_end_of_a_part() -> None:
    class Gone(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self.fail()

        def fail(self) -> bytes:
            raise ConnectionResetError

    found = parts(Gone(CUT), RELATED)
    part = next(found)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            b"".join(part.chunks)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--b\r\nno colon\r\n\r\n\r\n--b--",
        b"--b\nContent-Type: application/dicom\n\none\n--b--",
        b"--b\r\nContent-Type: a/b\r\n\r\none\r\n--bother",
        b"--b\r\nContent-Length: 2\r\n\r\none\r\n--b--",
        b"--b\r\nContent-Length: 4\r\n\r\none\r\n--b--",
        b"--b\r\nContent-Length: x\r\n\r\none\r\n--b--",
        b"--b\r\nX-\xff: 1\r\n\r\none\r\n--b--",
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        whole(body)


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n" + b"X-A: 1\r\n" * 33 + b"\r\none\r\n--b--",
        b"--b\r\nX-A: " + b"1" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\none\r\n--b--",
        b"--b\r\nX-A: " + b"1" * 10**6,
    ],
    ids=["many headers", "a long header", "a header without an end"],
)
def test_headers_have_limits(body: bytes) -> None:
    with pytest.raises(UploadTooLarge):
        whole(body)


def test_the_number_of_parts_has_a_limit() -> None:
    with pytest.raises(UploadTooLarge, match="count"):
        list(parts(BytesIO(TWO), RELATED, max_parts=1))


def test_another_type_of_body_is_not_supported() -> None:
    with pytest.raises(UnsupportedMediaType):
        list(parts(BytesIO(TWO), "application/dicom"))


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + 201 * "x", "; boundary=ü"])
def test_a_boundary_is_needed(boundary: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        list(parts(BytesIO(TWO), "multipart/related" + boundary))


def test_a_large_part_is_never_held_whole() -> None:
    stream = Endless(64 * 1024**2)
    largest = max(len(chunk) for part in parts(stream, RELATED) for chunk in part.chunks)
    assert largest <= 2 * stream.largest_read <= 1024**2


def test_what_is_written_is_read_back() -> None:
    boundary = new_boundary()
    body = part_start(boundary, {"Content-Type": "application/dicom"}) + b"one" + body_end(boundary)
    assert whole(body, f"multipart/related; boundary={boundary}") == [b"one"]
