"""The parameters of a search (PS3.18 8.3.4) to a query: what matches, what is told, which page."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, tag_for_keyword

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.dicom_attribute import (
    KEY_VRS,
    KEYS,
    TIMES,
    WORDS,
    match_text,
    name_text,
    time_text,
)
from imaging_fhir.model.dicom_query import (
    LEVELS,
    Between,
    Criterion,
    DicomQuery,
    Key,
    Level,
    Like,
    Match,
    OneOf,
)
from imaging_fhir.model.text import spelled_words

TAG = re.compile(r"[0-9A-Fa-f]{8}")
UID = re.compile(r"[0-9.]{1,64}")
NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
WORD_ENDS = re.compile(r"[\W_]+")
WILDCARD_VRS = frozenset({"AE", "CS", "LO", "PN", "SH", "UC", "UT"})  # of those that are keys
LISTS = frozenset({"00080060", "00080061"})  # of modalities, as viewers ask for several
SETTINGS = frozenset({"limit", "offset", "includefield", "fuzzymatching", "accept", "charset"})
UNSUPPORTED_SETTINGS = {
    "emptyvaluematching": "Empty Value Matching has not been performed.",
    "multiplevaluematching": "Multiple Value Matching has not been performed.",
}
TIMEZONE = "00080201"
MAX_CHARACTERS = 4096  # of a value
MAX_KEYS = 64
BOTH, UNTIL, FROM = "a-b", "-b", "a-"  # forms of a range

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Which resource is searched: its level, and what it is under."""

    level: Level
    study: str | None = None
    series: str | None = None


def parse_query(address: Address, parameters: Parameters, *, max_results: int) -> DicomQuery:
    """Raise InvalidRequest for what is no attribute, no value of its kind, or said twice.

    An attribute that is no key here matches everything, with a warning, as an optional key does in
    PS3.4 C.2.2.1.
    """
    settings = [(name, value) for name, value in parameters if name.lower() in SETTINGS]
    asked = keys_asked(parameters)
    warnings = list(unsupported_settings(parameters))
    keys = {path: value for path, value in asked.items() if is_key(path, address.level)}
    warnings += [f"The attribute {path} is no matching key here." for path in asked.keys() - keys]
    if TIMEZONE in asked:
        warnings.append("Dates and times are matched as the images have them.")
    includes = included(settings)
    return DicomQuery(
        level=address.level,
        study=address.study,
        series=address.series,
        criteria=tuple(criteria(keys, is_fuzzy=is_true(settings, "fuzzymatching"))),
        include=frozenset({*(path[:8] for path in asked), *includes} - {"all"}),
        include_all="all" in includes,
        limit=min(unsigned(settings, "limit", max_results), max_results),
        offset=unsigned(settings, "offset", 0),
        warnings=tuple(warnings),
    )


def keys_asked(parameters: Parameters) -> dict[str, str]:
    """Paths and values of all attributes that are named."""
    found: dict[str, str] = {}
    for name, value in parameters:
        if name.lower() in SETTINGS or name.lower() in UNSUPPORTED_SETTINGS:
            continue
        path = path_of(name)
        if path in found:
            raise InvalidRequest("An attribute is given twice.", expression=f"http.{name[:64]}")
        if len(value) > MAX_CHARACTERS or "\0" in value:
            raise InvalidRequest("A value is too long.", expression=f"http.{name[:64]}")
        found[path] = value
    if len(found) > MAX_KEYS:
        raise InvalidRequest(f"At most {MAX_KEYS} attributes can be matched at once.")
    return found


def path_of(name: str) -> str:
    """Of an attribute, or of one in the items of a sequence, each by keyword or tag."""
    return ".".join(map(tag_of, name.split(".")))


def tag_of(name: str) -> str:
    if TAG.fullmatch(name):
        return name.upper()
    tag = tag_for_keyword(name)
    if tag is None:
        raise InvalidRequest(
            f"{name[:64]!r} is neither a keyword nor a tag of DICOM, nor a parameter of searches.",
            expression=f"http.{name[:64]}",
        )
    return f"{tag:08X}"


def unsupported_settings(parameters: Parameters) -> Iterator[str]:
    for name, value in parameters:
        if name.lower() in UNSUPPORTED_SETTINGS and value.lower() == "true":
            yield (
                f"The {name.lower()} parameter is not supported. "
                + UNSUPPORTED_SETTINGS[name.lower()]
            )


def included(settings: Parameters) -> set[str]:
    """Tags, or `all`; of a sequence's attribute that of the sequence. Unknown ones are left out."""
    found: set[str] = set()
    for name, value in settings:
        if name.lower() != "includefield":
            continue
        for field in filter(None, (one.strip() for one in value.split(","))):
            first = field.partition(".")[0]
            tag = tag_for_keyword(first)
            if TAG.fullmatch(first):
                found.add(first.upper())
            elif field == "all" or tag is not None:
                found.add(field if tag is None else f"{tag:08X}")
    return found


def is_true(settings: Parameters, name: str) -> bool:
    """Raise InvalidRequest for what is neither true nor false."""
    value = single(settings, name, "false").lower()
    if value not in ("true", "false"):
        raise InvalidRequest(f"{name} is true or false.", expression=f"http.{name}")
    return value == "true"


def unsigned(settings: Parameters, name: str, default: int) -> int:
    value = single(settings, name, str(default))
    if not NUMBER.fullmatch(value):
        raise InvalidRequest(f"{name} is a whole number of 0 or more.", expression=f"http.{name}")
    return int(value)


def single(settings: Parameters, name: str, default: str) -> str:
    values = [value for known, value in settings if known.lower() == name]
    if len(values) > 1:
        raise InvalidRequest(f"{name} is given twice.", expression=f"http.{name}")
    return values[0].strip() if values else default


