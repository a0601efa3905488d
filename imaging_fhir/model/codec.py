"""JSON in and out: decimals keep their digits (FHIR R4 json.html#primitive), and it is fast."""

from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from imaging_fhir.errors import InvalidRequest

Resource = dict[str, Any]
T = TypeVar("T")

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)

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
