"""What a study says: evidence for linking, facts for staff, references in FHIR, and an answer."""

from dataclasses import replace

from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.endpoint import picture_endpoint, viewer_endpoint
from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.codec import ROOT_PLACEHOLDER, Resource, decode_as
from imaging_fhir.model.link import OWN_ID, Decision, Given, Link, id_of
from imaging_fhir.model.merge import Change, Merged
from imaging_fhir.model.person import Person, Visit
from imaging_fhir.model.study import ReadWarning, StudyAttributes
from imaging_fhir.services.arrival import DicomArrival, Filed
from imaging_fhir.services.ehr_word import word_of
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.moments import zone_of
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.people import resolve_patient

ANOTHER_PERSONS = "study-of-another-patient"
DELETED = "The study was deleted here: the image is kept, but not shown."


def held_link(link: Link, rule: str, reason: str) -> Link:
    """Held for another reason than what it says; news of whom that led to may settle it."""
    whose = id_of(link.patient)
    return replace(
        link,
        state="held",
        patient=None,
        encounter=None,
        patient_rule=rule,
        patient_reason=reason,
        awaited=link.awaited + ((("Patient", OWN_ID, whose),) if whose else ()),
    )


def evidence_of(arrival: DicomArrival) -> Evidence:
    image = arrival.image
    return Evidence(
        person=image.person,
        visit=image.visit,
        accession_numbers=image.study.accession_numbers,
        study_instance_uid=image.study.study_instance_uid,
        started=image.study.started,
        modalities=(image.series.modality,),
        zone=zone_of(image.timezone_offset or arrival.zone),
        given=arrival.given,
        ehr=arrival.ehr,
        source=arrival.source,
    )


def evidence_of_study(study: AnyRow, merged: Merged, linking: Linking) -> Evidence:
    """What all instances of a study row together say."""
    attributes = merged.as_type(StudyAttributes)
    return Evidence(
        person=decode_as(Person, study.person),
        visit=merged.as_type(Visit),
        accession_numbers=attributes.accession_numbers,
        study_instance_uid=study.study_instance_uid,
        started=attributes.started,
        modalities=tuple(merged.ordered_modalities()),
        zone=zone_of(study.zone),
        given=decode_as(Given, study.given),
        ehr=word_of(decode_as(Link, study.link)),
        decision=decision_on(study),
        source=linking.site.source_or_default(study.source),
    )


def decision_on(row: AnyRow) -> Decision | None:
    """What a person decided of that study or document."""
    return decode_as(Decision, row.decision) if row.decision else None


def known_patient(transaction: Transaction, link: Link) -> Resource | None:
    """The Patient of the link, unless it is a provisional one."""
    patient = resolve_patient(transaction.connection, id_of(link.patient) or "")
    return None if patient is None or is_provisional(patient) else patient


def facts(
    study: StudyAttributes, person: Person, *, modality: str, source: str
) -> dict[str, str | None]:
    """What the file says, for those who decide about a held image, and where it came from."""
    name = next((name.alphabetic for name in person.names if name.alphabetic), None)
    number = next(iter(person.identifiers), None)
    return {
        "StudyInstanceUID": study.study_instance_uid,
        "PatientID": number.value if number else None,
        "PatientName": " ".join((*name.given, name.family or "")).strip() if name else None,
        "PatientBirthDate": person.birth_date,
        "PatientSex": person.gender,
        "StudyDate": study.started.date if study.started else None,
        "StudyDescription": study.study_description,
        "Modality": modality,
        "Source": source,
    }


def facts_of_row(row: AnyRow, merged: Merged) -> dict[str, str | None]:
    """The same of all images of a study together."""
    return facts(
        merged.as_type(StudyAttributes),
        decode_as(Person, row.person),
        modality=next(iter(merged.ordered_modalities()), ""),
        source=row.source,
    )


def facts_of_arrival(arrival: DicomArrival) -> dict[str, str | None]:
    image = arrival.image
    return facts(
        image.study, image.person, modality=image.series.modality, source=arrival.source.id
    )


def encounter_reference(link: Link) -> Resource | None:
    if link.encounter is not None:
        return {"reference": link.encounter}
    if link.encounter_identifier is None:
        return None
    system, value = link.encounter_identifier
    return {
        "type": "Encounter",
        "identifier": without_empty({"system": system, "value": value}),
    }


def own_endpoints(study_instance_uid: str) -> tuple[Resource, ...]:
    """Where the study is shown, and a picture of it."""
    picture = f"{ROOT_PLACEHOLDER}/dicomweb/studies/{study_instance_uid}/thumbnail"
    return (
        viewer_endpoint(f"{ROOT_PLACEHOLDER}/iid?requestType=STUDY&studyUID={study_instance_uid}"),
        picture_endpoint(f"{picture}?viewport=1024,1024"),
    )


def disagreements(
    of_study: Change, of_visit: Change, of_series: Change | None
) -> tuple[ReadWarning, ...]:
    names = of_study.disagreeing + of_visit.disagreeing
    names += of_series.disagreeing if of_series else []
    return tuple(
        ReadWarning(
            keyword="".join(
                part.upper() if part in ("id", "uid") else part.capitalize()
                for part in name.split("_")
            ),
            message="Differs from other instances; the first by number counts.",
        )
        for name in names
    )


def answer(study: AnyRow, status: int, text: str, warnings: tuple[ReadWarning, ...]) -> Filed:
    """What became of an instance that is in this study: 201 for a new one, else 200."""
    link = decode_as(Link, study.link)
    hidden = study.state == "held" or study.deleted
    return Filed(
        status=202 if hidden else 201 if status == 201 else 200,
        location=f"{study.resource_type}/{study.resource_id}",
        patient=link.patient,
        encounter=link.encounter,
        rule=link.patient_rule,
        reason=DELETED if study.deleted else text or link.patient_reason,
        encounter_rule=link.encounter_rule,
        encounter_reason=link.encounter_reason,
        warnings=warnings,
    )