def level_of(path: str) -> Level | None:
    return next((level for level in LEVELS if path in KEYS[level]), None)


def is_key(path: str, level: Level) -> bool:
    """Can it be matched in a search at that level: its own, or one above?"""
    own = level_of(path)
    if own is None or path == TIMEZONE or LEVELS.index(own) > LEVELS.index(level):
        return False
    return vr_of(path) in KEY_VRS or vr_of(path) == "SQ"


def vr_of(path: str) -> str:
    return dictionary_VR(int(path[-8:], 16))


def criteria(keys: Mapping[str, str], *, is_fuzzy: bool) -> Iterator[Criterion]:
    """Of the keys with a value; one without matches everything (PS3.4 C.2.2.2.3)."""
    asked = {path: value.strip() for path, value in keys.items() if value.strip(" *")}
    combined = {path: moment for path in asked if (moment := combined_range(path, asked))}
    times = {TIMES[path] for path in combined}
    sequences: dict[str, list[Key]] = {}
    for path, value in asked.items():
        if path in times:
            continue
        if path in combined:
            yield criterion(path, combined[path])
        elif "." in path:
            key = Key(path=path, matches=matches_of(path, value))
            sequences.setdefault(path[:8], []).append(key)
        elif vr_of(path) == "PN":
            yield Criterion(level=own_level(path), alternatives=named(path, value, is_fuzzy))
        elif vr_of(path) != "SQ":
            yield criterion(path, *matches_of(path, value))
    for keys_of_items in sequences.values():
        level = own_level(keys_of_items[0].path)
        yield Criterion(level=level, alternatives=(tuple(keys_of_items),))


def criterion(path: str, *matches: Match) -> Criterion:
    return Criterion(level=own_level(path), alternatives=((Key(path=path, matches=matches),),))


def own_level(path: str) -> Level:
    return level_of(path) or "study"


def combined_range(path: str, asked: Mapping[str, str]) -> Between | None:
    """A date and its time, both ranges of one form, are one range (PS3.4 C.2.2.2.5.4)."""
    time = TIMES.get(path)
    if time is None or time not in asked:
        return None
    days, hours = range_form(asked[path]), range_form(asked[time])
    if days is None or days != hours:
        return None
    date, clock = date_range(path, asked[path]), time_range(time, asked[time])
    low = None if date.low is None else date.low + (clock.low or "")
    high = None if date.high is None else date.high + (clock.high or "")
    return Between(low=low, high=high)


def range_form(value: str) -> str | None:
    low, dash, high = value.partition("-")
    if not dash:
        return None
    return (BOTH if high else FROM) if low else UNTIL


def date_range(path: str, value: str) -> Between:
    return between(path, value, lambda text, _: match_text("DA", text))


def time_range(path: str, value: str) -> Between:
    return between(path, value, time_text)


def between(path: str, value: str, parsed: Callable[[str, str], str | None]) -> Between:
    """`a-b`, `a-`, `-b`, or `a` alone: all that it stands for."""
    low, dash, high = (part.strip() for part in value.partition("-"))
    if not dash:
        high = low
    bounds = [parsed(low, "0") if low else None, parsed(high, "9") if high else None]
    if (low and bounds[0] is None) or (high and bounds[1] is None) or not (low or high):
        raise not_a(path, "a date or time, nor a range of them")
    return Between(low=bounds[0], high=bounds[1])


def matches_of(path: str, value: str) -> tuple[Match, ...]:
    """Raise InvalidRequest where the value is none of the attribute's VR."""
    vr = vr_of(path)
    if vr == "DA":
        return (date_range(path, value),)
    if vr == "TM":
        return (time_range(path, value),)
    if vr == "UI":
        return (OneOf(values=uids(path, value)),)
    if vr in ("IS", "US", "UL"):
        return (OneOf(values=(whole_number(path, value),)),)
    if path in LISTS:
        return tuple(match_of(vr, one) for one in listed(value))
    return (match_of(vr, value),)


def match_of(vr: str, value: str) -> Match:
    if vr in WILDCARD_VRS and ("*" in value or "?" in value):
        return Like(pattern=value)
    return OneOf(values=(value,))


def listed(value: str) -> list[str]:
    return [one.strip() for one in re.split(r"[,\\]", value) if one.strip()]


def uids(path: str, value: str) -> tuple[str, ...]:
    """UID list matching: with commas, or with a backslash as in DIMSE (PS3.4 C.2.2.2.2)."""
    found = tuple(listed(value))
    if not found or not all(map(UID.fullmatch, found)):
        raise not_a(path, "a UID, nor a list of them")
    return found


def whole_number(path: str, value: str) -> str:
    found = match_text("IS", value)
    if found is None:
        raise not_a(path, "a whole number")
    return found


def not_a(path: str, kind: str) -> InvalidRequest:
    return InvalidRequest(f"The value of {path} is not {kind}.", expression=f"http.{path}")


def named(path: str, value: str, is_fuzzy: bool) -> tuple[tuple[Key, ...], ...]:
    """The groups of one name as they are asked for; if fuzzy, also its words, in any order."""
    groups = filter(None, map(name_text, value.split("=")))
    literal = tuple(Key(path=path, matches=(match_of("PN", group),)) for group in groups)
    words = tuple(words_of(path, value)) if is_fuzzy else ()
    return tuple(filter(None, (literal, words)))


def words_of(path: str, value: str) -> Iterator[Key]:
    """Each word begins one of the name's; spelled as it is, or as it is elsewhere."""
    for word in filter(None, WORD_ENDS.split(value)):
        spellings: Iterable[str] = sorted(spelled_words(word))
        matches = tuple(Between(low=one, high=one) for one in spellings)
        if matches:
            yield Key(path=path + WORDS, matches=matches)
