"""ImagingStudy from DICOM (https://hl7.org/fhir/R4/imagingstudy-mappings.html#dicom).

A study is kept as fragments: its head, the head of each series, and each instance. `assemble`
joins their JSON bytes, so that reading a study costs copying, and adding an instance costs one
fragment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.body_part import body_site, laterality
from imaging_fhir.fhir.datatypes import (
    SystemOf,
    code,
    codeable_concepts,
    coding,
    date_time,
    dicom_uid,
    identifier,
    issued_identifier,
    local_references,
    person_identifiers,
    person_reference,
    present,
    reference,
    string,
    without_empty,
)
from imaging_fhir.fhir.device import device_reference
from imaging_fhir.fhir.practitioner import contained_practitioner
from imaging_fhir.model.codec import Resource, encode
from imaging_fhir.model.study import (
    InstanceAttributes,
    PersonReference,
    SeriesAttributes,
    Specimen,
    StudyAttributes,
)

PERFORMER = {"coding": [coding(canonical.PARTICIPATION_TYPE, "PRF", "performer")]}
LONGEST_ID = 64  # datatypes.html#id
_HEAD = b'{"resourceType":"ImagingStudy"'


def study_resource_id(study_instance_uid: str) -> str:
    """The UID itself, so that any newcomer can guess it; a UUIDv5 where it is no legal id."""
    if len(study_instance_uid) <= LONGEST_ID:
        return study_instance_uid
    return str(uuid5(NAMESPACE_OID, study_instance_uid))


def imaging_study_head(
    study: StudyAttributes,
    *,
    subject: Resource,
    encounter: Resource | None = None,
    based_on: Sequence[Resource] = (),
    modalities: Sequence[str],
    status: str = "available",
    zone: tzinfo | None,
    system_of: SystemOf,
    archive_endpoint: str | None,
    own_endpoints: Sequence[Resource] = (),
    overlay: Mapping[str, Any] | None = None,
) -> Resource:
    """All of an ImagingStudy but id, meta, counts and series.

    `modalities` come in series-number order. `based_on` are the orders found; with none, the
    order's numbers stand as logical references. `own_endpoints` are contained. What a user wrote
    (`overlay`) wins, element by element; None there takes the element away.
    """
    referrers = _people("referrer", study.referring_physicians)[:1]  # R4 has room for one
    interpreters = _people("interpreter", study.physicians_reading_study)
    derived = {
        "resourceType": "ImagingStudy",
        "contained": [*_contained((*referrers, *interpreters)), *own_endpoints],
        "identifier": identifiers(study, system_of),
        "status": status,
        "modality": [modality(value) for value in dict.fromkeys(modalities)],
        "subject": subject,
        "encounter": encounter,
        "started": date_time(study.started, zone),
        "basedOn": list(based_on) or orders(study, system_of),
        "referrer": next((_person(*person) for person in referrers), None),
        "interpreter": present(_person(*person) for person in interpreters),
        "endpoint": _endpoints(archive_endpoint, own_endpoints),
        "procedureCode": codeable_concepts(study.procedure_codes),
        "location": location(study),
        "reasonCode": reasons(study),
        "description": string(study.study_description),
    }
    return without_empty(_overlaid(derived, overlay or {}))


def _overlaid(derived: Resource, overlay: Mapping[str, Any]) -> Resource:
    """A user's contained resources join those of ours that are still referred to."""
    if not overlay:
        return derived
    merged = {**derived, **overlay, "contained": list(overlay.get("contained") or ())}
    used = set(local_references(merged))
    taken = {resource.get("id") for resource in merged["contained"]}
    merged["contained"] += [
        resource
        for resource in derived["contained"]
        if f"#{resource['id']}" in used and resource["id"] not in taken
    ]
    return merged


def identifiers(study: StudyAttributes, system_of: SystemOf) -> list[Resource]:
    """The UID, the accession numbers, and the Study ID where it is none of them."""
    numbers = {number.value for number in study.accession_numbers}
    study_id = None if study.study_id in numbers else identifier(study.study_id)
    known = [dicom_uid(study.study_instance_uid), *accessions(study, system_of)]
    return _distinct([*known, *present([study_id])])


def orders(study: StudyAttributes, system_of: SystemOf) -> list[Resource]:
    """Logical references to the ServiceRequest, by each number that an order has."""
    numbers = [
        *accessions(study, system_of),
        *(issued_identifier(n, system_of, type_code="PLAC") for n in study.placer_order_numbers),
        *(issued_identifier(n, system_of, type_code="FILL") for n in study.filler_order_numbers),
    ]
    known = _distinct(present(numbers))
    return present(reference(type_="ServiceRequest", identifier=number) for number in known)


def accessions(study: StudyAttributes, system_of: SystemOf) -> list[Resource]:
    numbers = study.accession_numbers
    return present(issued_identifier(one, system_of, type_code="ACSN") for one in numbers)


def _distinct(resources: Iterable[Resource]) -> list[Resource]:
    found: list[Resource] = []
    for resource in resources:
        if resource not in found:
            found.append(resource)
    return found


