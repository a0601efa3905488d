"""Why an image would be linked as it would: the rules one by one, and nothing is written.

The rules are walked by the same code that files; what the study at hand makes of it is found by
filing in a transaction that is rolled back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from imaging_fhir.errors import ImagingError, InvalidRequest, ResourceConflict, ResourceNotFound
from imaging_fhir.fhir.link_explanation import one_way, said_of_image
from imaging_fhir.fhir.parameters import Given as Parameters
from imaging_fhir.fhir.parameters import reference_in, text
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import decode_as
from imaging_fhir.model.document import Document
from imaging_fhir.model.explanation import LinkExplanation, LinkMade, TriedRule
from imaging_fhir.model.link import Given, Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.search import Restrictions
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.arrival import ComparisonNeeded, DicomArrival, Filed
from imaging_fhir.services.correction import Found, image_of
from imaging_fhir.services.document_filing import evidence_of as evidence_of_document
from imaging_fhir.services.document_filing import local
from imaging_fhir.services.ehr_look_up import LookUp
from imaging_fhir.services.ehr_questions import questions
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.explain_rules import Walk, candidates_of, evidence_in_words, tried
from imaging_fhir.services.explain_words import CHANGES, STUDY
from imaging_fhir.services.ingest import AnyArrival, Ingest, evidence_of_arrival, read
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.moments import zone_of
from imaging_fhir.services.study_evidence import decision_on, evidence_of_study
from imaging_fhir.settings import Source
from imaging_fhir.storage import compartment, dicom_index
from imaging_fhir.storage.database import Connection, Database
from imaging_fhir.storage.ports import StagedBlob

IMAGES = {  # what can be explained, and what it is where there is no image of ours
    "ImagingStudy": "has no images of this server.",
    "DocumentReference": "was written by a client.",
    "Task": "holds no image any more, or one that is kept only beside another.",
}
NOT_ASKED = (
    "The EHR would be asked first: this is by what it said before, and nothing was asked of it."
)
HEADER_ALONE = (
    "The header came without its pixel data, and is taken for that of the image that is kept "
    "under its SOP Instance UID."
)
GOES_WITH = (
    "Images of this study that name the same person are here already: this one goes with them."
)
STAYS = "It is filed: once it is, only identifiers, a merge or a person move it to another Patient."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainLink:
    database: Database
    ingest: Ingest
    access: AccessPolicy
    look_up: LookUp | None

    @property
    def linking(self) -> Linking:
        return self.ingest.studies.linking

    def file(
        self, staged: StagedBlob, *, source: Source, given: Given, caller: Caller
    ) -> LinkExplanation:
        """What `$import-image` would make of this file; raise UnsupportedImage, UnreadableImage."""
        image = read(staged)
        unasked = self.ingest.unasked(staged, image, source, given)
        evidence, notes = self.with_ehr(evidence_of_arrival(unasked))
        walked = self.explained(evidence, notes, caller=caller)
        arrival: AnyArrival = replace(unasked, ehr=evidence.ehr)
        header_alone: list[str] = []

        def compared(
            staged: StagedBlob, arrival: AnyArrival, needed: ComparisonNeeded
        ) -> AnyArrival:
            if not self.is_header_of(arrival, needed):
                return self.ingest.with_comparison(staged, arrival, needed)
            header_alone.append(HEADER_ALONE)
            same = {**arrival.comparisons, needed.instance: "same"}
            return replace(arrival, comparisons=same)

        try:
            filed = self.ingest.rehearsed(staged, arrival, compared)
        except ImagingError as error:
            return refused(walked, error)
        with self.database.read() as connection:
            seen = Seen(connection, self.access.restrictions(caller))
            return told(seen, walked, filed, header_alone[:1])

    def is_header_of(self, arrival: AnyArrival, needed: ComparisonNeeded) -> bool:
        """Did it come without the pixel data that the image kept under its UID has?"""
        if not isinstance(arrival, DicomArrival) or arrival.image.instance.has_pixel_data:
            return False
        with self.database.read() as connection:
            return dicom_index.has_pixel_data(connection, needed.instance)

    def parameters(
        self,
        parameters: Parameters,
        *,
        default: Source,
        at_home: Callable[[str], str],
        caller: Caller,
    ) -> LinkExplanation:
        """Of what is here, by `reference`; else of what a file would say, in a new study.

        Raise InvalidRequest, and as `resource` does.
        """
        reference = one_way(parameters)
        if reference is not None:
            return self.resource(at_home(reference), caller=caller)
        said, source = said_of_image(parameters), self.source(text(parameters, "source"), default)
        evidence = Evidence(
            person=said.person,
            visit=said.visit,
            accession_numbers=said.accession_numbers,
            started=local(said.started),
            modalities=said.modalities,
            zone=zone_of(source.time_zone or self.ingest.time_zone),
            given=Given(
                patient=reference_in(parameters, "patient", "Patient", at_home),
                encounter=reference_in(parameters, "encounter", "Encounter", at_home),
            ),
            source=source,
            is_study=said.is_study,
        )
        return self.explained(*self.with_ehr(evidence), caller=caller)

    def source(self, source_id: str | None, default: Source) -> Source:
        """As if it came from there; raise InvalidRequest."""
        if not source_id:
            return default
        found = self.linking.site.source_or_default(source_id)
        if found.id != source_id:
            raise InvalidRequest(
                "The site file has no source of this id.", expression="http.source"
            )
        return found

    def resource(self, reference: str, *, caller: Caller) -> LinkExplanation:
        """What they make today of an image that is here, or held by a Task.

        Raise InvalidRequest, ResourceNotFound, and ResourceConflict for what is no image.
        """
        restrictions = self.access.restrictions(caller)
        resource_type, _, resource_id = reference.partition("/")
        if resource_type not in IMAGES:
            raise InvalidRequest(
                f"It must be one reference to {', '.join(IMAGES)} here.",
                expression="http.reference",
            )
        with self.database.read() as connection:
            stored = compartment.find_visible(connection, resource_type, resource_id, restrictions)
            if stored is None:
                raise ResourceNotFound(f"{reference} is not known.")
            found = image_of(connection, stored)
            if found is None:
                raise ResourceConflict(f"{reference} {IMAGES[resource_type]}")
            evidence = self.evidence_of(found)
        notes = [STAYS] if found.row.state == "filed" else []
        explanation = self.explained(evidence, notes, caller=caller)
        return replace(explanation, made=made(found))

    def evidence_of(self, found: Found) -> Evidence:
        row, linking = found.row, self.linking
        if found.kind == "study":
            return evidence_of_study(row, decode_as(Merged, row.attributes), linking)
        source = linking.site.source_or_default(row.source)
        facts, given = decode_as(Document, row.facts), decode_as(Given, row.given)
        return evidence_of_document(facts, given, source, row.zone, decision_on(row))

    def with_ehr(self, evidence: Evidence) -> tuple[Evidence, list[str]]:
        """With what the EHR said lately; it is not asked."""
        asked = [] if self.look_up is None else questions(self.linking, evidence)
        if self.look_up is None or not asked:
            return evidence, []
        word = self.look_up.cached_word(asked, evidence)
        return replace(evidence, ehr=word), [NOT_ASKED] * (word is None)

    def explained(
        self, evidence: Evidence, notes: Iterable[str], *, caller: Caller
    ) -> LinkExplanation:
        with self.database.read() as connection:
            seen = Seen(connection, self.access.restrictions(caller))
            walk = Walk(self.linking, connection, evidence)
            explanation = LinkExplanation(
                state="held",
                patient_rule="",
                patient_reason="",
                evidence=tuple(evidence_in_words(walk).items()),
                notes=tuple(notes),
            )
            try:
                link = self.linking.link(connection, evidence)
                steps = tuple(tried(walk, link, seen.reference))
                candidates = tuple(candidates_of(walk, link, seen.reference))
            except InvalidRequest as error:
                return refused(explanation, error)
            return decided(replace(explanation, rules=steps, candidates=candidates), link, seen)


def made(found: Found) -> LinkMade:
    link = decode_as(Link, found.row.link)
    return LinkMade(
        target=found.stored.reference,
        recorded=found.stored.last_updated,
        patient_rule=link.patient_rule,
        patient_reason=link.patient_reason,
        encounter_rule=link.encounter_rule,
        encounter_reason=link.encounter_reason,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller may know of."""

    connection: Connection
    restrictions: Restrictions

    def reference(self, reference: str) -> str | None:
        type_, _, id_ = reference.partition("/")
        found = compartment.find_visible(self.connection, type_, id_, self.restrictions)
        return None if found is None else reference


