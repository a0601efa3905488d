"""Facts that the images of a series share: worked out once, as long as the images say the same.

What is worked out depends on nothing but the elements that were asked for. They are noted, so that
an image with the very same ones has the same facts, whatever else it says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from imaging_fhir.images.dicom_attributes import Attributes

T = TypeVar("T")
MAX_REMEMBERED = 128  # series


class Noting(dict[str, Any]):
    """A data set that notes what is asked of it."""

    def __init__(self, data_set: dict[str, Any]) -> None:
        super().__init__(data_set)
        self.asked: dict[str, Any] = {}

    def get(self, tag: str, default: Any = None) -> Any:
        found = self.asked[tag] = super().get(tag, default)
        return found

    def __contains__(self, tag: object) -> bool:
        return self.get(str(tag)) is not None


@dataclass(frozen=True, slots=True)
class Remembered(Generic[T]):
    tags: tuple[str, ...]
    elements: list[Any]
    facts: T

    def hold_for(self, data_set: dict[str, Any]) -> bool:
        return list(map(data_set.get, self.tags)) == self.elements


class SharedFacts(Generic[T]):
    """By series, as long as nothing was wrong with them: warnings are said of each image."""

    def __init__(self, work_out: Callable[[Attributes], T]) -> None:
        self.work_out = work_out
        self.remembered: dict[str, Remembered[T]] = {}

    def of(self, attributes: Attributes, series_instance_uid: str) -> T:
        known = self.remembered.get(series_instance_uid)
        if known is not None and known.hold_for(attributes.data_set):
            return known.facts
        noting, times = Noting(attributes.data_set), attributes.warnings.times
        facts = self.work_out(Attributes(noting, attributes.warnings))
        if attributes.warnings.times == times:
            if len(self.remembered) >= MAX_REMEMBERED:
                self.remembered.clear()
            asked = noting.asked
            self.remembered[series_instance_uid] = Remembered(
                tuple(asked), list(asked.values()), facts
            )
        return facts
