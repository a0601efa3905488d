"""Which orders a study that a person filed tells of: numbers in its files may be another patient's.

Whoever picks the wrong entry of a worklist gets that entry's accession number with its patient.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from imaging_fhir.fhir.datatypes import string
from imaging_fhir.fhir.dicom_identity import issuer, text
from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.codec import Resource, decode, decode_as
from imaging_fhir.model.link import id_of
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.person import IssuedId, Person
from imaging_fhir.model.study import DicomJson, StudyAttributes
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.study_evidence import decision_on
from imaging_fhir.services.subject import in_force, same_subject
from imaging_fhir.storage import dicom_index
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.people import resolve_patient, resources_with

ACCESSION_NUMBER, ISSUER_OF_IT, STUDY_ID = "00080050", "00080051", "00200010"
# Request Attributes, Placer and Filler Order Number: of type 3, so they may be empty
OF_ORDERS: Mapping[str, str] = {"00400275": "SQ", "00402016": "LO", "00402017": "LO"}


def own_numbers(
    connection: Connection, linking: Linking, study: AnyRow, said: StudyAttributes
) -> StudyAttributes:
    """What its images say, without the numbers of orders that may be another patient's.

    Only where a person decided whose it is. An accession number counts if an order of that Patient
    has it, and not if one of somebody else alone has it; where nobody here has it, it does unless
    the files name another known Patient.
    """
    decision = decision_on(study)
    patient = resolve_patient(connection, study.patient or "")
    if decision is None or patient is None or id_of(decision.patient) is None:
        return said
    names_another = is_named_another(connection, linking, study, patient)
    kept = tuple(
        one
        for one in said.accession_numbers
        if is_own(connection, linking, study, one, patient, unless=names_another)
    )
    if kept == said.accession_numbers and not names_another:
        return said
    gone = {one.value for one in said.accession_numbers} - {one.value for one in kept}
    return replace(
        said,
        accession_numbers=kept,
        placer_order_numbers=(),
        filler_order_numbers=(),
        study_id=None if said.study_id in gone else said.study_id,
    )


def is_named_another(
    connection: Connection, linking: Linking, study: AnyRow, patient: Resource
) -> bool:
    """Do the numbers in the files lead to known people, and not to the Patient?"""
    source = linking.site.source_or_default(study.source)
    numbers = linking.patient_numbers(decode_as(Person, study.person), source)
    found = linking.candidates(connection, numbers)
    ids = {one["id"] for one in found}
    return any(not is_provisional(one) for one in found) and patient["id"] not in ids


def is_own(
    connection: Connection,
    linking: Linking,
    study: AnyRow,
    number: IssuedId,
    patient: Resource,
    *,
    unless: bool,
) -> bool:
    source = linking.site.source_or_default(study.source)
    known = linking.numbers((number,), source.accession_number_system)
    orders = in_force(resources_with(connection, "ServiceRequest", known))
    if not orders:
        return not unless
    return any(same_subject(connection, order, patient) for order in orders)


def withheld_of(connection: Connection, uids: Collection[str]) -> dict[str, DicomJson]:
    """The same of filed studies, by StudyInstanceUID."""
    rows = dicom_index.filed_studies(connection, uids)
    return {row.study_instance_uid: withheld(row) for row in rows}


def withheld(study: AnyRow) -> DicomJson:
    """What its headers say of orders, where its ImagingStudy does not say all that the files do."""
    if decision_on(study) is None or not study.head:
        return {}
    said = decode_as(Merged, study.attributes).as_type(StudyAttributes)
    head: Resource = decode(study.head)
    shown = {one.get("value"): one for one in head.get("identifier", ())}
    accessions = [string(one.value) for one in said.accession_numbers]
    is_without_order = bool(said.placer_order_numbers or said.filler_order_numbers) and (
        "basedOn" not in head
    )
    if all(one in shown for one in accessions if one) and not is_without_order:
        return {}
    kept: Resource = next((shown[one] for one in accessions if one in shown), {})
    elements: DicomJson = {
        ACCESSION_NUMBER: text("SH", kept.get("value")),
        ISSUER_OF_IT: {"vr": "SQ"},
        **issuer(ISSUER_OF_IT, kept.get("system")),
        **{tag: {"vr": vr} for tag, vr in OF_ORDERS.items()},
    }
    if said.study_id is not None and string(said.study_id) not in shown:
        elements[STUDY_ID] = {"vr": "SH"}
    return elements
