"""The UIDs of an instance that was moved to another study, put in place of those of its bytes.

References to what moved with it lead to where that is now. What was there before is said in the
Original Attributes Sequence (PS3.3 C.12.1.1.9), but not whose the image was thought to be.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from imaging_fhir.images.dicom_stream import FileStart
from imaging_fhir.model.study import DicomJson

STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
REFERENCED = 0x00081155
ORIGINAL_ATTRIBUTES = 0x04000561
OF_LEVEL = frozenset({STUDY, SERIES})
UID_LIKE = re.compile(rb"[0-9][0-9.]{2,63}")
MODIFYING_SYSTEM = "IMAGING_FHIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedUids:
    """`moved` leads from each UID of the bytes to the one that took its place."""

    moved: Mapping[str, str]
    at: str  # when, as DT (PS3.5 6.2)

    def in_json(self, elements: DicomJson) -> DicomJson:
        """DICOM JSON of an instance, with its new UIDs and what they were."""
        known = elements.get(tag_name(ORIGINAL_ATTRIBUTES), {}).get("Value", [])
        before = {
            tag_name(tag): elements[tag_name(tag)]
            for tag in (INSTANCE, STUDY, SERIES)
            if tag_name(tag) in elements
        }
        found = {tag: self.element(one, is_whole=True) for tag, one in elements.items()}
        items = [*cast(list[Any], known), self.origin(before)]
        found[tag_name(ORIGINAL_ATTRIBUTES)] = {"vr": "SQ", "Value": items}
        return dict(sorted(found.items()))

    def origin_of(self, study: str, series: str, instance: str) -> DicomJson:
        """Original Attributes Sequence of the instance that has these UIDs now."""
        former: dict[str, str] = {}
        for original, uid in self.moved.items():
            former.setdefault(uid, original)  # the first is that of the bytes
        before: DicomJson = {
            tag_name(tag): {"vr": "UI", "Value": [former.get(uid, uid)]}
            for tag, uid in ((INSTANCE, instance), (STUDY, study), (SERIES, series))
        }
        item = {"vr": "SQ", "Value": [self.origin(before)]}
        return {tag_name(ORIGINAL_ATTRIBUTES): cast(dict[str, object], item)}

    def origin(self, before: DicomJson) -> DicomJson:
        """An item of it."""
        return {
            "04000550": {"vr": "SQ", "Value": [before]},
            "04000562": {"vr": "DT", "Value": [self.at]},
            "04000563": {"vr": "LO", "Value": [MODIFYING_SYSTEM]},
            "04000564": {"vr": "LO"},
            "04000565": {"vr": "CS", "Value": ["CORRECT"]},
        }

    def element(self, element: dict[str, Any], *, is_whole: bool) -> dict[str, Any]:
        if element.get("vr") == "UI" and is_whole:
            values = element.get("Value", [])
            return {**element, "Value": [self.moved.get(one, one) for one in values]}
        if element.get("vr") == "SQ" and "Value" in element:
            return {**element, "Value": [self.item(one) for one in element["Value"]]}
        return element

    def item(self, item: DicomJson) -> DicomJson:
        """The study and series of a reference only where all that it names has moved."""
        is_whole = self.have_moved(referenced_in(item))
        return {
            tag: self.element(one, is_whole=is_whole or int(tag, 16) not in OF_LEVEL)
            for tag, one in item.items()
        }

    def have_moved(self, referenced: Iterator[str]) -> bool:
        found = list(referenced)
        return bool(found) and all(one in self.moved for one in found)

    def in_bytes(
        self, start: FileStart, element: RawDataElement | DataElement, begin: int, end: int
    ) -> Dataset | None:
        """The element between these positions with new UIDs; None where it has none of them.

        The stream is left at the end of it.
        """
        tag = int(element.tag)
        if tag == ORIGINAL_ATTRIBUTES or vr_of(element) not in ("UI", "SQ"):
            return None
        start.stream.seek(begin)
        content = start.stream.read(end - begin)
        if not any(one.decode() in self.moved for one in UID_LIKE.findall(content)):
            return None
        found = elements_between(start, begin, end)
        self.change(found, is_whole=True)
        return found

    def change(self, data_set: Dataset, *, is_whole: bool) -> None:
        for tag in list(data_set.keys()):
            element = data_set.get_item(tag)
            if vr_of(element) == "SQ":
                for item in data_set[tag].value:
                    self.change(item, is_whole=self.have_moved(references_in(item)))
            elif vr_of(element) == "UI" and (is_whole or int(tag) not in OF_LEVEL):
                before = uids_of(element)
                after = [self.moved.get(one, one) for one in before]
                if after != before:
                    data_set.add(DataElement(tag, "UI", after, validation_mode=config.IGNORE))


def elements_between(start: FileStart, begin: int, end: int) -> Dataset:
    """Those of the data set at these positions; the stream is left at the end of them."""
    start.stream.seek(begin)
    content = BytesIO(start.stream.read(end - begin))
    return read_dataset(content, start.implicit_vr, start.little_endian)


def vr_of(element: Any) -> str:
    if element.VR is not None:
        return str(element.VR)
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return "UN"


def uids_of(element: Any) -> list[str]:
    """As the bytes have them, be they UIDs or not."""
    value = element.value
    if isinstance(value, bytes):
        return [one.strip(" \0") for one in value.decode("ascii", "replace").split("\\")]
    return [str(one) for one in value] if isinstance(value, list | MultiValue) else [str(value)]


def tag_name(tag: int) -> str:
    return f"{tag:08X}"


def referenced_in(item: DicomJson) -> Iterator[str]:
    """SOP Instance UIDs that it refers to, at any depth; JSON."""
    for tag, element in item.items():
        values = cast(list[Any], element.get("Value", []))
        if int(tag, 16) == REFERENCED:
            yield from values
        elif element.get("vr") == "SQ":
            for one in values:
                yield from referenced_in(one)


def references_in(data_set: Dataset) -> Iterator[str]:
    """The same of a data set."""
    for tag in list(data_set.keys()):
        vr = vr_of(data_set.get_item(tag))
        if int(tag) == REFERENCED:
            yield from uids_of(data_set.get_item(tag))
        elif vr == "SQ":
            for item in data_set[tag].value:
                yield from references_in(item)
