"""Patients made from an image because nobody knows the person yet."""

from dataclasses import replace
from uuid import uuid4

from imaging_fhir.fhir.patient import patient as patient_of
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.link import Link
from imaging_fhir.model.person import Issuer, Person
from imaging_fhir.services.linking import Linking
from imaging_fhir.settings import Source
from imaging_fhir.storage import resources
from imaging_fhir.storage.database import Transaction

PREFIX = "provisional-"  # no id of an EHR begins so


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
        person,
        system_of=system_of,
        with_identifiers=link.patient_rule == "provisional-identifier",
    )
    stored = resources.put(
        transaction,
        "Patient",
        f"{PREFIX}{uuid4()}",
        content,
        index_entries("Patient", content, zone=linking.zone),
    )
    return replace(link, patient=stored.reference)
