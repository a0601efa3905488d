"""Many keys, a bounded number in each statement."""

from collections.abc import Collection, Iterator
from typing import Any

AT_ONCE = 500  # keys in one statement


def chunks(keys: Collection[Any]) -> Iterator[list[Any]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]
