"""The rules of R4 beyond structure, by the type they are of; each names R4's key of it.

A rule reads the JSON of its type as if the structure were right: where it is not, the walk says so.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Protocol

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import local_references
from imaging_fhir.fhir.faults import Fault, Faults
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.model.codec import Resource

Invariant = Callable[[Resource], Iterator[Fault]]

_TYPES = "|".join(RESOURCE_NAMES)
_ID = r"[A-Za-z0-9.-]{1,64}"
_RELATIVE = re.compile(rf"(?:{_TYPES})/{_ID}(?:/_history/{_ID})?")
_PARAMETER = r"[A-Za-z_][\w.:-]*=[^&\s]+"
_CONDITIONAL = re.compile(rf"(?:{_TYPES})\?{_PARAMETER}(?:&{_PARAMETER})*")
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


def check_reference(value: Resource, path: str, context: Context) -> None:
    """references.html#literal, and ref-1: a local reference is to a contained resource."""
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


def _quantity(value: Resource) -> Iterator[Fault]:
    if "code" in value and "system" not in value:
        yield Fault("has a code without its system (qty-3)")


def _range(value: Resource) -> Iterator[Fault]:
    low, high = value.get("low", {}), value.get("high", {})
    same_unit = low.get("unit") == high.get("unit") and low.get("code") == high.get("code")
    if same_unit and low.get("value", 0) > high.get("value", low.get("value", 0)):
        yield Fault("has a low above its high (rng-2)")


def _ratio(value: Resource) -> Iterator[Fault]:
    parts = value.keys() & {"numerator", "denominator"}
    if len(parts) == 1 or not (parts or "extension" in value):
        yield Fault("must have both a numerator and a denominator (rat-1)")


def _contact_point(value: Resource) -> Iterator[Fault]:
    if "value" in value and "system" not in value:
        yield Fault("has a value without its system (cpt-2)")


def _attachment(value: Resource) -> Iterator[Fault]:
    if "data" in value and "contentType" not in value:
        yield Fault("has data without a contentType (att-1)")
    yield from _mime("contentType")(value)


def _mime(element: str) -> Invariant:
    """BCP 13, a required binding."""

    def check(value: Resource) -> Iterator[Fault]:
        found = value.get(element, ())
        for text in [found] if isinstance(found, str) else found:
            if not _MIME.fullmatch(text):
                yield Fault("is not a media type", element)

    return check


def _patient_contact(value: Resource) -> Iterator[Fault]:
    if not value.keys() & {"name", "telecom", "address", "organization"}:
        yield Fault("must have a name, telecom, address or organization (pat-1)")


def _organization(value: Resource) -> Iterator[Fault]:
    if not value.keys() & {"name", "_name", "identifier"}:
        yield Fault("must have a name or an identifier (org-1)")
    for element, key in (("address", "org-2"), ("telecom", "org-3")):
        for index, item in enumerate(value.get(element, ())):
            if item.get("use") == "home":
                yield Fault(f"must not be of use home ({key})", f"{element}[{index}]")


def _service_request(value: Resource) -> Iterator[Fault]:
    if "orderDetail" in value and "code" not in value:
        yield Fault("has an orderDetail without a code (prr-1)")


def _list(value: Resource) -> Iterator[Fault]:
    if "emptyReason" in value and "entry" in value:
        yield Fault("has entries and a reason to be empty (lst-1)")
    if value.get("mode") != "changes":
        for index, entry in enumerate(value.get("entry", ())):
            if "deleted" in entry:
                yield Fault(
                    "is deleted in a list that is not of changes (lst-2)", f"entry[{index}]"
                )


def _task(value: Resource) -> Iterator[Fault]:
    authored, modified = value.get("authoredOn"), value.get("lastModified")
    if authored and modified and is_after(authored, modified):
        yield Fault("was modified before it was authored (inv-1)", "lastModified")


def _parameter(value: Resource) -> Iterator[Fault]:
    kinds = {name for name in value if name in ("resource", "part") or name.startswith("value")}
    if len(kinds) > 1:
        yield Fault("must have only one of value, resource and part (inv-1)")


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
    if not value.keys() & {"rest", "messaging", "document"}:
        yield Fault("must have rest, messaging or document (cpb-1)")
    if not value.keys() & {"description", "software", "implementation"}:
        yield Fault("must have a description, software or implementation (cpb-2)")
    kind = value.get("kind")
    if kind == "instance" and "implementation" not in value:
        yield Fault("of an instance needs an implementation (cpb-14)")
    if kind == "capability" and ("implementation" in value or "software" not in value):
        yield Fault("of a capability needs software and no implementation (cpb-15)")


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


INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration"), (_quantity,)),
    "Attachment": (_attachment,),
    "Binary": (_mime("contentType"),),
    "Bundle": (_bundle,),
    "CapabilityStatement": (_capability_statement,),
    "CapabilityStatementRest": (_rest,),
    "CapabilityStatementRestResource": (_rest_resource,),
    "ContactPoint": (_contact_point,),
    "Endpoint": (_mime("payloadMimeType"),),
    "Extension": (_extension,),
    "ImagingStudy": (_imaging_study,),
    "List": (_list,),
    "Organization": (_organization,),
    "ParametersParameter": (_parameter,),
    "PatientContact": (_patient_contact,),
    "Period": (_period,),
    "Range": (_range,),
    "Ratio": (_ratio,),
    "ServiceRequest": (_service_request,),
    "Signature": (_mime("sigFormat"), _mime("targetFormat")),
    "Task": (_task,),
}
