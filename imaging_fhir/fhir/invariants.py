"""The rules of R4 beyond structure, by the type they are of; each names R4's key of it.

A rule reads the JSON of its type as if the structure were right: where it is not, the walk says so.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import local_references
from imaging_fhir.fhir.faults import Fault, Faults
from imaging_fhir.fhir.presence_rules import TYPES, has, presence_faults
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.model.codec import Resource

Invariant = Callable[[Resource], Iterator[Fault]]

_RESOURCE = "|".join(RESOURCE_NAMES)
_ID = r"[A-Za-z0-9.-]{1,64}"
_RELATIVE = re.compile(rf"(?:{_RESOURCE})/{_ID}(?:/_history/{_ID})?")
_PARAMETER = r"[A-Za-z_][\w.:-]*=[^&\s]+"
_CONDITIONAL = re.compile(rf"(?:{_RESOURCE})\?{_PARAMETER}(?:&{_PARAMETER})*")
_ABSOLUTE = re.compile(r"(?!urn:|javascript:|data:|vbscript:)[a-z][a-z0-9+.-]*:\S+", re.I)
_URN = re.compile(
    r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+",
    re.IGNORECASE,
)
_MIME = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(?:\s*;.*)?", re.ASCII)


class Context(Protocol):
    """Where a reference stands."""

    faults: Faults
    contained: dict[str, str]
    in_transaction: bool

    def type_of_target(self, found: Resource) -> str | None: ...


def check_reference(value: Resource, path: str, context: Context) -> None:
    """references.html#literal, and ref-1: a local reference is to a contained resource."""
    _check_type(value, path, context)
    target = value.get("reference")
    if not isinstance(target, str) or target == "#":
        return
    here = f"{path}.reference"
    if target.startswith("#"):
        if target[1:] not in context.contained:
            context.faults.error(here, "refers to nothing contained (ref-1)", "invariant")
    elif _CONDITIONAL.fullmatch(target):
        if not context.in_transaction:
            context.faults.error(here, "is conditional outside a transaction", "value")
    elif not any(form.fullmatch(target) for form in (_RELATIVE, _URN, _ABSOLUTE)):
        context.faults.error(
            here, "is no reference: Type/id, a URL, urn:uuid: or urn:oid:, or #id", "value"
        )


def _check_type(value: Resource, path: str, context: Context) -> None:
    """references.html#Reference: the type that is said is that of the target."""
    said = value.get("type")
    found = context.type_of_target({"reference": value.get("reference")})
    if isinstance(said, str) and found is not None and said.rpartition("/")[2] != found:
        context.faults.error(f"{path}.type", f"is not {found}, as the reference is", "value")


def check_contained(resource: Resource, path: str, faults: Faults) -> dict[str, str]:
    """The ids and types of what a resource contains; dom-2 to dom-5."""
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return {}
    found: dict[str, str] = {}
    used = set(local_references(resource))
    for index, inner in enumerate(contained):
        if isinstance(inner, dict):
            here = f"{path}.contained[{index}]"
            for message in _contained_faults(inner, used):
                faults.error(here, message, "invariant")
            if str(inner.get("id")) in found:
                faults.error(here, "has the id of another contained resource", "duplicate")
            found[str(inner.get("id"))] = str(inner.get("resourceType"))
    return found


def _contained_faults(inner: Resource, used: set[str]) -> Iterator[str]:
    meta = inner.get("meta")
    if "contained" in inner:
        yield "must not contain resources itself (dom-2)"
    if "id" not in inner:
        yield "has no id to refer to it by (dom-3)"
    elif f"#{inner['id']}" not in used and "#" not in used:
        yield "is referred to by nothing (dom-3)"
    if isinstance(meta, dict) and meta.keys() & {"versionId", "lastUpdated"}:
        yield "must not have a version or a time of update (dom-4)"
    if isinstance(meta, dict) and "security" in meta:
        yield "must not have a security label (dom-5)"


