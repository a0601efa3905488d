"""Values that instances of one study should agree on, and what to do where they do not.

Of each attribute the first non-empty value counts, by series and instance number, whatever the
order in which the instances arrive: so each value is kept with the rank of where it came from.
"""

from dataclasses import dataclass, field
from operator import is_
from typing import Any, Generic, TypeVar

import msgspec

from imaging_fhir.model.codec import decode, encode

T = TypeVar("T")
Rank = tuple[int, int, str]  # series number, instance number, SOP Instance UID

MAX_SETTLED = 256
UNNUMBERED = 2**31  # after every number


def rank(series_number: int | None, instance_number: int | None, sop_instance_uid: str) -> Rank:
    return (
        UNNUMBERED if series_number is None else series_number,
        UNNUMBERED if instance_number is None else instance_number,
        sop_instance_uid,
    )


@dataclass(slots=True, kw_only=True)
class Merged:
    """Attribute name, or tag of an element -> (rank, value as JSON).

    `modalities` are those of a study's series.
    """

    values: dict[str, tuple[Rank, Any]] = field(default_factory=dict)
    modalities: dict[str, int] = field(default_factory=dict)  # -> lowest series number

    def add(self, attributes: object, position: Rank) -> "Change":
        """Take in what one more instance says."""
        change = Change()
        said = decode(encode(attributes))  # as what is stored: lists
        elements = said.pop("elements", {})
        for name, value in {**said, **elements}.items():
            if value is None or value in ((), []):
                continue
            known = self.values.get(name)
            differs = known is not None and known[1] != value
            if differs and name not in elements:
                change.disagreeing.append(name)
            if known is None or position < tuple(known[0]):
                self.values[name] = (position, value)
                change.stored = True
                if known is None or differs:
                    change.changed.add(name)
        return change

    def add_modality(self, modality: str, series_number: int | None) -> bool:
        """Say whether the list of modalities, or their order, may have changed."""
        number = UNNUMBERED if series_number is None else series_number
        if self.modalities.get(modality, UNNUMBERED + 1) <= number:
            return False
        self.modalities[modality] = number
        return True

    def join(self, other: "Merged") -> None:
        """Take in all that another part of the same study says."""
        for name, (position, value) in other.values.items():
            known = self.values.get(name)
            if known is None or tuple(position) < tuple(known[0]):
                self.values[name] = (position, value)
        for modality, number in other.modalities.items():
            self.modalities[modality] = min(number, self.modalities.get(modality, number))

    def ordered_modalities(self) -> tuple[str, ...]:
        return tuple(sorted(self.modalities, key=lambda name: (self.modalities[name], name)))

    def elements(self) -> dict[str, Any]:
        """In DICOM JSON, by tag."""
        return {name: value for name, (_, value) in self.values.items() if name[:1].isdigit()}

    def as_type(self, type_: type[T]) -> T:
        return msgspec.convert({name: value for name, (_, value) in self.values.items()}, type_)


@dataclass(slots=True, kw_only=True)
class Change:
    stored: bool = False  # the merged attributes must be written
    changed: set[str] = field(default_factory=set)  # attributes that have a new value
    disagreeing: list[str] = field(default_factory=list)


class Settled(Generic[T]):
    """What an image changed nothing of: nor does any later one of its series that says the same.

    "The same" is meant strictly: the very values that were compared, by identity, with what is
    stored to the byte. A value counts where its image comes first, so no later rank changes it.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, tuple[object, ...], Rank, T]] = {}

    def find(
        self, series: str, stored: bytes, said: tuple[object, ...], position: Rank
    ) -> T | None:
        """What was found of an image before it; None where this one is to be looked at."""
        known = self._known.get(series)
        if known is None:
            return None
        found_in, said_then, since, found = known
        is_same = found_in == stored and all(map(is_, said_then, said))
        return found if is_same and position >= since else None

    def note(
        self, series: str, stored: bytes, said: tuple[object, ...], position: Rank, found: T
    ) -> None:
        if len(self._known) >= MAX_SETTLED:
            self._known.clear()
        self._known[series] = stored, said, position, found
