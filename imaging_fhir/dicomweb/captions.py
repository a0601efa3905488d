"""What `annotation=patient,technique` writes into a picture (PS3.18 8.3.5.1.1), from DICOM JSON."""

from typing import Any

from imaging_fhir.model.study import DicomJson

PATIENT_ID, BIRTH_DATE, SEX = "00100020", "00100030", "00100040"
NAME = "00100010"
STUDY_DATE, MODALITY, DESCRIPTION = "00080020", "00080060", "0008103E"
VALUES = {  # DICOM JSON's key -> how it is written
    "00180060": "{} kV",
    "00181151": "{} mA",
    "00181152": "{} mAs",
    "00180080": "TR {} ms",
    "00180081": "TE {} ms",
    "00180050": "{} mm",
    "00201041": "at {} mm",
}
LONGEST = 80


def patient_lines(instance: DicomJson) -> tuple[str, ...]:
    """Name, then identifier, birth date and sex, as the instance is served with them."""
    name = value(instance, NAME)
    written = str(name.get("Alphabetic", "")) if isinstance(name, dict) else ""
    family, _, given = written.partition("^")
    who = ", ".join(part for part in (family, " ".join(given.split("^")).strip()) if part)
    facts = (text(instance, PATIENT_ID), date(instance, BIRTH_DATE), text(instance, SEX))
    return lines(who, "  ".join(fact for fact in facts if fact))


def technique_lines(instance: DicomJson) -> tuple[str, ...]:
    made = [text(instance, MODALITY), date(instance, STUDY_DATE), text(instance, DESCRIPTION)]
    measured = [
        form.format(text(instance, key)) for key, form in VALUES.items() if text(instance, key)
    ]
    return lines("  ".join(part for part in made if part), "  ".join(measured))


def value(instance: DicomJson, key: str) -> Any:
    values = instance.get(key, {}).get("Value")
    return values[0] if isinstance(values, list) and values else None


def text(instance: DicomJson, key: str) -> str:
    found = value(instance, key)
    return "" if found is None else str(found)


def date(instance: DicomJson, key: str) -> str:
    found = text(instance, key)
    is_date = len(found) == 8 and found.isdigit()
    return f"{found[:4]}-{found[4:6]}-{found[6:]}" if is_date else ""


def lines(*texts: str) -> tuple[str, ...]:
    return tuple(one[:LONGEST] for one in texts if one)
