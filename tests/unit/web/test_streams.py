from io import BytesIO

import pytest
from flask import Request
from werkzeug.exceptions import LengthRequired

from imaging_fhir.errors import InvalidRequest, UploadTooLarge
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


def announced(octets: bytes, length: int) -> Request:
    """A request that says a length, whose connection ends after these octets."""
    return Request(
        {
            "wsgi.input": BytesIO(octets),
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": str(length),
        }
    )


@pytest.mark.parametrize("size", [0, 1, streams.CHUNK, streams.CHUNK + 1])
def test_a_whole_body_comes_in_pieces(size: int) -> None:
    pieces = list(streams.sent(announced(bytes(size), size)))
    assert b"".join(pieces) == bytes(size)
    assert len(pieces) == -(-size // streams.CHUNK)


@pytest.mark.parametrize("size", [0, 1, 99])
def test_a_body_that_ends_too_early_is_refused(size: int) -> None:
    with pytest.raises(InvalidRequest, match="Content-Length"):
        list(streams.sent(announced(bytes(size), 100)))


def test_a_body_of_which_nobody_says_how_long_it_is_is_refused() -> None:
    with pytest.raises(LengthRequired):
        list(streams.sent(request_of(b"x", length=False)))


def test_no_body_has_no_pieces() -> None:
    assert list(streams.sent(request_of(b"", length=False))) == []
