import json
import math
import struct
from decimal import Decimal
from typing import Any

import pytest

from imaging_fhir.images.dicom_charset import charset_of
from imaging_fhir.images.dicom_json import CONVERTERS, Reading, inline_binary
from imaging_fhir.images.dicom_warnings import ReadWarnings
from imaging_fhir.model.codec import encode

SERIES_NUMBER = 0x00200011


def reading(charset: bytes = b"", *, little_endian: bool = True) -> Reading:
    return Reading(
        warnings=ReadWarnings(),
        little_endian=little_endian,
        charset=charset_of(charset),
        tag=SERIES_NUMBER,
    )


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("CS", b"ORIGINAL\\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
        ("CS", b"A\\\\C", ["A", None, "C"]),
        ("CS", b"\\", []),
        ("CS", b"  ", []),
        ("UI", b"1.2.3\0", ["1.2.3"]),
        ("LO", b" padded \\ x ", ["padded", "x"]),
        ("LT", b"  kept\\whole  ", ["  kept\\whole"]),
        ("UR", b"http://a/b\\c ", ["http://a/b\\c"]),
        ("PN", b"Roe^Jane", [{"Alphabetic": "Roe^Jane"}]),
        ("PN", b"=\xe5\xb1\xb1=", [{"Ideographic": "山"}]),
        ("PN", b"A\\\\B", [{"Alphabetic": "A"}, None, {"Alphabetic": "B"}]),
        ("PN", b"==", []),
        ("DS", b"1.50\\-2e3\\+7", [Decimal("1.50"), Decimal("-2e3"), 7]),
        ("DS", b"1\\\\.5", [1, None, Decimal("0.5")]),
        ("IS", b"12 \\-3", [12, -3]),
        ("IS", b"1.000", [1]),
        ("US", b"\x01\x00\xff\xff", [1, 65535]),
        ("SS", b"\xff\xff", [-1]),
        ("UL", b"\x01\x00\x00\x80", [2**31 + 1]),
        ("SV", b"\xff" * 8, [-1]),
        ("FL", b"\x00\x00\xc0\x3f", [1.5]),
        ("FD", struct.pack("<2d", 0.1, -1), [0.1, -1.0]),
        ("AT", b"\x10\x00\x20\x00", ["00100020"]),
    ],
)
def test_a_value_is_what_annex_f_says(vr: str, value: bytes, expected: list[Any]) -> None:
    found = reading(b"ISO_IR 192")
    assert CONVERTERS[vr](value, found) == expected
    assert found.warnings.as_tuple() == ()


@pytest.mark.parametrize(
    ("vr", "value", "expected", "message"),
    [
        ("DS", b"NaN", [], "is not a number"),
        ("DS", b"1\\inf", [1, None], "is not a number"),
        ("DS", b"1_000", [], "is not a number"),
        ("DS", b"1e999", [], "is not a number"),
        ("DS", b"1" * 40, [], "is longer than the 16 characters of DS"),
        ("DS", b"1,5", [], "is not a number"),
        ("IS", b"1.5", [], "is not a number"),
        ("IS", b"\xb2", [], "has characters that its VR does not allow"),
        ("IS", b"99999999999", [99999999999], "is beyond the 32 bits of IS"),
        ("US", b"\x01\x00\x02", [1], "is not made of values of 2 bytes"),
        ("AT", b"\x10\x00\x20\x00\x01", ["00100020"], "is not made of values of 4 bytes"),
        ("FD", struct.pack("<d", math.nan), [], "is not a finite number"),
        ("FL", struct.pack("<2f", 1, math.inf), [1.0, None], "is not a finite number"),
        ("SH", b"x" * 17, ["x" * 17], "is longer than the 16 characters of SH"),
        ("LO", b"a\\" + b"x" * 65, ["a", "x" * 65], "is longer than the 64 characters of LO"),
        ("PN", b"a=b=c=d", [{"Alphabetic": "a", "Ideographic": "b", "Phonetic": "c"}], "has more"),
        ("LO", b"\xe9", ["é"], "is not in the character set"),
        ("CS", b"\xe9", ["é"], "has characters that its VR does not allow"),
    ],
)
def test_a_malformed_value_is_noted_and_never_wrong(
    vr: str, value: bytes, expected: list[Any], message: str
) -> None:
    found = reading()
    assert CONVERTERS[vr](value, found) == expected
    warning = found.warnings.as_tuple()[0]
    assert warning.keyword == "SeriesNumber"
    assert warning.message.startswith(message)


def test_numbers_keep_their_digits_in_the_json_text() -> None:
    items = CONVERTERS["DS"](b"0.10\\1.000000000000001", reading())
    assert encode(items) == b"[0.10,1.000000000000001]"


@pytest.mark.parametrize(("vr", "code"), [("US", "H"), ("SL", "i"), ("UV", "Q"), ("FD", "d")])
def test_big_endian_numbers_are_read_as_such(vr: str, code: str) -> None:
    value = struct.pack(f">2{code}", 1, 2)
    assert CONVERTERS[vr](value, reading(little_endian=False)) == [1, 2]


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("OW", b"\x01\x02\x03\x04", "AgEEAw=="),
        ("OF", b"\x01\x02\x03\x04", "BAMCAQ=="),
        ("OB", b"\x01\x02", "AQI="),
        ("OW", b"\x01", "AQ=="),
    ],
)
def test_inline_binary_is_little_endian(vr: str, value: bytes, expected: str) -> None:
    assert inline_binary(vr, value, reading(little_endian=False)) == expected


@pytest.mark.parametrize("vr", CONVERTERS)
def test_any_bytes_of_any_vr_become_valid_json(vr: str) -> None:
    for value in (bytes(range(256)), b"\0" * 64, b"\xff" * 64, b"\x1b$B\x1b\\", b"=^\\" * 9):
        for charset in (b"", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"GB18030"):
            text = encode(CONVERTERS[vr](value, reading(charset)))
            assert isinstance(json.loads(text.decode("utf-8")), list)
