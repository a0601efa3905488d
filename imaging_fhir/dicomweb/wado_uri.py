"""The query of WADO-URI (PS3.18 9): one instance, as DICOM or rendered, by parameters alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imaging_fhir.dicomweb.media_type import (
    DICOM,
    EXPLICIT_VR_LITTLE_ENDIAN,
    DicomForm,
    MediaRange,
    media_ranges,
)
from imaging_fhir.dicomweb.rendered_parameters import LARGEST_SIDE
from imaging_fhir.errors import InvalidRequest, NotAcceptable

UID = re.compile(r"[0-9.]{1,64}")
WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
FRACTION = re.compile(r"[01]?(\.[0-9]{0,9})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WadoUri:
    study: str
    series: str
    instance: str
    media_types: tuple[MediaRange, ...]  # the best first; none where none is named
    transfer_syntax: str | None
    frame: int | None  # from 1

    @property
    def is_dicom(self) -> bool:
        return bool(self.media_types) and self.media_types[0].media_type == DICOM

    @property
    def dicom_form(self) -> DicomForm:
        """9.1.2.2.3: who names no transfer syntax is sent Explicit VR Little Endian if possible."""
        return DicomForm(
            is_multipart=False,
            wanted=((self.transfer_syntax or EXPLICIT_VR_LITTLE_ENDIAN,),),
            takes_as_stored=self.transfer_syntax is None,
        )


def wado_uri(query: Mapping[str, str]) -> WadoUri:
    """Raise InvalidRequest that names the parameter, and NotAcceptable for what is not done."""
    if query.get("requestType") != "WADO":
        raise invalid("requestType", "is WADO")
    if query.get("anonymize"):
        raise NotAcceptable(
            "Images are not anonymized here: what is burned into them would stay.",
            expression="http.anonymize",
        )
    study, series, instance = (uid(query, name) for name in ("studyUID", "seriesUID", "objectUID"))
    wanted = tuple(
        one for one in media_ranges(query.get("contentType", "")) if one.media_type != "*/*"
    )
    return WadoUri(
        study=study,
        series=series,
        instance=instance,
        media_types=wanted,
        transfer_syntax=uid(query, "transferSyntax") if "transferSyntax" in query else None,
        frame=whole(query, "frameNumber"),
    )


def rendering_query(query: Mapping[str, str], *, rows: int, columns: int) -> dict[str, str]:
    """The same as parameters of a rendered resource; `rows` and `columns` are the image's.

    Raise InvalidRequest.
    """
    found = {name: query[name] for name in ("annotation", "charset") if name in query}
    if "imageQuality" in query:
        found["quality"] = query["imageQuality"]
    center, width = query.get("windowCenter"), query.get("windowWidth")
    if (center is None) != (width is None):
        raise invalid("windowCenter", "and windowWidth are given together")
    if center is not None:
        found["window"] = f"{center},{width},linear"
    viewport = viewport_of(query, rows, columns)
    return found | ({"viewport": viewport} if viewport else {})


def viewport_of(query: Mapping[str, str], rows: int, columns: int) -> str | None:
    """vw,vh of `rows` and `columns` (9.1.2.3.2), with the part of the image that `region` is."""
    height, width = whole(query, "rows"), whole(query, "columns")
    region = region_of(query)
    if height is None and width is None and region is None:
        return None
    left, top, right, bottom = region or (0.0, 0.0, 1.0, 1.0)
    part = (left * columns, top * rows, (right - left) * columns, (bottom - top) * rows)
    free = LARGEST_SIDE if height or width else None
    size = (width or free or round(part[2]) or 1, height or free or round(part[3]) or 1)
    asked = ",".join(map(str, size))
    return f"{asked},{','.join(f'{one:.3f}' for one in part)}" if region else asked


def region_of(query: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom as shares of the image (9.1.2.3.4)."""
    text = query.get("region")
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(part and FRACTION.fullmatch(part) for part in parts):
        raise invalid("region", "is four numbers from 0 to 1")
    left, top, right, bottom = map(float, parts)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise invalid("region", "is left, top, right and bottom, as shares of the image")
    return left, top, right, bottom


def uid(query: Mapping[str, str], name: str) -> str:
    found = query.get(name, "")
    if not UID.fullmatch(found):
        raise invalid(name, "is a UID")
    return found


def whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not WHOLE.fullmatch(text) or int(text) < 1:
        raise invalid(name, "is a whole number from 1")
    return int(text)


def invalid(name: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter {name} {rule}.", expression=f"http.{name}")