def decided(explanation: LinkExplanation, link: Link, seen: Seen) -> LinkExplanation:
    return with_changes(
        replace(
            explanation,
            state=link.state,
            patient_rule=link.patient_rule,
            patient_reason=link.patient_reason,
            patient=link.patient and seen.reference(link.patient),
            encounter_rule=link.encounter_rule,
            encounter_reason=link.encounter_reason,
            encounter=link.encounter and seen.reference(link.encounter),
        )
    )


def told(
    seen: Seen, walked: LinkExplanation, filed: Filed, notes: Iterable[str]
) -> LinkExplanation:
    """The walk through the rules, with what filing made of it; of a new Patient there is none."""
    told = replace(
        walked,
        state="held" if filed.location.startswith("Task/") else "filed",
        patient_rule=filed.rule,
        patient_reason=filed.reason,
        patient=filed.patient and seen.reference(filed.patient),
        encounter_rule=filed.encounter_rule,
        encounter_reason=filed.encounter_reason,
        encounter=filed.encounter and seen.reference(filed.encounter),
        notes=(*walked.notes, *notes),
    )
    same = (walked.patient_rule, walked.encounter_rule) == (filed.rule, filed.encounter_rule)
    if same:
        return told
    by_study = (GOES_WITH,) if told.state == "filed" or filed.status == 200 else ()
    return with_changes(
        replace(
            told,
            rules=tuple(overruled(one, filed) for one in walked.rules),
            notes=(*told.notes, *by_study),
        )
    )


def overruled(rule: TriedRule, filed: Filed) -> TriedRule:
    """The rule that counts is the one by which its study is linked, or not."""
    name = filed.rule if rule.list == "patient" else filed.encounter_rule
    if rule.name == name:
        return replace(rule, state="decides", there=rule.there or f"{STUDY}: it is here already")
    return replace(rule, state="overruled") if rule.state == "decides" else rule


def refused(explanation: LinkExplanation, error: ImagingError) -> LinkExplanation:
    """It would be answered with an error, and nothing kept."""
    return replace(
        explanation,
        state="refused",
        patient_rule="",
        patient_reason=str(error),
        patient=None,
        encounter_rule="",
        encounter_reason="",
        encounter=None,
        changes=("The request put right: an error of this status keeps nothing.",),
    )


def with_changes(explanation: LinkExplanation) -> LinkExplanation:
    names = dict.fromkeys((explanation.patient_rule, explanation.encounter_rule))
    return replace(explanation, changes=tuple(CHANGES[name] for name in names if name in CHANGES))
