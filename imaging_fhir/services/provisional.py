"""Patients made from an image because nobody knows the person yet."""

from dataclasses import replace
from datetime import tzinfo
from uuid import uuid4

from imaging_fhir.fhir.patient import PROVISIONAL_PREFIX, is_provisional
from imaging_fhir.fhir.patient import patient as patient_of
from imaging_fhir.fhir.profiles import claimed
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.link import Link
from imaging_fhir.model.person import Issuer, Person
from imaging_fhir.services.linking import Linking
from imaging_fhir.settings import Source
from imaging_fhir.storage import dicom_index, resources
from imaging_fhir.storage.database import Transaction


def make_provisional(
    transaction: Transaction, linking: Linking, link: Link, person: Person, source: Source
) -> Link:
    """The link with a Patient: where it has none, a provisional one is made.

    It carries the file's numbers only where they mean something outside the file.
    """
    if link.patient is not None:
        return link

    def system_of(issuer: Issuer | None) -> str | None:
        return linking.system_of(issuer) if issuer else source.patient_id_system

    content = patient_of(
        linking.telling(person, source),
        system_of=system_of,
        with_identifiers=link.patient_rule == "provisional-identifier",
    )
    content = claimed(content, linking.profiles)
    stored = resources.put(
        transaction,
        "Patient",
        f"{PROVISIONAL_PREFIX}{uuid4()}",
        content,
        index_entries("Patient", content, zone=linking.zone),
    )
    return replace(link, patient=stored.reference)


def retire_provisional(
    transaction: Transaction, patient_id: str, successor: str | None, *, zone: tzinfo | None
) -> bool:
    """A provisional Patient whose studies have all moved on is replaced by the real one."""
    patient = resources.find_content(transaction.connection, "Patient", patient_id)
    if (
        patient is None
        or not is_provisional(patient)
        or successor in (None, f"Patient/{patient_id}")
    ):
        return False
    if dicom_index.studies_of_patient(transaction.connection, patient_id):
        return False
    patient["active"] = False
    patient["link"] = [{"other": {"reference": successor}, "type": "replaced-by"}]
    entries = index_entries("Patient", patient, zone=zone)
    resources.put(transaction, "Patient", patient_id, patient, entries)
    return True
