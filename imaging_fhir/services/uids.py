"""UIDs that are made here."""

from collections.abc import Callable
from uuid import UUID


def new_uid(new_id: Callable[[], str]) -> str:
    """PS3.5 B.2: a UUID, as a number below 2.25."""
    return f"2.25.{UUID(new_id()).int}"
