"""Attributes of a study and of a series that are kept apart: to be searched by, and to be answered.

Tags are 8 hex digits, as in DICOM JSON. A path is a tag, or the tag of a sequence, a dot and that
of an attribute of its items.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from imaging_fhir.model.text import folded, index_beginning, spelled_words

OF_PATIENT = 0x0010
# Size, weight and species are of the body in the image, whatever its name.
OF_BODY = frozenset({0x00101020, 0x00101030, 0x00102201, 0x00102202, 0x00102292, 0x00102293})
VISIT = frozenset({0x00380010, 0x00380011, 0x00380014, 0x00380060, 0x00380061, 0x00380064})


def tags(text: str) -> frozenset[str]:
    return frozenset(text.split())


STUDY_TAGS = tags(
    "00080020 00080030 00080050 00080051 00080090 0008009C 00080201 00081030 00081032 00081048 "
    "00081060 00081080 00100010 00100020 00100021 00100024 00100030 00100032 00100040 00101000 "
    "00101001 00101002 00101010 00102160 00102180 001021B0 00102201 00102292 00102297 00104000 "
    "00200010 00321032 00321033 00321060 00380010 00380014 00380060 00380064"
)
SERIES_TAGS = tags(
    "00080021 00080031 00080060 00080070 00080080 00080201 00081010 0008103E 0008103F 00081040 "
    "00081050 00081070 00081090 00180015 00181000 00181030 00185100 00200011 00200052 00200060 "
    "00400244 00400245 00400250 00400251 00400253 00400254 00400275"
)
SEQUENCE_KEYS = {  # what of their items is searched by
    "00080051": ("00400031", "00400032", "00400033"),
    "00081032": ("00080100", "00080102", "00080104"),
    "0008103F": ("00080100", "00080102", "00080104"),
    "00100024": ("00400032", "00400033"),
    "00101002": ("00100020", "00100021"),
    "00380014": ("00400031", "00400032", "00400033"),
    "00380064": ("00400031", "00400032", "00400033"),
    "00400275": ("00080050", "0020000D", "00321060", "00400007", "00400009", "00401001"),
}
SEQUENCE_PATHS = {  # by the tag of the sequence
    tag: frozenset(f"{tag}.{key}" for key in keys) for tag, keys in SEQUENCE_KEYS.items()
}
TIMES = {  # the time of a date: searched together where both are ranges (PS3.4 C.2.2.2.5.4)
    "00080020": "00080030",
    "00080021": "00080031",
    "00100030": "00100032",
    "00400244": "00400245",
    "00400250": "00400251",
}
WORDS = "~"  # after a path: of the words of a name, each for itself
KEY_VRS = tags("AE AS CS DA IS LO PN SH TM UC UI UT")
MOST_VALUES = 16  # of an attribute, or items of a sequence, that are searched by
NO_TIME = "000000.000000"

_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6})\d*)?)?)?", re.ASCII)

Element = Mapping[str, Any]


def paths(attributes: frozenset[str]) -> frozenset[str]:
    """The attributes, and what their sequences are searched by."""
    return attributes.union(*(SEQUENCE_PATHS.get(tag, ()) for tag in attributes))


KEYS: dict[str, frozenset[str]] = {  # by level, the upper ones first
    "study": paths(STUDY_TAGS) | tags("0020000D 00080061 00080062 00201206 00201208"),
    "series": paths(SERIES_TAGS) | tags("0020000E 00201209"),
    "instance": tags("00080018 00080016 00083002 00200013 00280008"),
}


class MatchRow(NamedTuple):
    """What an attribute is found by. Keys of one sequence match in the same item."""

    path: str
    item: int  # which item of the sequence, or which value
    value: str  # as `match_text` has it


def is_of_identity(tag: int) -> bool:
    """Does the element say whose image it is, or at which visit?"""
    return (tag >> 16 == OF_PATIENT and tag not in OF_BODY) or tag in VISIT


def elements_of(data_set: Mapping[str, Element], tags: frozenset[str]) -> dict[str, Any]:
    """Those of these attributes that have a value, each asked for by its tag."""
    found = ((tag, data_set.get(tag)) for tag in tags)
    return {tag: element for tag, element in found if element and "Value" in element}


def match_rows(elements: Mapping[str, Element]) -> list[MatchRow]:
    """All that the attributes of one study or series are found by."""
    return list(dict.fromkeys(_rows(elements)))


def _rows(elements: Mapping[str, Element]) -> Iterator[MatchRow]:
    for tag, element in elements.items():
        values = element.get("Value", ())[:MOST_VALUES]
        if element["vr"] != "SQ":
            yield from _rows_of(tag, element, elements)
            continue
        for number, item in enumerate(values):
            for key in SEQUENCE_KEYS.get(tag, ()):
                for row in _rows_of(key, item.get(key, {"vr": "UN"}), item):
                    yield MatchRow(f"{tag}.{row.path}", number, row.value)


def _rows_of(tag: str, element: Element, beside: Mapping[str, Element]) -> Iterator[MatchRow]:
    vr = element["vr"]
    if vr not in KEY_VRS:
        return
    for number, value in enumerate(element.get("Value", ())[:MOST_VALUES]):
        if vr == "PN":
            yield from _rows_of_name(tag, number, value or {})
            continue
        text = None if value is None else match_text(vr, str(value))
        if text is not None and tag in TIMES:
            text += time_of(beside.get(TIMES[tag], {}))
        if text is not None:
            yield MatchRow(tag, number, index_beginning(text))


def _rows_of_name(tag: str, number: int, groups: Mapping[str, str]) -> Iterator[MatchRow]:
    for group in groups.values():
        yield MatchRow(tag, number, index_beginning(name_text(group)))
    for word in sorted(spelled_words(" ".join(groups.values()))):
        yield MatchRow(tag + WORDS, number, index_beginning(word))


def match_text(vr: str, text: str) -> str | None:
    """A value in the form in which it is compared; None where it is none of its VR."""
    text = text.strip()
    if vr == "DA":
        found = _DATE.fullmatch(text)
        return "".join(found.groups()) if found else None
    if vr == "TM":
        return time_text(text, "0")
    if vr == "IS":
        return str(int(text)) if re.fullmatch(r"[+-]?\d{1,12}", text, re.ASCII) else None
    return text or None


def time_text(text: str, filling: str) -> str | None:
    """HHMMSS.ffffff of a TM value; what it leaves out is its beginning (0) or its end (9)."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    rest = "00" if filling == "0" else "59"
    whole = f"{hour}{minute or rest}{second or rest}"
    return f"{whole}.{(fraction or '').ljust(6, filling)}"


def time_of(element: Element) -> str:
    """Of a date without a time, the beginning of its day."""
    value = next(iter(element.get("Value", ())), None)
    return (time_text(value, "0") if isinstance(value, str) else None) or NO_TIME


def name_text(group: str) -> str:
    """A component group of a name, or a pattern of one, as it is compared (PS3.4 C.2.2.2.1)."""
    return "^".join(part.strip() for part in folded(group).split("^")).rstrip("^")
