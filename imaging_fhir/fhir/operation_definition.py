"""The operations of the FHIR base, declared once.

Routes, the CapabilityStatement and the OperationDefinitions that are served follow this table
(https://hl7.org/fhir/R4/operations.html, operationdefinition.html).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.capability_statement import Operation
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.linking_rules import PATIENT_RULES, VISIT_RULES
from imaging_fhir.model.codec import Resource

Level = Literal["system", "type", "instance"]
HL7 = "http://hl7.org/fhir/OperationDefinition/"
US_CORE_DOCREF = "http://hl7.org/fhir/us/core/OperationDefinition/docref"
IPA_DOCREF = "http://hl7.org/fhir/uv/ipa/OperationDefinition/docref"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationParameter:
    """Of a `type`, or of `parts`."""

    name: str
    type: str = ""
    use: Literal["in", "out"] = "in"
    min: int = 0
    max: str = "1"
    documentation: str = ""
    parts: tuple["OperationParameter", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDefinition:
    """Of no `types`, it is of every type with the `interaction`, which a caller must be allowed,
    unless it is of the system alone.
    """

    id: str
    code: str
    title: str
    definitions: tuple[str, ...] = ()  # canonicals of the standard ones that it implements
    levels: tuple[Level, ...]
    interaction: str
    types: tuple[str, ...] = ()
    affects_state: bool = False
    only_post: bool = False
    also_sent: tuple[str, ...] = ()  # media types of bodies that are no resource
    parameters: tuple[OperationParameter, ...] = field(default=())
    description: str | None = None  # markdown

    @property
    def own(self) -> str:
        """The canonical of the definition that is served here."""
        return f"{canonical.BASE}/OperationDefinition/{self.id}"

    @property
    def canonicals(self) -> tuple[str, ...]:
        return self.definitions or (self.own,)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.parameters if one.use == "in")

    @property
    def methods(self) -> tuple[str, ...]:
        return ("POST",) if self.affects_state or self.only_post else ("GET", "POST")

    @property
    def is_of_types(self) -> bool:
        return bool({"type", "instance"} & set(self.levels))

    @property
    def all_types(self) -> tuple[str, ...]:
        """A Binary is its bytes: there is no meta of it to be edited."""
        if self.types or not self.is_of_types:
            return self.types
        barred = {"Binary"} if self.affects_state else set()
        return tuple(
            type_.name
            for type_ in RESOURCE_TYPES.values()
            if self.interaction in type_.interactions and type_.name not in barred
        )

    def is_of(self, level: Level, resource_type: str | None) -> bool:
        return level in self.levels and (level == "system" or resource_type in self.all_types)


def given(
    name: str, type_: str, *, least: int = 0, most: str = "1", text: str = ""
) -> OperationParameter:
    return OperationParameter(name=name, type=type_, min=least, max=most, documentation=text)


def answered(type_: str) -> OperationParameter:
    return OperationParameter(name="return", use="out", type=type_, min=1)


OF_CARE = "Of care, not of recording; what has no such date is always there."
EVERYTHING = (
    given("start", "date", text=OF_CARE),
    given("end", "date", text=OF_CARE),
    given("_since", "instant", text="Only what was changed then or later."),
    given("_type", "code", most="*", text="Only resources of these types."),
    given("_count", "integer", text="Matches on a page; included resources come on top."),
    given("_page", "string", text="Where the page before ended, as in the link `next`."),
    answered("Bundle"),
)
META = given("meta", "Meta", least=1, text="Profiles, tags and security labels.")

REASON = given("reason", "string", text="Why, for the Provenance.")
CORRECTED = (
    OperationParameter(name="outcome", use="out", type="OperationOutcome", min=1),
    OperationParameter(name="result", use="out", type="Reference"),
    OperationParameter(name="provenance", use="out", type="Reference"),
)


def told(name: str, *parts: OperationParameter, most: str = "*") -> OperationParameter:
    return OperationParameter(name=name, use="out", min=0, max=most, parts=parts)


def part(name: str, type_: str, text: str = "") -> OperationParameter:
    return OperationParameter(name=name, use="out", type=type_, documentation=text)


EXPLAINED = (
    told(
        "decision",
        part("state", "code", "filed, held or refused."),
        part("patientRule", "code"),
        part("patientReason", "string"),
        part("patient", "Reference", "Not there where a provisional Patient would be made."),
        part("encounterRule", "code"),
        part("encounterReason", "string"),
        part("encounter", "Reference"),
        most="1",
    ),
    told("evidence", part("kind", "code"), part("there", "string", "Kinds, and no values.")),
    told(
        "rule",
        part("list", "code", "patient or visit."),
        part("name", "code"),
        part("state", "code", "decides, overruled, switched-off, does-not-apply or not-reached."),
        part("needs", "string"),
        part("proves", "string"),
        part("there", "string"),
        part("found", "string"),
    ),
    told(
        "candidate",
        part("list", "code"),
        part("reference", "Reference", "Not there where the caller may not see it."),
        part("taken", "boolean"),
        part("by", "string"),
        part("why", "string"),
    ),
    OperationParameter(name="note", use="out", type="string", max="*"),
    OperationParameter(
        name="change", use="out", type="string", max="*", documentation="What would change it."
    ),
    OperationParameter(
        name="provenance",
        use="out",
        type="Provenance",
        documentation="Of what is here: by which rules it is linked.",
    ),
)

RULES = "\n".join(
    [
        "The rules in the order in which they are tried, what each needs, and what it proves.",
        *(
            f"{of}:\n" + "\n".join(f"- `{one.name}`: {one.needs}: {one.proves}" for one in rules)
            for of, rules in (("Patient", PATIENT_RULES), ("Visit", VISIT_RULES))
        ),
    ]
)

OPERATIONS = (
    OperationDefinition(
        id="Patient-everything",
        code="everything",
        title="Everything about a patient",
        definitions=(f"{HL7}Patient-everything",),
        levels=("instance",),
        types=("Patient",),
        interaction="read",
        parameters=EVERYTHING,
    ),
    OperationDefinition(
        id="Encounter-everything",
        code="everything",
        title="Everything about a visit",
        definitions=(f"{HL7}Encounter-everything",),
        levels=("instance",),
        types=("Encounter",),
        interaction="read",
        parameters=EVERYTHING,
    ),
    OperationDefinition(
        id="DocumentReference-docref",
        code="docref",
        title="References to a patient's documents",
        definitions=(US_CORE_DOCREF, IPA_DOCREF),
        levels=("type",),
        types=("DocumentReference",),
        interaction="search-type",
        parameters=(
            given("patient", "id", least=1),
            given("start", "date", text=OF_CARE),
            given("end", "date", text=OF_CARE),
            given("type", "Coding", most="*", text="In a query system|code."),
            given("on-demand", "boolean", text="true: none, since all documents here are stable."),
            given("profile", "canonical", most="*"),
            given("_count", "integer", text="Matches on a page."),
            given("_page", "string", text="Where the page before ended, as in the link `next`."),
            answered("Bundle"),
        ),
    ),
    OperationDefinition(
        id="Resource-validate",
        code="validate",
        title="Check a resource without keeping it",
        definitions=(f"{HL7}Resource-validate",),
        levels=("type", "instance"),
        interaction="read",
        only_post=True,
        parameters=(
            given("resource", "Any", text="Also as the body itself."),
            given("mode", "code", text="create, update, delete or profile."),
            given("profile", "uri", text="One known here; those that are claimed are checked too."),
            answered("OperationOutcome"),
        ),
    ),
    OperationDefinition(
        id="Resource-meta",
        code="meta",
        title="Profiles, tags and security labels in use",
        definitions=(f"{HL7}Resource-meta",),
        levels=("system", "type", "instance"),
        interaction="read",
        parameters=(answered("Meta"),),
    ),
    OperationDefinition(
        id="Resource-meta-add",
        code="meta-add",
        title="Add profiles, tags and security labels",
        definitions=(f"{HL7}Resource-meta-add",),
        levels=("instance",),
        interaction="update",
        affects_state=True,
        parameters=(META, answered("Meta")),
    ),
    OperationDefinition(
        id="Resource-meta-delete",
        code="meta-delete",
        title="Take profiles, tags and security labels away",
        definitions=(f"{HL7}Resource-meta-delete",),
        levels=("instance",),
        interaction="update",
        affects_state=True,
        parameters=(META, answered("Meta")),
    ),
    OperationDefinition(
        id="Patient-match",
        code="match",
        title="Find who a patient could be",
        definitions=(f"{HL7}Patient-match",),
        levels=("type",),
        types=("Patient",),
        interaction="search-type",
        only_post=True,
        parameters=(
            given("resource", "Patient", least=1),
            given("onlyCertainMatches", "boolean", text="Of several certain ones, none is shown."),
            given("count", "integer", text="At most so many."),
            answered("Bundle"),
        ),
    ),
    OperationDefinition(
        id="Image-link",
        code="link",
        title="Say whose image it is",
        levels=("instance",),
        types=("ImagingStudy", "DocumentReference", "Task"),
        interaction="update",
        affects_state=True,
        parameters=(
            given("patient", "Reference", least=1, text="The Patient whose image it is."),
            given("encounter", "Reference", text="Their visit; without one the rules look for it."),
            given("series", "id", most="*", text="Of a study only this series; its UID."),
            given("instance", "id", most="*", text="Of a study only this instance; its UID."),
            REASON,
            *CORRECTED,
        ),
    ),
    OperationDefinition(
        id="Task-reject",
        code="reject",
        title="Say that a held image belongs in no chart here",
        levels=("instance",),
        types=("Task",),
        interaction="update",
        affects_state=True,
        parameters=(REASON, *CORRECTED),
    ),
    OperationDefinition(
        id="Provenance-undo",
        code="undo",
        title="Undo a correction",
        levels=("instance",),
        types=("Provenance",),
        interaction="update",
        affects_state=True,
        parameters=(REASON, *CORRECTED),
    ),
    OperationDefinition(
        id="Patient-merge",
        code="merge",
        title="Say that two Patients are one person",
        definitions=(f"{HL7}Patient-merge",),
        levels=("type",),
        types=("Patient",),
        interaction="update",
        affects_state=True,
        parameters=(
            given("source-patient", "Reference", text="The Patient that is replaced."),
            given("source-patient-identifier", "Identifier", most="*"),
            given("target-patient", "Reference", text="The Patient that stays."),
            given("target-patient-identifier", "Identifier", most="*"),
            given("preview", "boolean", text="true: only say what would be merged."),
            REASON,
            *CORRECTED,
        ),
    ),
    OperationDefinition(
        id="explain-link",
        code="explain-link",
        title="Say why an image would be linked as it would",
        levels=("system",),
        interaction="create",
        only_post=True,
        also_sent=("application/dicom", "multipart/form-data"),
        parameters=(
            given("reference", "Reference", text="An image that is here, or the Task that has it."),
            given("kind", "code", text="study or document."),
            given("identifier", "Identifier", most="*", text="The patient's, as a file has them."),
            given("name", "HumanName", most="*"),
            given("birthDate", "date"),
            given("gender", "code"),
            given("visitNumber", "Identifier"),
            given("accessionNumber", "Identifier", most="*"),
            given("started", "dateTime", text="When the image was made."),
            given("modality", "code", most="*"),
            given("patient", "Reference", text="Whom the sender names."),
            given("encounter", "Reference", text="Which visit the sender names."),
            given("source", "string", text="Its id in the site file; else that of the caller."),
            *EXPLAINED,
        ),
        description=RULES,
    ),
    OperationDefinition(
        id="Subscription-status",
        code="status",
        title="How subscriptions stand",
        definitions=(f"{canonical.BACKPORT}/OperationDefinition/backport-subscription-status",),
        levels=("type", "instance"),
        types=("Subscription",),
        interaction="read",
        parameters=(
            given("id", "id", most="*", text="Only of these; of the type alone."),
            given("status", "code", most="*", text="Only in these states; of the type alone."),
            answered("Bundle"),
        ),
    ),
    OperationDefinition(
        id="Subscription-events",
        code="events",
        title="Events of a subscription once more",
        definitions=(f"{canonical.BACKPORT}/OperationDefinition/backport-subscription-events",),
        levels=("instance",),
        types=("Subscription",),
        interaction="read",
        parameters=(
            given("eventsSinceNumber", "string", text="From this number on."),
            given("eventsUntilNumber", "string", text="Up to this number."),
            given(
                "content", "code", text="empty, id-only or full-resource; as subscribed at most."
            ),
            answered("Bundle"),
        ),
    ),
)
BY_ID = {operation.id: operation for operation in OPERATIONS}
CODES = frozenset(operation.code for operation in OPERATIONS)


def declared() -> Iterator[Operation]:
    """As the CapabilityStatement has them: each at the base, or at each of its types."""
    for operation in OPERATIONS:
        at_types = operation.all_types
        at_base = (None,) if "system" in operation.levels else ()
        for resource_type in (*at_base, *at_types):
            for definition in operation.canonicals:
                yield Operation(
                    name=operation.code,
                    definition=definition,
                    type=resource_type,
                    documentation=operation.description,
                )


def operation_at(code: str, level: Level, resource_type: str | None) -> OperationDefinition | None:
    for operation in OPERATIONS:
        if operation.code == code and operation.is_of(level, resource_type):
            return operation
    return None


def operation_definition(operation: OperationDefinition) -> Resource:
    """As it is served; what it implements first is its base."""
    return without_empty(
        {
            "resourceType": "OperationDefinition",
            "id": operation.id,
            "url": operation.own,
            "name": "".join(part.capitalize() for part in operation.id.split("-")),
            "title": operation.title,
            "status": "active",
            "kind": "operation",
            "description": operation.description,
            "affectsState": operation.affects_state,
            "code": operation.code,
            "base": next(iter(operation.definitions), None),
            "resource": list(operation.types or ("Resource",)) if operation.is_of_types else [],
            "system": "system" in operation.levels,
            "type": "type" in operation.levels,
            "instance": "instance" in operation.levels,
            "parameter": [definition_parameter(one) for one in operation.parameters],
        }
    )


def definition_parameter(parameter: OperationParameter) -> Resource:
    return without_empty(
        {
            "name": parameter.name,
            "use": parameter.use,
            "min": parameter.min,
            "max": parameter.max,
            "documentation": parameter.documentation,
            "type": parameter.type,
            "part": [definition_parameter(one) for one in parameter.parts],
        }
    )
