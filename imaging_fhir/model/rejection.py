"""A rejection note: a Key Object Selection that names images not to be used (IHE RAD IOCM)."""

from dataclasses import dataclass

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
TITLES = {  # of DCM (PS3.16 CID 7011)
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionNote:
    sop_instance_uid: str
    code: str  # one of TITLES
    named: tuple[tuple[str, str], ...]  # (StudyInstanceUID, SOPInstanceUID)
