"""What a site sets of the rules of linking, and which numbers and names are nobody's anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.linking_rules import BY_NAME, SWITCHES, Rule

# PatientIDs that name nobody, in capital letters and digits alone; `*` ends those that begin so.
PLACEHOLDER_IDS = frozenset(
    {
        *("ANON", "ANONYMIZED", "ANONYMISED", "ANONYMOUS", "ANONYMOUSPATIENT"),
        *("DEFAULT", "DEMO", "DUMMY", "EMERGENCY", "NA", "NIL", "NO", "NOID", "NONE"),
        *("NOPATIENTID", "NOTAVAILABLE", "NULL", "PATIENT", "PATIENTID", "PHANTOM", "QA"),
        *("REMOVED", "TEMP", "TEST", "TESTPATIENT", "UNDEFINED", "UNKNOWN", "X", "XX", "XXX"),
    }
)
# Names of people who are not identified yet, as FAMILY^GIVEN in capital letters alone.
EMERGENCY_NAMES = frozenset(
    {
        *("DOE^JOHN", "DOE^JANE", "DOE^UNKNOWN", "UNKNOWN^*", "UNIDENTIFIED^*", "TRAUMA^*"),
        *("EMERGENCY^*", "NOTFALL^*", "UNBEKANNT^*", "INCONNU^*", "DESCONOCIDO^*", "NN^*"),
        *("SCONOSCIUTO^*", "ONBEKEND^*", "OKAND^*", "UKJENT^*", "XX^*", "XXX^*"),
    }
)
MOST_TOLERANCE = 1440  # minutes: visits further away are not looked up


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Minutes that an image may be made outside of its visit."""

    before_admission: int = 0
    after_discharge: int = 0


NO_TOLERANCE = Tolerance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a site sets of the rules; by default all are on, and whatever can be told is trusted."""

    off: frozenset[str] = frozenset()
    trusted_issuers: frozenset[str] | None = None  # systems of patient numbers; None: all
    trusted_sources: frozenset[str] | None = None  # ids of sources; None: all
    authoritative_sources: frozenset[str] = frozenset()  # ids of those that correct what is filed
    placeholder_ids: frozenset[str] = frozenset()  # besides PLACEHOLDER_IDS
    emergency_names: frozenset[str] = frozenset()  # besides EMERGENCY_NAMES
    tolerance: Tolerance = NO_TOLERANCE
    tolerance_of: Mapping[str, Tolerance] = field(default_factory=dict)  # by modality

    @classmethod
    def from_description(cls, described: Any) -> "Policy":
        """The table `linking` of a site file; raise InvalidSetting."""
        require_names("linking", table("linking", described), KEYS)
        return cls(
            off=switches(described),
            trusted_issuers=trusted(described, "trusted_issuers"),
            trusted_sources=trusted(described, "trusted_sources"),
            authoritative_sources=frozenset(words(described, "authoritative_sources")),
            placeholder_ids=frozenset(map(plain_id, words(described, "placeholder_ids"))),
            emergency_names=frozenset(map(plain_name, words(described, "emergency_names"))),
            tolerance=tolerance("linking.tolerance", described.get("tolerance", {})),
            tolerance_of={
                modality: tolerance(f"linking.tolerance_of.{modality}", one)
                for modality, one in table(
                    "linking.tolerance_of", described.get("tolerance_of", {})
                ).items()
            },
        )

    def is_off(self, rule: Rule) -> bool:
        return bool(rule.switch) and rule.switch in self.off

    def trusts_issuer(self, system: str) -> bool:
        return self.trusted_issuers is None or system in self.trusted_issuers

    def trusts_source(self, source_id: str) -> bool:
        return self.trusted_sources is None or source_id in self.trusted_sources

    def is_authoritative(self, source_id: str) -> bool:
        return source_id in self.authoritative_sources and self.trusts_source(source_id)

    def is_placeholder(self, value: str) -> bool:
        """Whether a PatientID names nobody, by the tables here and of the site."""
        return is_placeholder(value) or is_like(plain_id(value), self.placeholder_ids)

    def is_unidentified(self, family: str, given: str) -> bool:
        """Whether a name is one that emergency departments give to whom nobody knows yet."""
        name = plain_name(f"{family}^{given}")
        return is_like(name, EMERGENCY_NAMES) or is_like(name, self.emergency_names)

    def tolerance_for(self, modalities: Sequence[str]) -> Tolerance:
        """Of a study with several modalities, the widest."""
        found = [self.tolerance_of.get(one, self.tolerance) for one in modalities]
        found = found or [self.tolerance]
        return Tolerance(
            before_admission=max(one.before_admission for one in found),
            after_discharge=max(one.after_discharge for one in found),
        )


def is_placeholder(value: str) -> bool:
    """Whether a PatientID names nobody: no number but zero, or a word for "unknown"."""
    letters = plain_id(value)
    return not letters.strip("0") or letters in PLACEHOLDER_IDS


def plain_id(text: str) -> str:
    """Capital letters and digits alone, and the `*` at the end."""
    letters = "".join(character for character in text.upper() if character.isalnum())
    return f"{letters}*" if text.endswith("*") else letters


def plain_name(text: str) -> str:
    """FAMILY^GIVEN in capital letters alone, and the `*` at the end."""
    family, _, given = text.partition("^")
    parts = ["".join(filter(str.isalpha, part.upper())) for part in (family, given)]
    return "^".join(parts) + ("*" if text.endswith("*") else "")


def is_like(text: str, patterns: frozenset[str]) -> bool:
    return text in patterns or any(
        pattern.endswith("*") and text.startswith(pattern[:-1]) for pattern in patterns
    )


def switches(described: Mapping[str, Any]) -> frozenset[str]:
    named = frozenset(words(described, "off"))
    for name in sorted(named):
        if name in SWITCHES:
            continue
        if name in BY_NAME:
            why = f"the rule {name!r} cannot be switched off"
            if switch := BY_NAME[name].switch:
                why += f" by itself, only with {switch!r}"
            raise InvalidSetting(f"linking.off: {why}.")
        known = ", ".join(SWITCHES)
        raise InvalidSetting(f"linking.off: there is no rule {name!r}; these can be: {known}.")
    return named


def trusted(described: Mapping[str, Any], name: str) -> frozenset[str] | None:
    return frozenset(words(described, name)) if name in described else None


def words(described: Mapping[str, Any], name: str) -> Sequence[str]:
    found = described.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise InvalidSetting(f"linking.{name} is no list of texts.")
    return found


def tolerance(name: str, described: Any) -> Tolerance:
    found = table(name, described)
    require_names(name, found, TOLERANCE_KEYS)
    for key, value in found.items():
        if type(value) is not int or not 0 <= value <= MOST_TOLERANCE:
            raise InvalidSetting(f"{name}.{key} is {value!r}: minutes from 0 to {MOST_TOLERANCE}.")
    return Tolerance(**found)


def table(name: str, described: Any) -> Mapping[str, Any]:
    if not isinstance(described, dict):
        raise InvalidSetting(f"{name} is no table.")
    return described


def require_names(name: str, described: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in described:
        if key not in known:
            raise InvalidSetting(f"{name} has no {key!r}: {', '.join(known)}.")


KEYS = tuple(Policy.__dataclass_fields__)
TOLERANCE_KEYS = tuple(Tolerance.__dataclass_fields__)
