"""The rules by which images are linked, in the order they are tried.

docs/linking.md shows these tables; `services/patient_rules.py` and `services/visit_rules.py` judge
by them. A site (`policy.py`) switches off what files or links, never what holds an image back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
        name="authoritative-source",
        needs="the study is filed, and a source that the site calls authoritative sent an image of "
        "it again, naming this Patient",
        proves="moved there",
        words="Corrected by a source that is authoritative here",
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
        name="rejected-by-note",
        needs="a rejection note (IHE RAD IOCM) of this patient names it",
        proves="held, as rejected",
        words="A rejection note says that it is not to be used",
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
        needs="the order of the accession number or the study, or its visit, is for somebody else",
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
        needs="the accession number or the study's UID is a ServiceRequest's, which names an "
        "Encounter",
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
