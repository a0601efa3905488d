"""Text of a DICOM file as Unicode, by SpecificCharacterSet (PS3.3 C.12.1.1.2, PS3.5 6.1)."""

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache

import pydicom.charset as pydicom_charset

DEFAULT = "ascii"  # ISO-IR 6, what holds where no character set is named
UNKNOWN = ""

ESCAPE = 0x1B
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_SEPARATORS = re.compile(r"[\s_-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _spelled_alike(term: str) -> str:
    return _SEPARATORS.sub(" ", term.strip().upper())


_ENCODINGS = {
    _spelled_alike(term): "ascii" if encoding == "iso8859" else encoding
    for term, encoding in pydicom_charset.python_encoding.items()
}


@dataclass(frozen=True, slots=True)
class Charset:
    """The Python encodings of one data set; the first is in force where no escape says else."""

    encodings: tuple[str, ...] = (DEFAULT,)
    complaint: str | None = None  # what is wrong with SpecificCharacterSet itself

    def decode(self, value: bytes, delimiters: bytes = b"\\") -> tuple[str, str | None]:
        """The text, and a complaint where some of it had to be guessed or replaced.

        `delimiters` end the reach of an escape sequence (PS3.5 6.1.2.5.3).
        """
        if ESCAPE in value:
            return self._decode_fragments(value, delimiters)
        return decode_with(self.encodings[0], value)

    def _decode_fragments(self, value: bytes, delimiters: bytes) -> tuple[str, str | None]:
        decoded = [self._decode_fragment(part, delimiters) for part in _FRAGMENTS.findall(value)]
        complaint = next((complaint for _, complaint in decoded if complaint), None)
        return "".join(text for text, _ in decoded), complaint

    def _decode_fragment(self, part: bytes, delimiters: bytes) -> tuple[str, str | None]:
        if part[0] != ESCAPE:
            return decode_with(self.encodings[0], part)
        escape = part[: 4 if part[1:3] in (b"$(", b"$)") else 3]
        encoding = pydicom_charset.CODES_TO_ENCODINGS.get(escape)
        if encoding is None:
            text, _ = decode_with(self.encodings[0], part[1:])
            return text, "has an unknown escape sequence"
        if encoding in pydicom_charset.handled_encodings:
            return decode_with(encoding, part)
        return self._decode_up_to_delimiter(encoding, part[len(escape) :], delimiters)

    def _decode_up_to_delimiter(
        self, encoding: str, part: bytes, delimiters: bytes
    ) -> tuple[str, str | None]:
        end = next((at for at, byte in enumerate(part) if byte in delimiters), len(part))
        text, complaint = decode_with(encoding, part[:end])
        rest, rest_complaint = decode_with(self.encodings[0], part[end:])
        return text + rest, complaint or rest_complaint


def decode_with(encoding: str, value: bytes) -> tuple[str, str | None]:
    """Never fails: what does not decode is guessed (no character set named) or replaced."""
    if value.isascii() and encoding in (DEFAULT, UNKNOWN, "latin_1", "UTF8"):
        return value.decode("ascii"), None
    if encoding in (DEFAULT, UNKNOWN):
        return _guessed(value), "is not in the character set that the file names"
    text = value.decode(encoding, "replace")
    if "\ufffd" in text:
        return text, "is not in the character set that the file names"
    return text, None


def _guessed(value: bytes) -> str:
    """UTF-8 where it is that: other text is so with next to no chance. Else Latin-1."""
    text = value.decode("utf-8", "replace")
    return value.decode("latin_1") if "\ufffd" in text else text


def clean(text: str) -> str:
    """Without control characters that neither JSON readers nor FHIR's string expect."""
    return text if text.isprintable() else _CONTROLS.sub("", text)


@lru_cache(maxsize=256)
def charset_of(value: bytes) -> Charset:
    """The character set that a value of SpecificCharacterSet (0008,0005) names."""
    terms = value.decode("ascii", "replace").strip(" \0").split("\\")
    encodings = tuple(_ENCODINGS.get(_spelled_alike(term), UNKNOWN) for term in terms)
    known = tuple(encoding for encoding in encodings if encoding)
    if len(known) < len(encodings):
        return Charset(known or (UNKNOWN,), "names a character set that is not known")
    if len(terms) > 1 and any(term in pydicom_charset.STAND_ALONE_ENCODINGS for term in terms):
        return Charset(known, "names one that allows no code extensions beside others")
    if any(term.strip() not in pydicom_charset.python_encoding for term in terms):
        return Charset(known, "is not spelled as the standard does")
    return Charset(known)


for _encoding in {*_ENCODINGS.values()}:
    codecs.lookup(_encoding)  # an encoding that this Python lacks shows at import, not in a file
