"""Parts of an answer by the Range header (RFC 9110, 14)."""

from flask import request
from werkzeug.datastructures import Range
from werkzeug.exceptions import RequestedRangeNotSatisfiable


def wanted_part(size: int, validators: tuple[str, ...]) -> tuple[int, int]:
    """The range asked for, if it is one that stands alone; else all.

    `validators` are those of the answer that If-Range may name (ETag, Last-Modified): a part of
    another version must not be mixed with this one.
    """
    asked = request.range
    if asked is None or not is_single(asked) or not is_current(validators):
        return 0, size
    chosen = asked.range_for_length(size)
    if chosen is None:
        raise RequestedRangeNotSatisfiable(size)
    return chosen


def is_single(asked: Range) -> bool:
    return asked.units == "bytes" and len(asked.ranges) == 1


def is_current(validators: tuple[str, ...]) -> bool:
    condition = request.headers.get("If-Range")
    known = [validator.removeprefix("W/") for validator in validators]
    return condition is None or condition.removeprefix("W/") in known