def _extension(value: Resource) -> Iterator[Fault]:
    has_value = any(name.lstrip("_").startswith("value") for name in value)
    if has_value == ("extension" in value):
        yield Fault("must have either a value or extensions (ext-1)")


def _period(value: Resource) -> Iterator[Fault]:
    if "start" in value and "end" in value and is_after(value["start"], value["end"]):
        yield Fault("starts after it ends (per-1)")


def is_after(one: str, other: str) -> bool:
    """Whether one dateTime is surely after another; of partial ones, as far as both go."""
    if "T" in one and "T" in other:
        try:
            return datetime.fromisoformat(one) > datetime.fromisoformat(other)
        except ValueError:
            return False
    shared = min(len(one), len(other), 10)
    return one[:shared] > other[:shared]


def _ucum_quantity(key: str) -> Invariant:
    def check(value: Resource) -> Iterator[Fault]:
        if value.get("system", canonical.UCUM) != canonical.UCUM:
            yield Fault(f"must have a unit of UCUM ({key})", "system")

    return check


def _age(value: Resource) -> Iterator[Fault]:
    if value.get("value", 1) <= 0:
        yield Fault("must be above zero (age-1)", "value")


def _count(value: Resource) -> Iterator[Fault]:
    if value.get("value", 0) % 1:
        yield Fault("must be a whole number (cnt-3)", "value")
    if value.get("code", "1") != "1":
        yield Fault("must be 1 (cnt-3)", "code")


def _range(value: Resource) -> Iterator[Fault]:
    low, high = value.get("low", {}), value.get("high", {})
    same_unit = low.get("unit") == high.get("unit") and low.get("code") == high.get("code")
    if same_unit and low.get("value", 0) > high.get("value", low.get("value", 0)):
        yield Fault("has a low above its high (rng-2)")


def _ratio(value: Resource) -> Iterator[Fault]:
    parts = value.keys() & {"numerator", "denominator"}
    if len(parts) == 1 or not (parts or "extension" in value):
        yield Fault("must have both a numerator and a denominator (rat-1)")


def _mime(element: str) -> Invariant:
    """BCP 13, a required binding."""

    def check(value: Resource) -> Iterator[Fault]:
        found = value.get(element, ())
        for text in [found] if isinstance(found, str) else found:
            if not _MIME.fullmatch(text):
                yield Fault("is not a media type", element)

    return check


def _list(value: Resource) -> Iterator[Fault]:
    mode = value.get("mode")
    for index, entry in enumerate(value.get("entry", ())):
        if mode != "changes" and "deleted" in entry:
            yield Fault("is deleted in a list that is not of changes (lst-2)", f"entry[{index}]")
        if mode != "working" and "date" in entry:
            yield Fault("has a date in a list that is not working (lst-3)", f"entry[{index}]")


def _group(value: Resource) -> Iterator[Fault]:
    if "member" in value and value.get("actual") is not True:
        yield Fault("has members without being actual (grp-1)")


def _observation(value: Resource) -> Iterator[Fault]:
    """Its own code has its value: no component repeats it."""
    codes = {_code_of(found) for found in value.get("code", {}).get("coding", ())}
    if not has(value, "value[x]"):
        return
    for index, component in enumerate(value.get("component", ())):
        own = component.get("code", {}).get("coding", ())
        if codes & {_code_of(found) for found in own}:
            yield Fault(
                "has the code of the whole, which has a value (obs-7)", f"component[{index}]"
            )


def _code_of(coding: Resource) -> tuple[Any, Any]:
    return coding.get("system"), coding.get("code")


def _timing_repeat(value: Resource) -> Iterator[Fault]:
    for element, key in (("duration", "tim-4"), ("period", "tim-5")):
        if value.get(element, 0) < 0:
            yield Fault(f"must not be negative ({key})", element)
    if "offset" in value and {"C", "CM", "CD", "CV"} & set(value.get("when", ())):
        yield Fault("is of a meal itself, which has no offset (tim-9)", "offset")


