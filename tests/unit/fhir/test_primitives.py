from decimal import Decimal
from typing import Any

import pytest

from imaging_fhir.fhir.primitives import CHECKS, is_id

RIGHT: list[tuple[str, Any]] = [
    ("base64Binary", "YQ=="),
    ("base64Binary", "YW\nFh"),
    ("boolean", False),
    ("canonical", "http://a.example|1"),
    ("code", "a b"),
    ("date", "2024-02-29"),
    ("date", "2024-02"),
    ("dateTime", "2024"),
    ("dateTime", "2024-02-29T23:59:60Z"),
    ("dateTime", "2024-02-29T23:59:59.123456+14:00"),
    ("decimal", Decimal("1.10")),
    ("decimal", 1),
    ("id", "a.B-1"),
    ("instant", "2024-02-29T23:59:59.1-03:30"),
    ("integer", -(2**31)),
    ("markdown", "# a\n\tb"),
    ("oid", "urn:oid:2.16.0.1"),
    ("positiveInt", 1),
    ("string", "山田 \r\n"),
    ("time", "10:00:00.5"),
    ("unsignedInt", 0),
    ("uri", "urn:x:y"),
    ("url", "https://a.example/?q=ä"),
    ("uuid", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
]
WRONG: list[tuple[str, Any]] = [
    ("base64Binary", "YQ"),
    ("base64Binary", "Y Q = = ="),
    ("base64Binary", ""),
    ("boolean", 0),
    ("code", " a"),
    ("code", "a\tb"),
    ("code", "a  b"),
    ("code", "a\n"),
    ("date", "2023-02-29"),
    ("date", "2024-2"),
    ("date", "24"),
    ("date", "٢٠٢٤"),
    ("dateTime", "2024-02-29T23:59:59"),
    ("dateTime", "2024-02-29T23:59Z"),
    ("dateTime", "2024-02T10:00:00Z"),
    ("dateTime", "2024-02-29 23:59:59Z"),
    ("dateTime", "2024-02-29T24:00:00Z"),
    ("decimal", True),
    ("decimal", "1"),
    ("id", "a_b"),
    ("id", "a" * 65),
    ("id", "a\n"),
    ("instant", "2024-02-29"),
    ("integer", 2**31),
    ("integer", Decimal("1.0")),
    ("oid", "2.16.1"),
    ("oid", "urn:oid:2.016"),
    ("positiveInt", 0),
    ("string", "a\x0b"),
    ("string", "\t"),
    ("string", 5),
    ("time", "10:00"),
    ("time", "10:00:00Z"),
    ("unsignedInt", -1),
    ("uri", "a b"),
    ("uri", ""),
    ("uuid", "c757873d-ec9a-4326-a141-556f43239520"),
    ("uuid", "urn:uuid:C757873D-EC9A-4326-A141-556F43239520"),
    ("xhtml", 1),
]


@pytest.mark.parametrize(("type_", "value"), RIGHT)
def test_a_right_value_has_no_fault(type_: str, value: Any) -> None:
    assert CHECKS[type_](value) is None


@pytest.mark.parametrize(("type_", "value"), WRONG)
def test_a_wrong_value_has_a_fault(type_: str, value: Any) -> None:
    assert CHECKS[type_](value)


def test_every_primitive_has_its_check() -> None:
    assert {type_ for type_, _ in RIGHT} | {"xhtml"} == set(CHECKS)


def test_an_id_is_told_from_other_text() -> None:
    assert is_id("1.2.840")
    assert not is_id("1.2/3")
