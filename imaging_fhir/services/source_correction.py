"""A source that the site calls authoritative corrects whose a filed study is, by sending it again.

So does a PACS: after somebody has put the patient right there, it sends the images anew. The study
goes where it says, as if a person had moved it, and that can be undone. No machine undoes what a
person decided, and of two sources that disagree, the first is followed: the study is disputed.
"""

from dataclasses import dataclass, replace

from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.correction import subject_of_study
from imaging_fhir.model.link import Decision, Link, id_of
from imaging_fhir.services import decisions
from imaging_fhir.services.arrival import DicomArrival, Filed
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.linking import BY_SOURCE, SOURCE_SAID, Linking
from imaging_fhir.services.patient_rules import BY_NUMBER, BY_NUMBER_AND_SENDER
from imaging_fhir.services.study_evidence import ANOTHER_PERSONS, evidence_of
from imaging_fhir.storage import corrections, dicom_index, resources
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.people import resolve_patient

BY_NUMBERS = frozenset({BY_NUMBER, BY_NUMBER_AND_SENDER})
WHY = "The source sent an image of the study again, naming this Patient."
COMPARED = (
    "The study was moved to the Patient whom this file names. The image is kept, and is compared "
    "with the one that the study has under its UID."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCorrections:
    corrections: Corrections

    @property
    def linking(self) -> Linking:
        return self.corrections.relinking.studies.linking

    def follow(self, transaction: Transaction, arrival: DicomArrival, filed: Filed) -> Filed:
        """After an image was held since its study is another Patient's: what became of it now."""
        source = arrival.source.id
        if filed.rule != ANOTHER_PERSONS or not self.linking.policy.is_authoritative(source):
            return filed
        connection, uid = transaction.connection, arrival.image.study.study_instance_uid
        study = dicom_index.filed_study(connection, uid)
        held = dicom_index.study_of_identity(connection, uid, arrival.identity)
        if study is None or study.deleted or held is None or held.state != "held":
            return filed
        link = self.linking.link(connection, evidence_of(arrival))
        if not (
            is_sent_again(connection, study, arrival)
            and is_certain(connection, link)
            and is_left_to_sources(connection, study, source)
        ):
            return filed
        return self.move(transaction, arrival, study, held, link, filed)

    def move(
        self,
        transaction: Transaction,
        arrival: DicomArrival,
        study: AnyRow,
        held: AnyRow,
        link: Link,
        filed: Filed,
    ) -> Filed:
        stored = resources.find_by_rid(transaction.connection, study.rid)
        self.corrections.link_in(
            transaction,
            stored.reference,
            Decision(patient=link.patient, source=arrival.source.id),
            reason=WHY,
            caller=LOCAL,
            if_match=None,
        )
        self.corrections.relinking.link_study(transaction, held.pk)
        if dicom_index.find_study(transaction.connection, held.pk) is not None:
            return replace(filed, reason=COMPARED)
        return replace(
            filed,
            status=201,
            location=stored.reference,
            patient=link.patient,
            rule=BY_SOURCE,
            reason=SOURCE_SAID,
        )


def is_sent_again(connection: Connection, study: AnyRow, arrival: DicomArrival) -> bool:
    """Has the study an image of that UID? A new one may be a stray one of somebody else."""
    uid = arrival.image.instance.sop_instance_uid
    return any(one.study == study.pk for one in dicom_index.same_instances(connection, uid))


def is_certain(connection: Connection, link: Link) -> bool:
    """Does a number of the file lead to a known Patient, and is the EHR not merely silent?"""
    patient = resolve_patient(connection, id_of(link.patient) or "")
    is_known = patient is not None and not is_provisional(patient)
    return is_known and link.patient_rule in BY_NUMBERS and link.ehr in ("", "confirmed")


def is_left_to_sources(connection: Connection, study: AnyRow, source: str) -> bool:
    """Has no person decided of it, or taken back what a source did, and no other source?"""
    decided = [*decisions.of_all(study).values()]
    done = corrections.of_subject(connection, subject_of_study(study.pk))
    decided += [one.relinked.decided for one, _ in done if one.relinked is not None]
    return all(one.source == source for one in decided) and all(
        one.relinked is not None and not undone for one, undone in done
    )
