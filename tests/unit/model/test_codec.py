"""JSON that a client sends: digits are kept, and what is wrong is told with its place."""

import pytest

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.codec import decode_sent, encode


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"1.0", b"1.0"),
        (b"0.10", b"0.10"),
        (b"-0.0", b"-0.0"),
        (b"1e3", b"1E+3"),
        (b"1.00E+2", b"100"),
        (b"1E-7", b"1E-7"),
        (b"3.14159265358979323846264338327950288", b"3.14159265358979323846264338327950288"),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
    ],
)
def test_a_number_keeps_its_value_and_precision(sent: bytes, kept: bytes) -> None:
    assert encode(decode_sent(b'{"a":' + sent + b"}")) == b'{"a":' + kept + b"}"


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        (b'{"a":NaN}', "line 1, column 6"),
        (b'{"a":-Infinity}', "line 1, column 7"),
        (b'{\n "a": 1,\n  "b" 2}', "line 3, column 7"),
        ('{\n "ä": "ö" x}'.encode(), "line 2, column 11"),
        (b'{"a":\n"\xff"}', "it is no UTF-8 (line 2, column 2)"),
        (b'{"a": 1} x', "trailing characters (line 1"),
        (b'{"a": 1', "line 1, column 8"),
        (b"", "line 1, column 1"),
        (b'{"a": 01}', "line 1"),
        (b'{"a":' * 5000, "nested too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}", "out of range"),
        (b'{"a":"\\ud800"}', "out of range"),
    ],
)
def test_what_does_not_parse_is_told_with_its_place(sent: bytes, where: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode_sent(sent)
    assert where in str(raised.value)


@pytest.mark.parametrize(
    "sent",
    [
        b'{"name":1,"name":2}',
        b'[{"b":{"name":":","c":[],"name":{}}}]',
        b'{"name":"\\"","name":"\\\\"}',
        b'{"na\\u006de":1,"name":2}',
    ],
)
def test_a_name_twice_in_one_object_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"'name' twice"):
        decode_sent(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b'{"a":"q\\":\\\\","b":{"a":1,"c":"::"}}',
        b'[{"a":1},{"a":2}]',
        b'\xef\xbb\xbf{"a":"\\u003a"}',
        b'{"":{"":":"}}',
    ],
)
def test_the_same_name_in_other_objects_is_no_fault(sent: bytes) -> None:
    decode_sent(sent)
