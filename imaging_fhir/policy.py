"""The rules by which images are linked, in the order they are tried, and what a site sets of them.

docs/linking.md shows these tables; `services/patient_rules.py` and `services/visit_rules.py` judge
by them. A site switches off what files or links, never what holds an image back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from imaging_fhir.errors import InvalidSetting

WhenOff = Literal["", "held", "next rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row: `name` is stored with every link by it, and stable.

    `switch` is the name that turns it off, empty where nothing may; `when_off` is what becomes of
    an image that it would have decided. What is `by_policy` says nothing against a filed image.
    """

    name: str
    needs: str
    proves: str
    words: str  # in the chart
    switch: str = ""
    when_off: WhenOff = ""
    by_policy: bool = False


SWITCHED_OFF = "switched-off"
NOT_TRUSTED = "sender-not-trusted"

PATIENT_RULES = (
    Rule(
        name="decided",
        needs="a person said whose image it is",
        proves="filed",
        words="A person decided so",
    ),
    Rule(
        name="decided-no-longer-holds",
        needs="that Patient is not there any more",
        proves="held",
        words="The patient that a person chose is not there any more",
    ),
    Rule(
        name="rejected",
        needs="a person said that it belongs in no chart here",
        proves="held",
        words="A person said that it belongs in no chart",
    ),
    Rule(
        name="ehr-unavailable",
        needs="the EHR does not answer, and said nothing lately",
        proves="waits, and is [filed by itself](ehr.md)",
        words="Waiting for the EHR, which does not answer",
    ),
    Rule(
        name="given-no-longer-holds",
        needs="looked at again: the patient or visit that the sender named is no longer valid",
        proves="stays as it is; held if it was",
        words="What the sender named does not hold any more",
    ),
    Rule(
        name="identifiers-conflict",
        needs="the file's numbers lead to more than one Patient",
        proves="held",
        words="The identifiers belong to several patients",
    ),
    Rule(
        name="patient-gone",
        needs="the number or the sender leads to a Patient whom the EHR has deleted",
        proves="held",
        words="The EHR has deleted the patient who had the number",
    ),
    Rule(
        name="demographics-disagree",
        needs="the number or the sender names a Patient, the demographics contradict",
        proves="held",
        words="Name, birth date or sex contradict the identifier",
    ),
    Rule(
        name="given-patient-disagrees",
        needs="the file's own numbers do not lead to the Patient that the sender names",
        proves="held",
        words="The sender and the file name different patients",
    ),
    Rule(
        name="given-patient-and-identifier",
        needs="a trusted sender and the file's number name the same Patient",
        proves="filed",
        words="The sender and the file name the same patient",
        switch="given-patient-and-identifier",
        when_off="next rule",
    ),
    Rule(
        name="patient-identifier",
        needs="a number of the file is a Patient's, and nothing contradicts it",
        proves="filed",
        words="Matched by the patient identifier in the file",
        switch="patient-identifier",
        when_off="held",
    ),
    Rule(
        name=NOT_TRUSTED,
        needs="only a sender who is not trusted names the Patient, or a visit of theirs",
        proves="held",
        words="Only a sender who is not trusted here names the patient",
        by_policy=True,
    ),
    Rule(
        name="given-patient",
        needs="a trusted sender names a Patient, or a visit of theirs; the file has no number "
        "that counts",
        proves="filed",
        words="The sender named the patient",
        switch="given-patient",
        when_off="held",
    ),
    Rule(
        name="no-identity",
        needs="a photo or document that names nobody, and no `patient` given",
        proves="held",
        words="Nothing says whose image it is",
    ),
    Rule(
        name="provisional-emergency",
        needs="DICOM of somebody unidentified (`DOE^JOHN`), with a number that nobody here has yet",
        proves="filed to a provisional Patient of this study alone",
        words="Provisional patient, unidentified, for this study alone",
        switch="provisional-emergency",
        when_off="next rule",
    ),
    Rule(
        name="provisional-identifier",
        needs="DICOM with a number that nobody here has yet",
        proves="filed to a provisional Patient who carries the number",
        words="Provisional patient, found again by the identifier",
        switch="provisional-identifier",
        when_off="held",
    ),
    Rule(
        name="provisional-alone",
        needs="DICOM without a number that counts",
        proves="filed to a provisional Patient of this study alone",
        words="Provisional patient, for this study alone",
        switch="provisional-alone",
        when_off="held",
    ),
    Rule(
        name=SWITCHED_OFF,
        needs="the rule that would have filed it is switched off in the site file",
        proves="held",
        words="The rule that would have decided is switched off",
        by_policy=True,
    ),
    Rule(
        name="study-of-another-patient",
        needs="the study is filed, and this file of it names somebody else",
        proves="held; the study is marked disputed if both are known",
        words="Its study is filed to another patient",
    ),
    Rule(
        name="series-in-two-studies",
        needs="a part of its series was moved to another study by a person, and it is in neither",
        proves="held until a person says to which it belongs",
        words="Other images of its series were moved to another patient",
    ),
    Rule(
        name="sop-instance-uid-conflict",
        needs="other bytes are kept under this SOP Instance UID",
        proves="these are kept too, and held",
        words="Another image has the same identity",
    ),
)

