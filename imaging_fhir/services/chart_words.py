"""The chart's words: names, dates, ages, kinds of images and linking rules, as people read them."""

from collections.abc import Sequence
from datetime import date, datetime, tzinfo

from imaging_fhir.fhir import canonical
from imaging_fhir.linking_rules import BY_NAME
from imaging_fhir.model.codec import Resource

MODALITIES = {  # PS3.16 CID 33, those that a chart meets
    "AR": "Autorefraction",
    "BMD": "Bone densitometry",
    "CR": "Computed radiography",
    "CT": "Computed tomography",
    "DOC": "Document",
    "DX": "Digital radiography",
    "ECG": "Electrocardiogram",
    "EEG": "Electroencephalogram",
    "ES": "Endoscopy",
    "GM": "General microscopy",
    "HD": "Haemodynamic waveform",
    "IO": "Intra-oral radiography",
    "IVOCT": "Intravascular OCT",
    "IVUS": "Intravascular ultrasound",
    "KO": "Key object selection",
    "M3D": "3D model",
    "MG": "Mammography",
    "MR": "Magnetic resonance",
    "NM": "Nuclear medicine",
    "OP": "Ophthalmic photography",
    "OPT": "Ophthalmic tomography",
    "OT": "Other",
    "PR": "Presentation state",
    "PT": "Positron emission tomography",
    "PX": "Panoramic X-ray",
    "REG": "Registration",
    "RESP": "Respiratory waveform",
    "RF": "Fluoroscopy",
    "RG": "Radiography",
    "RTDOSE": "Radiotherapy dose",
    "RTIMAGE": "Radiotherapy image",
    "RTPLAN": "Radiotherapy plan",
    "RTSTRUCT": "Radiotherapy structure set",
    "SEG": "Segmentation",
    "SM": "Slide microscopy",
    "SMR": "Stereometric relationship",
    "SR": "Structured report",
    "US": "Ultrasound",
    "XA": "X-ray angiography",
    "XC": "Photography",
}
LIGHT = frozenset({"DOC", "ECG", "EEG", "ES", "GM", "HD", "OP", "RESP", "SM", "SR", "XC"})

CLASSES = {  # v3-ActCode, the value set of Encounter.class
    "AMB": "Ambulatory",
    "EMER": "Emergency",
    "FLD": "Field",
    "HH": "Home health",
    "IMP": "Inpatient",
    "ACUTE": "Inpatient, acute",
    "NONAC": "Inpatient, non-acute",
    "OBSENC": "Observation",
    "PRENC": "Pre-admission",
    "SS": "Short stay",
    "VR": "Virtual",
}
SEXES = {"male": "Male", "female": "Female", "other": "Other", "unknown": "Unknown"}
LATERALITIES = {"24028007": "Right", "7771000": "Left", "51440002": "Both sides"}

AWAITED = {"Patient": "patient number", "Encounter": "visit number", "ServiceRequest": "order"}
FACTS = {
    "StudyInstanceUID": "Study Instance UID",
    "SOPInstanceUID": "SOP Instance UID",
    "PatientID": "Patient ID",
    "PatientName": "Name",
    "PatientBirthDate": "Birth date",
    "PatientSex": "Sex",
    "StudyDate": "Study date",
    "StudyDescription": "Description",
    "ContentType": "Type of file",
    "Taken": "Taken on",
    "Source": "Came from",
}


OTHER_RULES = {"id-taken": "The EHR has somebody or something else under this id"}


def rule_in_words(rule: str) -> str:
    known = BY_NAME.get(rule)
    if known is None:
        return OTHER_RULES.get(rule, rule.replace("-", " ").capitalize())
    return known.words


def fact_name(keyword: str) -> str:
    return FACTS.get(keyword, keyword)


def modality_name(code: str) -> str:
    return MODALITIES.get(code, code)


def shown_fact(keyword: str, value: object) -> str:
    text = str(value)
    if keyword in ("PatientBirthDate", "StudyDate", "Taken"):
        return shown_moment(text, None)
    return SEXES.get(text, text) if keyword == "PatientSex" else text