def modality(value: str) -> Resource:
    return {"system": canonical.DCM, "code": code(value) or "OT"}


def location(study: StudyAttributes) -> Resource | None:
    names = (study.institutional_department_name, study.institution_name)
    return reference(type_="Location", display=", ".join(filter(None, map(string, names))))


def reasons(study: StudyAttributes) -> list[Resource]:
    """The coded reasons, and the text where no code says the same."""
    coded = codeable_concepts(study.reason_codes)
    text = string(study.reason)
    if text and all(text != concept.get("text") for concept in coded):
        return [*coded, {"text": text}]
    return coded


def _people(name: str, people: Sequence[PersonReference]) -> list[tuple[str, PersonReference]]:
    """Those of whom the file says anything, each with the id to contain it by."""
    named = [person for person in people if person_reference(person)]
    return [(f"{name}-{number}", person) for number, person in enumerate(named, start=1)]


def _person(contained_id: str, person: PersonReference) -> Resource | None:
    """A contained Practitioner where there is more than a name to say of one."""
    logical = person_reference(person)
    if logical and person_identifiers(person):
        return {"reference": f"#{contained_id}", **logical}
    return logical


def _contained(people: Iterable[tuple[str, PersonReference]]) -> list[Resource]:
    """Only what is referred to (dom-3)."""
    return [
        contained_practitioner(person, contained_id=contained_id)
        for contained_id, person in people
        if person_identifiers(person)
    ]


def _endpoints(archive_endpoint: str | None, own: Sequence[Resource]) -> list[Resource]:
    contained = (f"#{endpoint['id']}" for endpoint in own)
    return present(reference(address) for address in (archive_endpoint, *contained))


def imaging_study_series_head(
    series: SeriesAttributes, *, zone: tzinfo | None, system_of: SystemOf
) -> Resource:
    """One series without numberOfInstances and instances.

    Its people, devices and specimens are logical references: only the study's head can contain
    resources, and fragments do not know each other.
    """
    return without_empty(
        {
            "uid": series.series_instance_uid,
            "number": series.series_number,
            "modality": modality(series.modality),
            "description": string(series.series_description),
            "bodySite": body_site(series.anatomic_regions, series.body_part_examined),
            "laterality": laterality(series.laterality),
            "specimen": present(specimen(item, system_of) for item in series.specimens),
            "started": date_time(series.started, zone),
            "performer": performers(series),
        }
    )


def specimen(item: Specimen, system_of: SystemOf) -> Resource | None:
    by_uid = dicom_uid(item.specimen_uid) if item.specimen_uid else None
    return reference(
        type_="Specimen",
        identifier=issued_identifier(item.specimen_identifier, system_of) or by_uid,
        display=item.short_description,
    )


def performers(series: SeriesAttributes) -> list[Resource]:
    people = _distinct(
        present(map(person_reference, (*series.performing_physicians, *series.operators)))
    )
    device = device_reference(series.equipment) if series.equipment else None
    return [
        *({"function": PERFORMER, "actor": person} for person in people),
        *({"actor": actor} for actor in present([device])),
    ]


def imaging_study_instance(instance: InstanceAttributes) -> Resource:
    found: Resource = {
        "uid": instance.sop_instance_uid,
        "sopClass": {"system": canonical.URI, "code": f"urn:oid:{instance.sop_class_uid}"},
    }
    if instance.instance_number is not None:
        found["number"] = instance.instance_number
    title = string(instance.title)
    if title:
        found["title"] = title
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFragment:
    """A series as it is kept: JSON of its head and of its instances, in the order to be served."""

    head: bytes
    number_of_instances: int
    instances: Iterable[bytes] = ()


def assemble(
    head: bytes,
    *,
    resource_id: str,
    meta: Resource,
    number_of_series: int,
    number_of_instances: int,
    series: Iterable[SeriesFragment],
    with_instances: bool = True,
) -> Iterator[bytes]:
    """The JSON of an ImagingStudy in pieces, from its fragments; nothing is parsed.

    `head` is `encode(imaging_study_head(...))`.
    """
    if not head.startswith(_HEAD):
        raise ValueError("Not the head of an ImagingStudy.")
    yield _HEAD + b',"id":' + encode(resource_id) + b',"meta":' + encode(meta)
    yield head[len(_HEAD) : -1]
    yield b',"numberOfSeries":%d,"numberOfInstances":%d' % (number_of_series, number_of_instances)
    yield from _array(b',"series":[', (_series(item, with_instances) for item in series))
    yield b"}"


def _series(fragment: SeriesFragment, with_instances: bool) -> Iterator[bytes]:
    yield fragment.head[:-1] + b',"numberOfInstances":%d' % fragment.number_of_instances
    if with_instances:
        yield from _array(b',"instance":[', ((item,) for item in fragment.instances))
    yield b"}"


def _array(opening: bytes, elements: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """The elements between `opening` and a bracket; of no elements, nothing."""
    separator = opening
    for element in elements:
        yield separator
        yield from element
        separator = b","
    if separator is not opening:
        yield b"]"
