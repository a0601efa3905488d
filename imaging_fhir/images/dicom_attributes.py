"""Looking things up in a data set's DICOM JSON, with the warning where a value is malformed."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from imaging_fhir.images.dicom_values import is_uid, person_name, unsigned_int
from imaging_fhir.images.dicom_warnings import ReadWarnings, keyword_of
from imaging_fhir.model.person import IssuedId, Issuer, PersonName
from imaging_fhir.model.study import CodedConcept, DicomJson

T = TypeVar("T")

CODE_VALUE, LONG_CODE_VALUE, URN_CODE_VALUE = "00080100", "00080119", "00080120"
CODING_SCHEME_DESIGNATOR, CODE_MEANING = "00080102", "00080104"
CODING_SCHEME_UID, CODING_SCHEME_IDENTIFICATION_SEQUENCE = "0008010C", "00080110"
LOCAL_NAMESPACE_ENTITY_ID, UNIVERSAL_ENTITY_ID = "00400031", "00400032"
UNIVERSAL_ENTITY_ID_TYPE = "00400033"


class Attributes:
    """One data set or item; an absent or empty attribute is None or nothing."""

    __slots__ = ("data_set", "schemes", "warnings")

    def __init__(
        self, data_set: DicomJson, warnings: ReadWarnings, schemes: dict[str, str] | None = None
    ) -> None:
        self.data_set = data_set
        self.warnings = warnings
        self.schemes = self._scheme_uids() if schemes is None else schemes

    def _scheme_uids(self) -> dict[str, str]:
        """Coding scheme designator -> UID, as the file itself declares them (PS3.3 C.12.1)."""
        self.schemes = {}
        found = {}
        for item in self.items(CODING_SCHEME_IDENTIFICATION_SEQUENCE):
            designator, uid = item.text(CODING_SCHEME_DESIGNATOR), item.uid(CODING_SCHEME_UID)
            if designator and uid:
                found[designator] = uid
        return found

    def values(self, tag: str) -> list[object]:
        element = self.data_set.get(tag)
        value = element.get("Value") if element else None
        return value if isinstance(value, list) else []

    def first(self, tag: str) -> object:
        values = self.values(tag)
        return values[0] if values else None

    def text(self, tag: str) -> str | None:
        value = self.first(tag)
        return value.strip() or None if isinstance(value, str) else None

    def texts(self, tag: str) -> tuple[str, ...]:
        return tuple(value for value in self.values(tag) if isinstance(value, str))

    def items(self, tag: str) -> "list[Attributes]":
        return [
            Attributes(value, self.warnings, self.schemes)
            for value in self.values(tag)
            if isinstance(value, dict)
        ]

    def warn(self, tag: str, message: str) -> None:
        self.warnings.add(keyword_of(int(tag, 16)), message)

    def parsed(self, tag: str, parse: Callable[[str], T | None], message: str) -> T | None:
        """The first value through a parser; what it does not take is left out with a warning."""
        text = self.text(tag)
        if text is None:
            return None
        value = parse(text)
        if value is None:
            self.warn(tag, message)
        return value

    def uid(self, tag: str) -> str | None:
        return self.parsed(tag, lambda text: text if is_uid(text) else None, "is not a UID")

    def unsigned_int(self, tag: str) -> int | None:
        """A negative number is legal in DICOM, but none that FHIR can say."""
        return unsigned_int(self.first(tag))

    def names(self, tag: str) -> tuple[PersonName, ...]:
        groups = (value for value in self.values(tag) if isinstance(value, dict))
        return tuple(name for name in map(person_name, groups) if name is not None)

    def codes(self, tag: str) -> tuple[CodedConcept, ...]:
        if tag not in self.data_set:
            return ()
        found = (coded_concept(item) for item in self.items(tag))
        return tuple(code for code in found if code is not None)

    def issuer(self, tag: str) -> Issuer | None:
        """The assigning authority in the first item of an issuer sequence."""
        return next((issuer(item) for item in self.items(tag)), None)

    def issued_id(self, tag: str, issuer_tag: str, type_code: str | None) -> IssuedId | None:
        value = self.text(tag)
        if value is None:
            return None
        return IssuedId(value=value, issuer=self.issuer(issuer_tag), type_code=type_code)


def coded_concept(item: Attributes) -> CodedConcept | None:
    """An item of a code sequence; one that says neither a code nor a meaning is none."""
    code = item.text(CODE_VALUE) or item.text(LONG_CODE_VALUE) or item.text(URN_CODE_VALUE)
    meaning = item.text(CODE_MEANING)
    designator = item.text(CODING_SCHEME_DESIGNATOR)
    if code is None:
        item.warn(CODE_VALUE, "is missing in an item of a code sequence")
        if meaning is None:
            return None
    return CodedConcept(
        code_value=code,
        coding_scheme_designator=designator,
        coding_scheme_uid=item.uid(CODING_SCHEME_UID) or item.schemes.get(designator or ""),
        code_meaning=meaning,
    )


def issuer(item: Attributes) -> Issuer | None:
    found = Issuer(
        local_namespace_entity_id=item.text(LOCAL_NAMESPACE_ENTITY_ID),
        universal_entity_id=item.text(UNIVERSAL_ENTITY_ID),
        universal_entity_id_type=item.text(UNIVERSAL_ENTITY_ID_TYPE),
    )
    return None if found == Issuer() else found


def distinct(ids: Iterable[IssuedId | None]) -> tuple[IssuedId, ...]:
    """In order, each once; one without an issuer adds nothing where another names it."""
    found = dict.fromkeys(one for one in ids if one is not None)
    issued = {one.value for one in found if one.issuer is not None}
    return tuple(one for one in found if one.issuer is not None or one.value not in issued)
