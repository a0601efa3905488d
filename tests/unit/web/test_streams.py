from io import BytesIO

import pytest
from flask import Request

from imaging_fhir.errors import UploadTooLarge
from imaging_fhir.web import streams


def request_of(octets: bytes, *, length: bool) -> Request:
    environ: dict[str, object] = {"wsgi.input": BytesIO(octets), "wsgi.input_terminated": True}
    if length:
        environ["CONTENT_LENGTH"] = str(len(octets))
    return Request(environ)


def test_pieces_join_to_the_whole() -> None:
    assert list(streams.chunks(BytesIO(b"abcdefg"), 3)) == [b"abc", b"def", b"g"]


@pytest.mark.parametrize(("length", "part"), [(0, b""), (4, b"abcd"), (99, b"abcdefg")])
def test_a_part_ends_where_it_should_and_closes_its_stream(length: int, part: bytes) -> None:
    stream = BytesIO(b"abcdefg")
    assert b"".join(streams.limited(stream, length, 3)) == part
    assert stream.closed


def test_a_part_that_is_not_read_to_its_end_closes_its_stream() -> None:
    stream = BytesIO(b"abcdefg")
    part = streams.limited(stream, 7, 3)
    next(part)
    part.close()
    assert stream.closed


@pytest.mark.parametrize("length", [True, False])
def test_a_body_is_read_whole_up_to_its_limit(length: bool) -> None:
    assert streams.body(request_of(b"abc", length=length), 3) == b"abc"
    with pytest.raises(UploadTooLarge):
        streams.body(request_of(b"abcd", length=length), 3)
