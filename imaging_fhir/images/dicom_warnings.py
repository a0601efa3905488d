"""The warnings of one DICOM file, each said once and not without end."""

from functools import lru_cache

from pydicom.datadict import keyword_for_tag

from imaging_fhir.model.study import ReadWarning

MAX_WARNINGS = 100  # a hostile file must not grow its own report


class ReadWarnings:
    """Collects what was wrong; a message never repeats a value, which may name the patient."""

    def __init__(self) -> None:
        self.times = 0  # that something was wrong, also where it was said already
        self._found: dict[ReadWarning, None] = {}

    def add(self, keyword: str, message: str) -> None:
        self.times += 1
        if len(self._found) < MAX_WARNINGS:
            self._found[ReadWarning(keyword=keyword, message=message)] = None

    def add_for_tag(self, tag: int, message: str) -> None:
        self.add(keyword_of(tag), message)

    def as_tuple(self) -> tuple[ReadWarning, ...]:
        return tuple(self._found)


@lru_cache(maxsize=4096)
def keyword_of(tag: int) -> str:
    """The keyword of a public attribute (PS3.6), else the tag as 8 hexadecimal digits."""
    return keyword_for_tag(tag) or f"{tag:08X}"
