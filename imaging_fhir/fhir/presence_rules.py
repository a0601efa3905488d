"""The rules of R4 about which elements stand together, as tables with R4's key of each.

`value[x]` is any type of that choice. Rules about more than presence are in `invariants`.
"""

from collections.abc import Iterator

from imaging_fhir.fhir.faults import Fault
from imaging_fhir.model.codec import Resource

NEEDS = {  # by type: an element, what it needs beside it, and the key
    "Attachment": (("data", "contentType", "att-1"),),
    "ContactPoint": (("value", "system", "cpt-2"),),
    "Age": (("value", "code", "age-1"),),
    "Count": (("value", "code", "cnt-3"),),
    "Distance": (("value", "code", "dis-1"),),
    "Duration": (("code", "value", "drt-1"), ("code", "system", "drt-1")),
    "Quantity": (("code", "system", "qty-3"),),
    "SearchParameter": (("xpath", "xpathUsage", "spd-1"),),
    "ServiceRequest": (("orderDetail", "code", "prr-1"),),
    "TimingRepeat": (
        ("duration", "durationUnit", "tim-1"),
        ("period", "periodUnit", "tim-2"),
        ("periodMax", "period", "tim-6"),
        ("durationMax", "duration", "tim-7"),
        ("countMax", "count", "tim-8"),
        ("offset", "when", "tim-9"),
    ),
    "TriggerDefinition": (("condition", "data", "trd-2"),),
}
APART = {  # by type: two elements of which there is at most one
    "AuditEventEntity": (("name", "query", "sev-1"),),
    "List": (("emptyReason", "entry", "lst-1"),),
    "Observation": (("dataAbsentReason", "value[x]", "obs-6"),),
    "TimingRepeat": (("timeOfDay", "when", "tim-10"),),
    "TriggerDefinition": (("data", "timing[x]", "trd-1"),),
    "DataRequirementCodeFilter": (("path", "searchParam", "drq-1"),),
    "DataRequirementDateFilter": (("path", "searchParam", "drq-2"),),
}
SOME = {  # by type: elements of which there is at least one
    "CapabilityStatement": (
        ("rest messaging document", "cpb-1"),
        ("description software implementation", "cpb-2"),
    ),
    "Consent": (("policy policyRule", "ppc-1"),),
    "DataRequirementCodeFilter": (("path searchParam", "drq-1"),),
    "DataRequirementDateFilter": (("path searchParam", "drq-2"),),
    "Expression": (("expression reference", "exp-1"),),
    "ObservationReferenceRange": (("low high text", "obs-3"),),
    "OperationDefinitionParameter": (("type part", "opd-1"),),
    "Organization": (("name identifier", "org-1"),),
    "PatientContact": (("name telecom address organization", "pat-1"),),
}
WITHOUT_HOME = {"Organization": (("address", "org-2"), ("telecom", "org-3"))}
WITHOUT_COMPARATOR = {  # SimpleQuantity: sqty-1
    "DosageDoseAndRate": ("doseQuantity", "rateQuantity"),
    "Dosage": ("maxDosePerAdministration", "maxDosePerLifetime"),
    "ObservationReferenceRange": ("low", "high"),
    "Range": ("low", "high"),
    "SampledData": ("origin",),
    "SpecimenCollection": ("quantity",),
    "SpecimenContainer": ("capacity", "specimenQuantity"),
}
TYPES = frozenset().union(NEEDS, APART, SOME, WITHOUT_HOME, WITHOUT_COMPARATOR)


def presence_faults(type_name: str, value: Resource) -> Iterator[Fault]:
    yield from _together(type_name, value)
    for names, key in SOME.get(type_name, ()):
        if not any(has(value, name) for name in names.split()):
            yield Fault(f"must have {' or '.join(names.split())} ({key})")
    yield from _below(type_name, value)


def _together(type_name: str, value: Resource) -> Iterator[Fault]:
    for element, other, key in NEEDS.get(type_name, ()):
        if has(value, element) and not has(value, other):
            yield Fault(f"has {element} without {other} ({key})")
    for one, other, key in APART.get(type_name, ()):
        if has(value, one) and has(value, other):
            yield Fault(f"has both {one} and {other} ({key})")


def _below(type_name: str, value: Resource) -> Iterator[Fault]:
    for name, key in WITHOUT_HOME.get(type_name, ()):
        for index, item in enumerate(value.get(name, ())):
            if item.get("use") == "home":
                yield Fault(f"must not be of use home ({key})", f"{name}[{index}]")
    for name in WITHOUT_COMPARATOR.get(type_name, ()):
        if "comparator" in value.get(name, {}):
            yield Fault("must have no comparator (sqty-1)", name)


def has(value: Resource, element: str) -> bool:
    """Extensions alone make an element exist, too."""
    if element.endswith("[x]"):
        stem = element[:-3]
        return any(name.lstrip("_").startswith(stem) for name in value)
    return element in value or f"_{element}" in value
