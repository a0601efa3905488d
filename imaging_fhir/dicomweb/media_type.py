"""What a client accepts (PS3.18 8.7): media ranges, and the form of instances they ask for."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from urllib.request import parse_http_list

from imaging_fhir.dicomweb.multipart import split_media_type
from imaging_fhir.errors import InvalidRequest, NotAcceptable

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
OCTET_STREAM = "application/octet-stream"
RELATED = "multipart/related"
ZIP = "application/zip"
JSON_RANGES = frozenset({DICOM_JSON, "application/json", "application/*", "*/*"})
AS_STORED = "*"  # of the transfer-syntax parameter
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
MAX_ACCEPT_CHARACTERS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    """One entry of an Accept header; of `multipart/related`, `media_type` is that of its parts."""

    media_type: str
    is_multipart: bool = False
    transfer_syntax: str | None = None
    quality: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomForm:
    """How instances are to be sent, and in which transfer syntaxes they may be.

    `wanted` has those of each quality, the best first. Who names none means Explicit VR Little
    Endian, and takes what cannot be sent so as it is stored (PS3.18 8.7.3.5.2).
    """

    is_multipart: bool
    wanted: tuple[tuple[str, ...], ...]
    takes_as_stored: bool
    is_zip: bool = False

    def chosen(self, stored: str, possible: Container[str]) -> str | None:
        """The transfer syntax to send an instance in; as stored before others of the same quality.

        `possible` are those that it can be brought into; None where none of them is wanted.
        """
        for alike in self.wanted:
            if AS_STORED in alike or stored in alike:
                return stored
            for syntax in alike:
                if syntax in possible:
                    return syntax
        return stored if self.takes_as_stored else None


def media_ranges(accept: str) -> tuple[MediaRange, ...]:
    """The ranges of an Accept header (or parameter), best first; none accepts everything.

    Raise InvalidRequest where a quality is no number.
    """
    if len(accept) > MAX_ACCEPT_CHARACTERS:
        raise InvalidRequest("The Accept header is too long.", expression="http.Accept")
    ranges = [media_range(entry) for entry in parse_http_list(accept) if entry.strip()]
    if not ranges:
        return (MediaRange(media_type="*/*"),)
    acceptable = [one for one in ranges if one.quality > 0]
    return tuple(sorted(acceptable, key=lambda one: -one.quality))


def media_range(entry: str) -> MediaRange:
    media_type, parameters = split_media_type(entry)
    is_multipart = media_type in (RELATED, "multipart/*")
    if is_multipart:
        media_type = parameters.get("type", "*/*").lower()
    return MediaRange(
        media_type=media_type,
        is_multipart=is_multipart,
        transfer_syntax=parameters.get("transfer-syntax"),
        quality=quality(parameters.get("q", "1")),
    )


def quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidRequest("A quality in Accept is from 0 to 1.", expression="http.Accept")
    return value


def dicom_form(ranges: Iterable[MediaRange], *, single: bool) -> DicomForm:
    """The form in which to send one instance (`single`) or many; raise NotAcceptable.

    Whoever names no media type accepts any, as stored.
    """
    offers = [offer for one in ranges if (offer := dicom_offer(one, single)) is not None]
    if not offers:
        raise NotAcceptable(
            f'Instances are sent as {RELATED}; type="{DICOM}", in an archive as {ZIP}'
            f"{f', or one alone as {DICOM}' if single else ''}.",
            expression="http.Accept",
        )
    is_multipart, is_zip = offers[0].is_multipart, offers[0].media_type == ZIP
    chosen = [
        offer
        for offer in offers
        if (offer.is_multipart, offer.media_type == ZIP) == (is_multipart, is_zip)
    ]
    return DicomForm(
        is_multipart=is_multipart,
        wanted=tuple(
            tuple(offer.transfer_syntax or EXPLICIT_VR_LITTLE_ENDIAN for offer in alike)
            for _, alike in groupby(chosen, key=lambda offer: offer.quality)
        ),
        takes_as_stored=any(offer.transfer_syntax is None for offer in chosen),
        is_zip=is_zip,
    )


def dicom_offer(accepted: MediaRange, single: bool) -> MediaRange | None:
    """The range as one of instances; None where it asks for something else."""
    media_type = accepted.media_type
    if media_type == DICOM and (accepted.is_multipart or single):
        return accepted
    as_stored = replace(accepted, transfer_syntax=accepted.transfer_syntax or AS_STORED)
    if media_type == ZIP and not accepted.is_multipart:
        return as_stored
    if media_type == "*/*" or (media_type == "application/*" and accepted.is_multipart):
        return replace(as_stored, is_multipart=True)
    if media_type == "application/*" and single:
        return as_stored
    return None


def data_set_type(ranges: Iterable[MediaRange]) -> str:
    """DICOM_JSON or DICOM_XML, whichever is wanted more; raise NotAcceptable for neither."""
    for one in ranges:
        if one.media_type == DICOM_XML:
            return DICOM_XML
        if one.media_type in JSON_RANGES and not one.is_multipart:
            return DICOM_JSON
    raise NotAcceptable(
        f'This is sent as {DICOM_JSON}, or as {RELATED}; type="{DICOM_XML}".',
        expression="http.Accept",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkForm:
    """How a bulk data value is sent: alone or in parts, and of which type."""

    is_multipart: bool
    media_type: str


def plain_bulk_form(ranges: Iterable[MediaRange]) -> BulkForm:
    """Of a value that is not compressed: octets, alone unless parts are asked for."""
    for one in ranges:
        if one.media_type in (OCTET_STREAM, "application/*", "*/*"):
            return BulkForm(is_multipart=one.is_multipart, media_type=OCTET_STREAM)
    raise NotAcceptable(f"This value is sent as {OCTET_STREAM} only.", expression="http.Accept")


def compressed_bulk_form(ranges: Iterable[MediaRange], transfer_syntax: str) -> BulkForm:
    """Of compressed frames as they are stored: in parts, one a frame; a video alone too."""
    own_type = FRAME_TYPES.get(transfer_syntax, OCTET_STREAM)
    for one in ranges:
        if takes_compressed(one, own_type, transfer_syntax):
            media_type = OCTET_STREAM if one.media_type == OCTET_STREAM else own_type
            is_alone = media_type.startswith("video/") and one.media_type != "*/*"
            is_multipart = one.is_multipart or not is_alone
            return BulkForm(is_multipart=is_multipart, media_type=media_type)
    raise NotAcceptable(
        f'These frames are sent as {RELATED}; type="{own_type}"; '
        f"transfer-syntax={transfer_syntax}.",
        expression="http.Accept",
    )


def takes_compressed(accepted: MediaRange, own_type: str, transfer_syntax: str) -> bool:
    """Octets without a transfer syntax are uncompressed ones; an image type stands for its own."""
    if accepted.media_type == OCTET_STREAM:
        return accepted.transfer_syntax in (AS_STORED, transfer_syntax)
    general = own_type.partition("/")[0] + "/*"
    if accepted.media_type not in (own_type, general, "*/*"):
        return False
    return accepted.transfer_syntax in (None, AS_STORED, transfer_syntax)


FRAME_TYPES = {  # PS3.18 8.7.3.3.2, by what follows 1.2.840.10008.1.2
    f"1.2.840.10008.1.2.{suffix}": media_type
    for media_type, suffixes in {
        "image/jpeg": ("4.50", "4.51", "4.57", "4.70"),
        "image/jls": ("4.80", "4.81"),
        "image/jp2": ("4.90", "4.91"),
        "image/jpx": ("4.92", "4.93"),
        "image/jphc": ("4.201", "4.202", "4.203"),
        "image/jxl": ("4.110", "4.111", "4.112"),
        "image/dicom-rle": ("5",),
        "video/mpeg": ("4.100", "4.100.1", "4.101", "4.101.1"),
        "video/mp4": tuple(f"4.{n}" for n in (102, 103, 104, 105, 106, 107, 108)),
    }.items()
    for suffix in suffixes
}
