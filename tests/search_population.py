"""Resources to search in: Synthea's patients and visits, with made-up studies and documents."""

import random
from collections.abc import Iterator
from pathlib import Path

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import OF_THE_ROW
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.search import DICOM_PARAMETERS
from tests.search_samples import samples

CHOICES = ("value", "effective", "occurrence", "performed", "collected", "created", "deceased")
SERVED = [name for name in RESOURCE_TYPES if name != "Binary"]
MODALITIES = ("CT", "MR", "DX", "US")


def population(shared_data: Path, chance: random.Random) -> list[Resource]:
    """In the order in which they are to be stored; each has an id."""
    known = list(synthea(shared_data))
    patients = [one["id"] for one in known if one["resourceType"] == "Patient"]
    encounters = [one for one in known if one["resourceType"] == "Encounter"]
    made = [imaging_study(number, chance, encounters) for number in range(60)]
    made += [document(number, chance, patients) for number in range(40)]
    made += [order(number, chance, patients) for number in range(15)]
    chance.shuffle(made)
    return known + made


def random_resources(chance: random.Random) -> list[Resource]:
    """Some of every type, each with about half of what its parameters look at."""
    return [
        random_resource(type_name, f"r{number}", chance)
        for number in range(1, 7)
        for type_name in SERVED
    ]


def random_resource(type_name: str, id_: str, chance: random.Random) -> Resource:
    found: Resource = {"resourceType": type_name, "id": id_}
    for parameter in RESOURCE_TYPES[type_name].search_parameters:
        elsewhere = DICOM_PARAMETERS if type_name == "ImagingStudy" else frozenset()
        if parameter.name in OF_THE_ROW | elsewhere:
            continue
        for one in samples(type_name, parameter, chance.choice([1, 2])):
            if chance.random() < 0.4:
                found = joined(found, one.elements)
    return found


def joined(one: Resource, other: Resource) -> Resource:
    """Lists one behind the other, as long as they are short; else the other's elements win."""
    result = dict(one)
    for name, value in other.items():
        known = result.get(name)
        if isinstance(known, list) and isinstance(value, list) and len(known) < 3:
            result[name] = known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            result[name] = joined(known, value)
        elif not any(other_choice(name, key) for key in result):
            result[name] = value
    return result


def other_choice(name: str, key: str) -> bool:
    """Is it another type of the same element: valueString beside valueQuantity?"""
    return name != key and any(name.startswith(stem) and key.startswith(stem) for stem in CHOICES)


def synthea(shared_data: Path) -> Iterator[Resource]:
    """References by urn:uuid made into Type/id, as a transaction makes them."""
    for path in sorted((shared_data / "fhir").rglob("*synthea_r4*/**/*.json")):
        text = path.read_text()
        entries = decode(text.encode()).get("entry", ())
        for entry in entries:
            target = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            text = text.replace(f'"{entry["fullUrl"]}"', f'"{target}"')
        for entry in decode(text.encode()).get("entry", ()):
            if entry["resource"]["resourceType"] in set(SERVED) - {"ImagingStudy"}:
                yield entry["resource"]


def imaging_study(number: int, chance: random.Random, encounters: list[Resource]) -> Resource:
    encounter = chance.choice(encounters)
    modalities = chance.sample(MODALITIES, chance.randrange(1, 3))
    study: Resource = {
        "resourceType": "ImagingStudy",
        "id": f"1.2.3.{number}",
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:1.2.3.{number}"},
            {
                "system": chance.choice(["urn:a", "urn:b"]),
                "value": f"ACC{number % 20}",
                "type": {"coding": [{"system": "urn:v2", "code": "ACSN"}], "text": "Accession"},
            },
        ],
        "status": chance.choice(["available", "registered", "cancelled"]),
        "subject": encounter["subject"],
        "modality": [{"system": "urn:dcm", "code": code} for code in modalities],
        "series": [{"modality": {"system": "urn:dcm", "code": code}} for code in modalities],
        "referrer": {"display": chance.choice(["Dr. Ågård", "Dr. Agarwal", "Dr. Zé"])},
        "reasonCode": [{"text": chance.choice(["Cough", "Fall"])}],
    }
    if chance.random() < 0.7:
        study["encounter"] = {"reference": f"Encounter/{encounter['id']}"}
    if chance.random() < 0.8:
        study["started"] = moment(chance)
    if chance.random() < 0.4:
        logical = {
            "type": "ServiceRequest",
            "identifier": {"system": "urn:o", "value": f"O{number % 7}"},
        }
        study["basedOn"] = [{"reference": f"ServiceRequest/sr{number % 15}"}, logical]
    return study


def document(number: int, chance: random.Random, patients: list[str]) -> Resource:
    found: Resource = {
        "resourceType": "DocumentReference",
        "id": f"d{number}",
        "meta": {"security": [{"system": "urn:conf", "code": chance.choice("NR")}]},
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": chance.choice(["1-8", "2-6"])}]},
        "subject": {"reference": f"Patient/{chance.choice(patients)}"},
        "date": moment(chance, whole=True),
        "content": [
            {"attachment": {"contentType": "image/jpeg", "url": f"http://x/{number % 5}/a"}}
        ],
    }
    if chance.random() < 0.5:
        found["description"] = chance.choice(
            ["Wunde am Fuß", "WOUND, left", "wound 100% dry", "Ödem"]
        )
    if chance.random() < 0.5:
        start, end = sorted([moment(chance, whole=True), moment(chance, whole=True)])
        found["context"] = {
            "period": chance.choice([{"start": start}, {"start": start, "end": end}])
        }
    return found


def order(number: int, chance: random.Random, patients: list[str]) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": f"sr{number}",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{chance.choice(patients)}"},
        "identifier": [{"system": "urn:o", "value": f"O{number % 7}"}],
        "occurrencePeriod": {"start": moment(chance)},
    }


def moment(chance: random.Random, *, whole: bool = False) -> str:
    """A dateTime of any precision, most of them in a few months."""
    day = f"20{chance.randrange(20, 22)}-0{chance.randrange(1, 4)}-{chance.randrange(10, 28)}"
    if whole or chance.random() < 0.6:
        return f"{day}T{chance.randrange(10, 24)}:00:00+02:00"
    return chance.choice([day, day[:7], day[:4]])