def counted(number: int, one: str, several: str | None = None) -> str:
    """`1 image`, `40 images`; "series" is its own plural."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def human_name(name: Resource) -> str:
    """Family name first, as lists of patients are sorted, and titles last."""
    names = (name.get("family"), " ".join(name.get("given", ())))
    titles = " ".join((*name.get("prefix", ()), *name.get("suffix", ())))
    shown = ", ".join(part for part in names if part) or name.get("text", "")
    return f"{shown} ({titles})" if shown and titles else shown


def names_of(patient: Resource) -> list[str]:
    """The name in use first, then what else the person is or was called."""
    order = {"official": 0, "usual": 1, None: 2}
    names = sorted(patient.get("name", ()), key=lambda name: order.get(name.get("use"), 3))
    return list(dict.fromkeys(filter(None, map(human_name, names))))


def concept_text(concept: Resource | None) -> str:
    """What a CodeableConcept says to people."""
    if not concept:
        return ""
    codings = concept.get("coding", ())
    shown = (coding.get("display") or coding.get("code") for coding in codings)
    return concept.get("text") or next(filter(None, shown), "")


def coding_text(coding: Resource | None) -> str:
    return (coding or {}).get("display") or (coding or {}).get("code") or ""


def laterality_text(coding: Resource | None) -> str:
    return LATERALITIES.get((coding or {}).get("code", ""), coding_text(coding))


def class_text(coding: Resource | None) -> str:
    text = CLASSES.get((coding or {}).get("code", "")) or coding_text(coding)
    return text[:1].upper() + text[1:]


def reference_text(reference: Resource | None) -> str:
    """Its display, else the number it goes by."""
    reference = reference or {}
    return reference.get("display") or reference.get("identifier", {}).get("value") or ""


def identifier_label(identifier: Resource) -> str:
    codes = {
        coding.get("code")
        for coding in identifier.get("type", {}).get("coding", ())
        if coding.get("system") == canonical.IDENTIFIER_TYPE
    }
    return "MRN" if "MR" in codes else concept_text(identifier.get("type")) or "ID"


def day(value: date) -> str:
    return f"{value.day} {value:%b %Y}"


def shown_date(text: str) -> str:
    """A FHIR date, partial as it may be: `12 Mar 2025`, `Mar 2025`, `2025`."""
    if len(text) == 4:
        return text
    if len(text) == 7:
        return f"{date.fromisoformat(text + '-01'):%b %Y}"
    return day(date.fromisoformat(text[:10]))


def local_moment(text: str, zone: tzinfo | None) -> datetime:
    """In the site's zone where one is known, else as it was written."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(zone) if zone else moment


def shown_moment(text: str, zone: tzinfo | None) -> str:
    """A FHIR dateTime: `12 Mar 2025, 09:41`; a time that is only known in UTC says so."""
    if "T" not in text:
        return shown_date(text)
    moment = local_moment(text, zone)
    suffix = " UTC" if text.endswith("Z") and zone is None else ""
    return f"{day(moment)}, {moment:%H:%M}{suffix}"


def shown_period(period: Resource, zone: tzinfo | None) -> tuple[str, str]:
    """The day a visit began, and the hours: `4 Mar 2025`, `09:00 to 12:00`."""
    start, end = period.get("start"), period.get("end")
    if not start:
        return ("Date not known", f"until {shown_moment(end, zone)}" if end else "")
    first_day, first_time = day_and_time(start, zone)
    if not end:
        return first_day, join_words((first_time, "no end recorded"))
    last_day, last_time = day_and_time(end, zone)
    last = last_time if last_day == first_day else join_words((last_day, last_time))
    return first_day, " to ".join(part for part in dict.fromkeys((first_time, last)) if part)


def day_and_time(text: str, zone: tzinfo | None) -> tuple[str, str]:
    shown_day, _, time = shown_moment(text, zone).partition(", ")
    return shown_day, time


def age(birth_date: str, on: date) -> str:
    """In the unit a clinician would use: years, months under two years, days under two months."""
    if len(birth_date) != 10:
        return f"about {max(on.year - int(birth_date[:4]), 0)} y"
    born = date.fromisoformat(birth_date)
    if born > on:
        return ""
    months = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    if months >= 24:
        return f"{months // 12} y"
    return f"{months} mo" if months >= 2 else f"{(on - born).days} d"


def join_words(words: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(word for word in words if word))
