"""JSON in and out: decimals keep their digits (FHIR R4 json.html#primitive), and it is fast."""

import codecs
import json
import re
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from imaging_fhir.errors import InvalidRequest

Resource = dict[str, Any]
T = TypeVar("T")

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BYTE = re.compile(r" \(byte (\d+)\)")

encode = _encoder.encode
encode_sorted = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


def pretty(text: bytes) -> bytes:
    """JSON text, indented for people."""
    return msgspec.json.format(text, indent=2)


def decode(data: bytes) -> Any:
    """The value of a JSON text; raise InvalidRequest where it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise InvalidRequest(f"The JSON does not parse: {error}") from error


def decode_sent(data: bytes) -> Any:
    """The same of what a client sent: told with line and column, and no name twice in an object.

    R4 json.html: names are unique. Of two with one name, parsers disagree which counts.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise InvalidRequest(f"The JSON does not parse: {fault_of(data, error)}.") from error
    if _STRING.sub(b"", data).count(b":") != names_in(value):
        raise InvalidRequest(f"The JSON has {repeated_name(data)} twice in one object.")
    return value


def fault_of(data: bytes, error: Exception) -> str:
    """What is wrong and where, without what was sent."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    try:
        text = data.decode()
    except UnicodeDecodeError as broken:
        return f"it is no UTF-8 ({place(data, broken.start)})"
    message = str(error)
    found = _BYTE.search(message)
    if found:
        what = message[: found.start()].removeprefix("JSON is malformed: ")
        return f"{what} ({place(data, int(found[1]))})"
    try:
        json.loads(text, parse_int=str)
    except json.JSONDecodeError as known:
        what = known.msg[:1].lower() + known.msg[1:]
        return f"{what} (line {known.lineno}, column {known.colno})"
    except RecursionError:
        return "it is nested too deeply"
    return "a number or an escape in it is out of range"


def place(data: bytes, offset: int) -> str:
    before = data[:offset].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def names_in(value: Any) -> int:
    count, left = 0, [value]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            count += len(found)
            left.extend(one for one in found.values() if isinstance(one, dict | list))
        elif isinstance(found, list):
            left.extend(one for one in found if isinstance(one, dict | list))
    return count


def repeated_name(data: bytes) -> str:
    names: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(name for name, _ in pairs)
        names.extend(name for name, count in counts.items() if count > 1)

    with suppress(RecursionError, ValueError):
        json.loads(data, object_pairs_hook=look, parse_int=str)
    return repr(names[0][:64]) if names else "a name"


def decode_as(type_: type[T], data: bytes) -> T:
    """A frozen value of the model from the JSON that `encode` made of it."""
    return msgspec.json.decode(data, type=type_)


# Stand for our own addresses in stored bytes, so that a site can move without a rewrite.
ROOT_PLACEHOLDER = "https://base.imaging-fhir.invalid"
BASE_PLACEHOLDER = f"{ROOT_PLACEHOLDER}/fhir"
_root = ROOT_PLACEHOLDER.encode()


def with_base(body: bytes, base: str) -> bytes:
    """Stored bytes as they are served under that FHIR base, which ends in /fhir."""
    return body.replace(_root, base.removesuffix("/fhir").encode())
