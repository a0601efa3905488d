"""What EXIF (CIPA DC-008) says of a picture: when, with what, and which way up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from PIL import Image
from PIL.ExifTags import IFD, Base

from imaging_fhir.model.study import Equipment, LocalDateTime, ReadWarning

OLDEST_YEAR = 1826  # the first photograph there is
SCANNED = (1, 2)  # FileSource: a film or print scanner
MAXIMUM_OFFSET = "14:00"

_DATE_TIME = re.compile(r"(\d{4})[:\-/.](\d\d)[:\-/.](\d\d)(?:[ T](\d\d):(\d\d):(\d\d))?")
_OFFSET = re.compile(r"[+-]\d\d:[0-5]\d|Z")

# date and time, decimals of its second, its offset; the first that is there counts
_CAPTURE_TIMES = (
    ("DateTimeOriginal", "SubsecTimeOriginal", "OffsetTimeOriginal"),
    ("DateTimeDigitized", "SubsecTimeDigitized", "OffsetTimeDigitized"),
    ("DateTime", "SubsecTime", "OffsetTime"),
)

Tags = Mapping[int, object]


@dataclass(slots=True)
class ExifFacts:
    taken: LocalDateTime | None = None
    equipment: Equipment | None = None
    orientation: int = 1
    is_photograph: bool = False
    warnings: list[ReadWarning] = field(default_factory=list)


def exif_facts(exif: Image.Exif) -> ExifFacts:
    """The facts; a malformed value is left out and becomes a warning."""
    tags: dict[int, object] = {**exif, **exif.get_ifd(IFD.Exif)}
    facts = ExifFacts()
    facts.taken = _taken(tags, facts.warnings)
    facts.equipment = _equipment(tags, facts.warnings)
    facts.orientation = _orientation(tags, facts.warnings)
    facts.is_photograph = _is_photograph(tags, facts.equipment)
    return facts


def _taken(tags: Tags, warnings: list[ReadWarning]) -> LocalDateTime | None:
    for keyword, subsecond, offset in _CAPTURE_TIMES:
        text = _text(tags, keyword, warnings)
        if text and (taken := local_date_time(text)):
            return _with_details(
                taken, _text(tags, subsecond, warnings), _text(tags, offset, warnings), warnings
            )
        if text:
            warnings.append(ReadWarning(keyword=keyword, message="is no date and time"))
    return None


def local_date_time(text: str) -> LocalDateTime | None:
    """`YYYY:MM:DD HH:MM:SS` where it is a moment that can be; None otherwise."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - whether it exists
    except ValueError:
        return None
    if moment.year < OLDEST_YEAR:
        return None
    return LocalDateTime(
        date=moment.date().isoformat(), time=moment.time().isoformat() if match[4] else None
    )


def _with_details(
    taken: LocalDateTime, subsecond: str | None, offset: str | None, warnings: list[ReadWarning]
) -> LocalDateTime:
    if taken.time is None:
        return taken
    time = taken.time
    if subsecond and subsecond.isascii() and subsecond.isdigit():
        time = f"{time}.{subsecond[:6]}"
    elif subsecond:
        warnings.append(ReadWarning(keyword="SubSecTime", message="is no fraction of a second"))
    if offset and not is_offset(offset):
        warnings.append(ReadWarning(keyword="OffsetTime", message="is no offset from UTC"))
        offset = None
    return LocalDateTime(date=taken.date, time=time, offset=offset)


def is_offset(text: str) -> bool:
    """+HH:MM, -HH:MM or Z, as far as there are such zones."""
    return bool(_OFFSET.fullmatch(text)) and (text == "Z" or text[1:] <= MAXIMUM_OFFSET)


def _equipment(tags: Tags, warnings: list[ReadWarning]) -> Equipment | None:
    software = _text(tags, "Software", warnings)
    equipment = Equipment(
        manufacturer=_text(tags, "Make", warnings),
        manufacturer_model_name=_text(tags, "Model", warnings),
        device_serial_number=_text(tags, "BodySerialNumber", warnings),
        software_versions=(software,) if software else (),
    )
    return None if equipment == Equipment() else equipment


def _orientation(tags: Tags, warnings: list[ReadWarning]) -> int:
    value = tags.get(Base.Orientation, 1)
    if isinstance(value, int) and 1 <= value <= 8:
        return value
    if value != 0:  # many programs write 0 where they mean nothing
        warnings.append(ReadWarning(keyword="Orientation", message="is none of 1 to 8"))
    return 1


def _is_photograph(tags: Tags, equipment: Equipment | None) -> bool:
    if equipment is None or not (equipment.manufacturer or equipment.manufacturer_model_name):
        return False
    source = tags.get(Base.FileSource)
    is_scanned = isinstance(source, bytes) and source[:1] in {bytes([code]) for code in SCANNED}
    return not is_scanned and (Base.ExposureTime in tags or Base.DateTimeOriginal in tags)


def _text(tags: Tags, keyword: str, warnings: list[ReadWarning]) -> str | None:
    """A tag's text without padding; blank text and blank dates mean unknown (DC-008 4.6.5)."""
    value = tags.get(Base[keyword])
    if value is None:
        return None
    if not isinstance(value, str):
        warnings.append(ReadWarning(keyword=keyword, message="is no text"))
        return None
    text = "".join(c for c in value.split("\0")[0] if c.isprintable()).strip()
    return text if text.strip(" :") else None
