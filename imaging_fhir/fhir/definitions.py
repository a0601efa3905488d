"""What R4 says of each type: elements, cardinalities, required bindings, reference targets.

Read from the R4B models of `fhir.resources`, whose types are R4's where the two have the same
name; what differs, and the bindings that the models do not list, stand in the tables here.
"""

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from fhir_core.types import FhirBase
from pydantic.fields import FieldInfo

from imaging_fhir.fhir.resource_names import RESOURCE_NAMES

PRIMITIVES = frozenset(
    {
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
    }
)
R4B_ONLY = ("CodeableReference", "RatioRange")  # datatypes, at the end of a choice's name
WITH_META = {  # R4's open choices that the models do not let be a Meta
    "Extension": ("value",),
    "ElementDefinition": ("defaultValue", "fixed", "pattern"),
    "ElementDefinitionExample": ("value",),
}
TASK_STATUS = (
    "draft requested received accepted rejected ready cancelled in-progress on-hold failed "
    "completed entered-in-error"
)
ENCOUNTER_STATUS = (
    "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
)
ISSUE_TYPE = (
    "invalid structure required value invariant security login unknown expired forbidden "
    "suppressed processing not-supported duplicate multiple-matches not-found deleted too-long "
    "code-invalid extension too-costly business-rule conflict transient lock-error no-store "
    "exception timeout incomplete throttled informational"
)
TIMING_EVENT = (
    "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS "
    "HS WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV"
)
FHIR_VERSION = (
    "0.01 0.05 0.06 0.11 0.0.80 0.0.81 0.0.82 0.4.0 0.5.0 1.0.0 1.0.1 1.0.2 1.1.0 1.4.0 1.6.0 "
    "1.8.0 3.0.0 3.0.1 3.3.0 3.5.0 4.0.0 4.0.1"
)
CURRENCY = (  # ISO 4217, as it was when R4 was published
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN "
    "BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP "
    "ERN ETB EUR FJD FKP GBP GEL GGP GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS IMP INR "
    "IQD IRR ISK JEP JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD "
    "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN "
    "PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLL SOS SPL SRD SSP STN "
    "SVC SYP SZL THB TJS TMT TND TOP TRY TTD TVD TWD TZS UAH UGX USD USN UYI UYU UZS VEF VND VUV "
    "WST XAF XAG XAU XBA XBB XBC XBD XCD XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWD ZWL"
)
DATATYPES = (
    "Address Age Annotation Attachment BackboneElement CodeableConcept Coding ContactDetail "
    "ContactPoint Contributor Count DataRequirement Distance Dosage Duration Element "
    "ElementDefinition Expression Extension HumanName Identifier MarketingStatus Meta Money "
    "MoneyQuantity Narrative ParameterDefinition Period Population ProdCharacteristic "
    "ProductShelfLife Quantity Range Ratio Reference RelatedArtifact SampledData Signature "
    "SimpleQuantity SubstanceAmount Timing TriggerDefinition UsageContext"
)
_RESOURCE_TYPE = " ".join((*RESOURCE_NAMES, "Resource", "DomainResource"))
_ANY_TYPE = " ".join((_RESOURCE_TYPE, DATATYPES, *sorted(PRIMITIVES), "Type", "Any"))
BINDINGS = {
    "Encounter.status": ENCOUNTER_STATUS,
    "EncounterStatusHistory.status": ENCOUNTER_STATUS,
    "DeviceUdiCarrier.entryType": "barcode rfid manual card self-reported unknown",
    "Task.status": TASK_STATUS,
    "DiagnosticReport.status": (
        "registered partial preliminary final amended corrected appended cancelled "
        "entered-in-error unknown"
    ),
    "Observation.status": (
        "registered preliminary final amended corrected cancelled entered-in-error unknown"
    ),
    "OperationOutcomeIssue.code": ISSUE_TYPE,
    "Quantity.comparator": "< <= >= >",
    "Age.comparator": "< <= >= >",
    "Count.comparator": "< <= >= >",
    "Distance.comparator": "< <= >= >",
    "Duration.comparator": "< <= >= >",
    "TimingRepeat.when": TIMING_EVENT,
    "AuditEvent.action": "C R U D E",
    "AuditEvent.outcome": "0 4 8 12",
    "AuditEventAgentNetwork.type": "1 2 3 4 5",
    "Composition.confidentiality": "U L M N R V",
    "CapabilityStatement.fhirVersion": FHIR_VERSION,
    "StructureDefinition.fhirVersion": FHIR_VERSION,
    "CapabilityStatementRestResource.type": _RESOURCE_TYPE,
    "OperationDefinition.resource": _RESOURCE_TYPE,
    "SearchParameter.base": _RESOURCE_TYPE,
    "SearchParameter.target": _RESOURCE_TYPE,
    "DataRequirement.type": _ANY_TYPE,
    "OperationDefinitionParameter.type": _ANY_TYPE,
    "ParameterDefinition.type": _ANY_TYPE,
    "Money.currency": CURRENCY,
}
TARGETS = {  # where R4B allows more than R4
    "DiagnosticReport.subject": "Patient Group Device Location",
    "Observation.subject": "Patient Group Device Location",
    "GroupMember.entity": (
        "Patient Practitioner PractitionerRole Device Medication Substance Group"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    type: str  # of R4: a primitive, a datatype, a backbone element by path, or Resource
    is_primitive: bool
    is_list: bool
    codes: frozenset[str] | None = None  # of a required binding
    targets: frozenset[str] | None = None  # of a Reference; None allows all
    choice: str | None = None  # `value` of valueString


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeDefinition:
    name: str
    elements: dict[str, Element]  # in R4's order, which XML asks for
    required: tuple[str, ...] = ()
    choices: dict[str, frozenset[str]] = field(default_factory=dict)
    required_choices: tuple[str, ...] = ()


@cache
def definition(type_name: str) -> TypeDefinition:
    """The definition of a resource type, datatype or backbone element (`PatientContact`)."""
    order = get_fhir_model_class(type_name).elements_sequence()
    fields = dict(sorted(_fields(type_name), key=lambda found: order.index(found[0])))
    elements = dict(_elements(type_name, fields))
    choices: dict[str, frozenset[str]] = {}
    for name, element in elements.items():
        if element.choice:
            choices[element.choice] = choices.get(element.choice, frozenset()) | {name}
    return TypeDefinition(
        name=type_name,
        elements=elements,
        required=tuple(name for name, info in fields.items() if _is_required(info)),
        choices=choices,
        required_choices=tuple(
            {_extra(info)["one_of_many"] for info in fields.values() if _is_required_choice(info)}
        ),
    )


def _elements(type_name: str, fields: dict[str, FieldInfo]) -> Iterator[tuple[str, Element]]:
    left = list(WITH_META.get(type_name, ()))
    for name, info in fields.items():
        element = _element(type_name, name, info)
        if element.choice in left:
            left.remove(element.choice)
            yield (
                f"{element.choice}Meta",
                Element(type="Meta", is_primitive=False, is_list=False, choice=element.choice),
            )
        yield name, element


def _fields(type_name: str) -> Iterator[tuple[str, FieldInfo]]:
    for attribute, info in get_fhir_model_class(type_name).model_fields.items():
        name = info.alias or attribute
        is_element = _extra(info).get("element_property", True) and not name.startswith("_")
        is_new = name.endswith(R4B_ONLY) and "one_of_many" in _extra(info)
        if is_element and not is_new and name != "resourceType":
            yield name, info


def _extra(info: FieldInfo) -> dict[str, Any]:
    extra = info.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _is_required(info: FieldInfo) -> bool:
    return info.is_required() or bool(_extra(info).get("element_required"))


def _is_required_choice(info: FieldInfo) -> bool:
    return bool(_extra(info).get("one_of_many_required"))


def _element(type_name: str, name: str, info: FieldInfo) -> Element:
    type_, is_list = _type_of(info.annotation, info.metadata)
    return Element(
        type=type_,
        is_primitive=type_ in PRIMITIVES,
        is_list=is_list,
        codes=_codes(f"{type_name}.{name}", type_, info),
        targets=_targets(f"{type_name}.{name}", type_, info),
        choice=_extra(info).get("one_of_many"),
    )


def _codes(path: str, type_: str, info: FieldInfo) -> frozenset[str] | None:
    """The codes of a required binding; the models shorten or describe some lists."""
    if path in BINDINGS:
        return frozenset(BINDINGS[path].split())
    codes = frozenset(_extra(info).get("enum_values", ()))
    return codes if codes and type_ == "code" and not codes & {"+", "etc.", "mime"} else None


def _targets(path: str, type_: str, info: FieldInfo) -> frozenset[str] | None:
    if path in TARGETS:
        return frozenset(TARGETS[path].split())
    targets = frozenset(_extra(info).get("enum_reference_types", ()))
    return targets if type_ == "Reference" and targets and "Resource" not in targets else None


def _type_of(annotation: Any, metadata: list[Any]) -> tuple[str, bool]:
    """The R4 type behind an annotation such as Optional[List[Annotated[str, Code()]]]."""
    is_list = False
    while (origin := typing.get_origin(annotation)) is not None:
        arguments = typing.get_args(annotation)
        if origin is typing.Annotated:
            annotation, metadata = arguments[0], list(arguments[1:])
        elif origin in (typing.Union, UnionType):
            annotation = next(found for found in arguments if found is not NoneType)
        else:
            is_list = is_list or origin is list
            annotation = arguments[0]
        if metadata and typing.get_origin(annotation) is not list:
            break
    return _type_name(annotation, metadata), is_list


def _type_name(annotation: Any, metadata: list[Any]) -> str:
    if isinstance(annotation, type) and issubclass(annotation, FhirBase):
        return annotation.__name__.removesuffix("Type")
    if annotation is bool:
        return "boolean"
    names = [type(found).__name__ for found in metadata]
    lowered = [name[:1].lower() + name[1:] for name in names]
    return next((name for name in lowered if name in PRIMITIVES), "uuid" if names else "string")
