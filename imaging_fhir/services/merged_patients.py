"""What two Patients say of one another once the one has taken the other's place, and afterwards."""

from collections.abc import Iterator

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.correction import MergedPatient


def new_identifiers(source: Resource, target: Resource) -> Iterator[int]:
    """Positions of the source's identifiers that the target does not have."""
    known = {(one.get("system"), one.get("value")) for one in target.get("identifier", ())}
    for position, one in enumerate(source.get("identifier", ())):
        if (one.get("system"), one.get("value")) not in known:
            yield position


def replaced(source: Resource, target_id: str) -> Resource:
    link = {"other": {"reference": f"Patient/{target_id}"}, "type": "replaced-by"}
    return {**source, "active": False, "link": [*source.get("link", ()), link]}


def replacing(target: Resource, source: Resource, given: tuple[int, ...]) -> Resource:
    link = {"other": {"reference": f"Patient/{source['id']}"}, "type": "replaces"}
    old = [{**source["identifier"][position], "use": "old"} for position in given]
    identifiers = [*target.get("identifier", ()), *old]
    content = {**target, "link": [*target.get("link", ()), link]}
    return {**content, "identifier": identifiers} if identifiers else content


def restored(source: Resource, merged: MergedPatient) -> Resource:
    content = without_link(source, "replaced-by", merged.target)
    content.pop("active", None)
    return content if merged.active is None else {**content, "active": merged.active}


def without_source(target: Resource, source: Resource, given: tuple[int, ...]) -> Resource:
    """The target without the identifiers that it was given."""
    content = without_link(target, "replaces", source["id"])
    numbers = source.get("identifier", ())
    former = [{**numbers[at], "use": "old"} for at in given if at < len(numbers)]
    kept = [one for one in target.get("identifier", ()) if one not in former]
    content.pop("identifier", None)
    return {**content, "identifier": kept} if kept else content


def without_link(patient: Resource, type_: str, other: str) -> Resource:
    links = [
        link
        for link in patient.get("link", ())
        if (link.get("type"), link.get("other", {}).get("reference")) != (type_, f"Patient/{other}")
    ]
    rest = {name: value for name, value in patient.items() if name != "link"}
    return {**rest, "link": links} if links else rest


def is_replaced_by(source: Resource, target_id: str) -> bool:
    link = ("replaced-by", f"Patient/{target_id}")
    return link in (
        (one.get("type"), one.get("other", {}).get("reference")) for one in source.get("link", ())
    )