def _trigger_definition(value: Resource) -> Iterator[Fault]:
    kind = str(value.get("type"))
    needed = {"named-event": "name", "periodic": "timing[x]"}.get(kind)
    needed = "data" if kind.startswith("data-") else needed
    if needed and not has(value, needed):
        yield Fault(f"of type {kind} needs {needed} (trd-3)")


def _operation_parameter(value: Resource) -> Iterator[Fault]:
    type_ = value.get("type")
    if "searchType" in value and type_ != "string":
        yield Fault("is only for a string (opd-2)", "searchType")
    if "targetProfile" in value and type_ not in ("Reference", "canonical"):
        yield Fault("is only for a Reference or canonical (opd-3)", "targetProfile")


def _search_parameter(value: Resource) -> Iterator[Fault]:
    if "chain" in value and value.get("type") != "reference":
        yield Fault("is only for a reference (spd-2)", "chain")


def _task(value: Resource) -> Iterator[Fault]:
    authored, modified = value.get("authoredOn"), value.get("lastModified")
    if authored and modified and is_after(authored, modified):
        yield Fault("was modified before it was authored (inv-1)", "lastModified")


def _parameter(value: Resource) -> Iterator[Fault]:
    kinds = [name for name in ("value[x]", "resource", "part") if has(value, name)]
    if len(kinds) != 1:
        yield Fault("must have one of value, resource and part (inv-1)")


def _imaging_study(value: Resource) -> Iterator[Fault]:
    places = [(f"modality[{i}]", found) for i, found in enumerate(value.get("modality", ()))]
    places += [
        (f"series[{i}].modality", series.get("modality", {}))
        for i, series in enumerate(value.get("series", ()))
    ]
    for place, found in places:
        if found.get("system") != canonical.DCM:
            yield Fault(f"should be a code of {canonical.DCM}", place, "warning")


def _bundle(value: Resource) -> Iterator[Fault]:
    type_, entries = value.get("type"), value.get("entry", [])
    if "total" in value and type_ not in ("searchset", "history"):
        yield Fault("is only for a searchset or history (bdl-1)", "total")
    for index, entry in enumerate(entries):
        for message in _entry_faults(entry, type_):
            yield Fault(message, f"entry[{index}]")
    yield from _distinct_full_urls(entries, type_)
    if type_ in ("document", "message"):
        yield from _document_or_message(value, type_)


def _entry_faults(entry: Resource, type_: str | None) -> Iterator[str]:
    asks = type_ in ("batch", "transaction", "history")
    answers = type_ in ("batch-response", "transaction-response", "history")
    if "search" in entry and type_ != "searchset":
        yield "has search outside a searchset (bdl-2)"
    if ("request" in entry) != asks:
        yield f"{'needs a' if asks else 'must not have a'} request (bdl-3)"
    if ("response" in entry) != answers:
        yield f"{'needs a' if answers else 'must not have a'} response (bdl-4)"
    if not entry.keys() & {"resource", "request", "response"}:
        yield "must have a resource (bdl-5)"
    yield from _full_url_faults(entry)


def _full_url_faults(entry: Resource) -> Iterator[str]:
    full_url, resource = entry.get("fullUrl"), entry.get("resource", {})
    if full_url is None:
        return
    if not (_URN.fullmatch(full_url) or _ABSOLUTE.fullmatch(full_url)):
        yield "has a fullUrl that is not absolute"
    if "/_history/" in full_url:
        yield "has a fullUrl of one version (bdl-8)"
    is_new = entry.get("request", {}).get("method") == "POST"  # then the id is the server's
    has_both_ids = "/" in full_url and "id" in resource and not is_new
    if has_both_ids and not full_url.endswith(f"/{resource['id']}"):
        yield "has a fullUrl that disagrees with the resource's id"