VISIT_RULES = (
    Rule(
        name="decided",
        needs="a person named an Encounter of this patient",
        proves="linked",
        words="A person decided so",
    ),
    Rule(
        name="given-encounter",
        needs="a trusted sender names an Encounter of this patient",
        proves="linked; of another patient: refused, 422",
        words="The sender named the visit",
        switch="given-encounter",
        when_off="next rule",
    ),
    Rule(
        name="visit-number-of-another-patient",
        needs="the file's visit number is a visit of somebody else",
        proves="the image is held",
        words="The visit number is of another patient",
    ),
    Rule(
        name="visit-number-ambiguous",
        needs="several Encounters of this patient have the number",
        proves="not linked",
        words="No visit: the visit number leads to several",
        switch="visit-number",
        when_off="next rule",
    ),
    Rule(
        name="visit-number",
        needs="the file's visit number is an Encounter's of this patient",
        proves="linked",
        words="Matched by the visit number in the file",
        switch="visit-number",
        when_off="next rule",
    ),
    Rule(
        name="visit-number-unknown",
        needs="nobody has that visit number yet",
        proves="a logical reference, completed when the Encounter arrives",
        words="Waiting: no visit has this number yet",
        switch="visit-number",
        when_off="next rule",
    ),
    Rule(
        name="order-of-another-patient",
        needs="the order of the accession number, or its visit, is for somebody else",
        proves="the image is held",
        words="The order is for another patient",
    ),
    Rule(
        name="order-ambiguous",
        needs="the orders lead to several Encounters of this patient",
        proves="not linked",
        words="No visit: the orders lead to several",
        switch="order",
        when_off="next rule",
    ),
    Rule(
        name="order",
        needs="the accession number is a ServiceRequest's, which names an Encounter",
        proves="linked",
        words="Matched by the order that the image was made for",
        switch="order",
        when_off="next rule",
    ),
    Rule(
        name="provisional-patient",
        needs="the patient is a provisional one",
        proves="not linked",
        words="No visit: the patient is provisional",
    ),
    Rule(
        name="no-time",
        needs="the file does not say the day it was made",
        proves="not linked",
        words="No visit: the file does not say when it was made",
        switch="period",
        when_off="next rule",
    ),
    Rule(
        name="location",
        needs="the source has a location, and exactly one visit that covers the time was there",
        proves="linked",
        words="Matched by place and time: the one visit at the place of the source",
        switch="location",
        when_off="next rule",
    ),
    Rule(
        name="period",
        needs="exactly one visit covers the time (of visits nested by `partOf`, the innermost)",
        proves="linked",
        words="Matched by time: the one visit that covers it",
        switch="period",
        when_off="next rule",
    ),
    Rule(
        name="near-period",
        needs="none covers the time, exactly one does within the site's tolerance",
        proves="linked",
        words="Matched by time: the one visit shortly before or after",
        switch="period",
        when_off="next rule",
    ),
    Rule(
        name="period-ambiguous",
        needs="several cover the time, or do within the tolerance",
        proves="not linked",
        words="No visit: several cover the time",
        switch="period",
        when_off="next rule",
    ),
    Rule(
        name="no-visit",
        needs="no visit of the patient covers the time",
        proves="not linked",
        words="No visit covers the time",
        switch="period",
        when_off="next rule",
    ),
    Rule(
        name=SWITCHED_OFF,
        needs="the rules that could still find it are switched off in the site file",
        proves="not linked",
        words="The rule that would have decided is switched off",
        by_policy=True,
    ),
    Rule(
        name="visit-of-another-patient",
        needs="looked at again: the visit turned out to be somebody else's",
        proves="the link to the visit goes",
        words="No visit: it became another patient's",
    ),
    Rule(
        name="no-evidence",
        needs="the image is held, so no visit was looked for",
        proves="not linked",
        words="Nothing in the file leads to a visit",
    ),
)

BY_NAME: Mapping[str, Rule] = {rule.name: rule for rule in (*VISIT_RULES, *PATIENT_RULES)}
BY_POLICY = frozenset(rule.name for rule in BY_NAME.values() if rule.by_policy)
SWITCHES: Mapping[str, WhenOff] = {
    rule.switch: rule.when_off for rule in BY_NAME.values() if rule.switch
}

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
