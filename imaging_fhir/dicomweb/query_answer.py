"""What a search tells of a match (PS3.18 10.6.3): the attributes of its level that are wanted."""

from collections.abc import Mapping, Sequence
from functools import cache

from pydicom.datadict import dictionary_VR

from imaging_fhir.model.dicom_attribute import SERIES_TAGS, STUDY_TAGS, tags
from imaging_fhir.model.dicom_query import LEVELS, DicomQuery, Level
from imaging_fhir.model.study import DicomJson

CHARSET, UTF_8 = "00080005", "ISO_IR 192"
ONLINE = "ONLINE"
INSTANCE_AVAILABILITY, RETRIEVE_URL = "00080056", "00081190"
REQUIRED = {  # tables 10.6.3-3 to 10.6.3-5: there even where they are empty
    "study": tags(
        "00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 "
        "00100030 00100040 0020000D 00200010 00201206 00201208"
    ),
    "series": tags("00080060 00081190 0020000D 0020000E 00200011 00201209"),
    "instance": tags("00080016 00080018 00080056 00081190 0020000D 0020000E 00200013"),
}
TOLD_IF_KNOWN = {
    "study": tags("00080005 00080201 00081030"),
    "series": tags(
        "00080005 00080021 00080031 00080201 0008103E 00180015 00400244 00400245 00400275"
    ),
    "instance": tags("00080005 00083002 00280008 00280010 00280011 00280100"),
}
COMPUTED = tags("00080056 00080061 00080062 00081190 00201206 00201208 00201209")  # not of a file
OWN = {"study": STUDY_TAGS, "series": SERIES_TAGS}


def answer(elements: DicomJson, query: DicomQuery) -> DicomJson:
    """Those of the elements that the query wants, in the order of their tags."""
    required, told = tags_told(tuple(levels_told(query)))
    wanted = (told | query.include) & elements.keys() if not query.include_all else elements.keys()
    return {tag: elements.get(tag) or {"vr": vr_of(tag)} for tag in sorted(required | wanted)}


@cache
def tags_told(levels: tuple[Level, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """What is there even where it is empty, and with it what is told where it is known."""
    required = frozenset[str]().union(*(REQUIRED[level] for level in levels))
    return required, required.union(*(TOLD_IF_KNOWN[level] for level in levels))


def levels_told(query: DicomQuery) -> list[Level]:
    """Its own, and those above that the address leaves open (10.6.1.1)."""
    fixed = {"study": query.study is not None, "series": query.series is not None}
    own = LEVELS.index(query.level)
    return [level for level in LEVELS[: own + 1] if not fixed.get(level) or level == query.level]


def wants(query: DicomQuery, tag: str) -> bool:
    told = (REQUIRED[level] for level in levels_told(query))
    return query.include_all or tag in query.include or any(tag in of_level for of_level in told)


@cache
def vr_of(tag: str) -> str:
    return dictionary_VR(int(tag, 16))


def element(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def computed(values: Mapping[str, Sequence[object]], retrieve_url: str) -> DicomJson:
    """What no file says: counts, what is in a study, and where it can be had."""
    told = {tag: element(vr_of(tag), *some) for tag, some in values.items()}
    return {
        **told,
        CHARSET: element("CS", UTF_8),
        INSTANCE_AVAILABILITY: element("CS", ONLINE),
        RETRIEVE_URL: element("UR", retrieve_url),
    }