def _distinct_full_urls(entries: Iterable[Resource], type_: str | None) -> Iterator[Fault]:
    """bdl-7; the versions of a resource may stand together."""
    if type_ == "history":
        return
    seen: set[tuple[str, Any]] = set()
    for index, entry in enumerate(entries):
        if "fullUrl" not in entry:
            continue
        version = entry.get("resource", {}).get("meta", {}).get("versionId")
        if (entry["fullUrl"], version) in seen:
            yield Fault("has the fullUrl of another entry (bdl-7)", f"entry[{index}].fullUrl")
        seen.add((entry["fullUrl"], version))


def _document_or_message(value: Resource, type_: str) -> Iterator[Fault]:
    first: Resource = next((entry.get("resource", {}) for entry in value.get("entry", ())), {})
    expected = {"document": "Composition", "message": "MessageHeader"}[type_]
    key = {"document": "bdl-11", "message": "bdl-12"}[type_]
    if first.get("resourceType") != expected:
        yield Fault(f"must begin with a {expected} ({key})")
    identifier = value.get("identifier", {})
    if type_ == "document" and not {"system", "value"} <= identifier.keys():
        yield Fault("must have an identifier with system and value (bdl-9)")
    if type_ == "document" and "timestamp" not in value:
        yield Fault("must have a timestamp (bdl-10)")


def _capability_statement(value: Resource) -> Iterator[Fault]:
    kind = value.get("kind")
    if kind == "instance" and "implementation" not in value:
        yield Fault("of an instance needs an implementation (cpb-14)")
    if kind == "capability" and ("implementation" in value or "software" not in value):
        yield Fault("of a capability needs software and no implementation (cpb-15)")
    if kind == "requirements" and value.keys() & {"implementation", "software"}:
        yield Fault("of requirements has neither software nor implementation (cpb-16)")
    has_endpoint = any("endpoint" in found for found in value.get("messaging", ()))
    if has_endpoint and kind != "instance":
        yield Fault("is only for an instance (cpb-3)", "messaging")
    documents = ((one.get("profile"), one.get("mode")) for one in value.get("document", ()))
    if _repeated(documents):
        yield Fault("lists a profile and mode twice (cpb-7)", "document")


def _rest(value: Resource) -> Iterator[Fault]:
    if repeated := _repeated(resource.get("type") for resource in value.get("resource", ())):
        yield Fault(f"lists {repeated} twice (cpb-9)")


def _rest_resource(value: Resource) -> Iterator[Fault]:
    if repeated := _repeated(item.get("name") for item in value.get("searchParam", ())):
        yield Fault(f"lists the search parameter {repeated} twice (cpb-12)")


def _repeated(values: Iterable[Any]) -> Any:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


OWN: dict[str, tuple[Invariant, ...]] = {
    "Age": (_ucum_quantity("age-1"), _age),
    "Attachment": (_mime("contentType"),),
    "Binary": (_mime("contentType"),),
    "Bundle": (_bundle,),
    "CapabilityStatement": (_capability_statement,),
    "CapabilityStatementRest": (_rest,),
    "CapabilityStatementRestResource": (_rest_resource,),
    "Count": (_ucum_quantity("cnt-3"), _count),
    "Distance": (_ucum_quantity("dis-1"),),
    "Duration": (_ucum_quantity("drt-1"),),
    "Endpoint": (_mime("payloadMimeType"),),
    "Extension": (_extension,),
    "Group": (_group,),
    "ImagingStudy": (_imaging_study,),
    "List": (_list,),
    "Observation": (_observation,),
    "OperationDefinitionParameter": (_operation_parameter,),
    "ParametersParameter": (_parameter,),
    "Period": (_period,),
    "Range": (_range,),
    "Ratio": (_ratio,),
    "SearchParameter": (_search_parameter,),
    "Signature": (_mime("sigFormat"), _mime("targetFormat")),
    "SubscriptionChannel": (_mime("payload"),),
    "Task": (_task,),
    "TimingRepeat": (_timing_repeat,),
    "TriggerDefinition": (_trigger_definition,),
}
INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    type_name: ((partial(presence_faults, type_name),) if type_name in TYPES else ())
    + OWN.get(type_name, ())
    for type_name in sorted({*OWN, *TYPES})
}
