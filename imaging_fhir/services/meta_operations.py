"""$meta, $meta-add and $meta-delete (https://hl7.org/fhir/R4/resource-operation-meta.html)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from imaging_fhir.errors import InvalidRequest, VersionConflict
from imaging_fhir.fhir.parameters import Given, resource_in
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.resources import Resources
from imaging_fhir.settings import Settings
from imaging_fhir.storage import meta_in_use
from imaging_fhir.storage.search import limited

NOTHING = {
    "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "valueCode": "not-applicable",
}
LISTS = ("profile", "security", "tag")
ATTEMPTS = 5  # where another writes the same resource at the same time
Change = Callable[[Sequence[Any], Sequence[Any]], list[Any]]


class MetaOperations:
    def __init__(self, resources: Resources, access: AccessPolicy, settings: Settings) -> None:
        self.resources = resources
        self.access = access
        self.settings = settings

    def of_resource(self, resource_type: str, resource_id: str) -> Resource:
        """Raise ResourceNotFound, ResourceDeleted."""
        return answer(self.content(resource_type, resource_id).get("meta", {}))

    def in_use(self, resource_type: str | None, caller: Caller) -> Resource:
        """Of a type, or of all those that the caller may search; raise SearchTooCostly."""
        types = [resource_type] if resource_type else list(RESOURCE_TYPES)
        seen = [name for name in types if self.access.may(caller, "search-type", name)]
        restrictions = self.access.restrictions(caller)
        with (
            self.resources.database.read() as connection,
            limited(connection, self.settings.search_seconds),
        ):
            return answer(
                {
                    "profile": meta_in_use.profiles(connection, seen, restrictions),
                    "security": meta_in_use.codings(connection, "_security", seen, restrictions),
                    "tag": meta_in_use.codings(connection, "_tag", seen, restrictions),
                }
            )

    def add(self, resource_type: str, resource_id: str, given: Given) -> Resource:
        return self.change(resource_type, resource_id, given, united)

    def delete(self, resource_type: str, resource_id: str, given: Given) -> Resource:
        """What is not there need not be taken away."""
        return self.change(resource_type, resource_id, given, without)

    def change(
        self, resource_type: str, resource_id: str, given: Given, change: Change
    ) -> Resource:
        """A next version, where that differs; raise VersionConflict when others write all along."""
        meta = meta_in(given)
        for attempt in range(ATTEMPTS):
            content = self.content(resource_type, resource_id)
            version = content["meta"]["versionId"]
            changed = {**content, "meta": changed_meta(content["meta"], meta, change)}
            try:
                self.resources.update(
                    resource_type, resource_id, changed, if_match=f'W/"{version}"'
                )
            except VersionConflict:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            return self.of_resource(resource_type, resource_id)
        raise AssertionError("Each attempt returns or raises.")

    def content(self, resource_type: str, resource_id: str) -> Resource:
        """As a client reads it."""
        _, body = self.resources.read(resource_type, resource_id)
        content: Resource = decode(self.resources.addresses.served(body))
        return content


def answer(meta: Resource) -> Resource:
    """Without the lists that are empty; what has none at all says so (ele-1)."""
    kept = {name: value for name, value in meta.items() if value}
    value = kept or {"extension": [NOTHING]}
    return {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": value}]}


def meta_in(given: Given) -> Resource:
    meta = resource_in(given, "meta")
    if meta is None:
        raise InvalidRequest("The parameter meta is missing.", expression="Parameters.parameter")
    holder = {"resourceType": "Basic", "code": {"text": "of meta"}, "meta": meta}
    for issue in check(holder):
        if issue.severity == "error" and issue.expression.startswith("Basic.meta"):
            where = issue.expression.removeprefix("Basic.")
            raise InvalidRequest(f"{where} {issue.message}.", expression=where)
    return meta


def changed_meta(current: Resource, given: Resource, change: Change) -> Resource:
    lists = {name: change(current.get(name, ()), given.get(name, ())) for name in LISTS}
    rest = {name: value for name, value in current.items() if name not in LISTS}
    return {**rest, **{name: value for name, value in lists.items() if value}}


def united(current: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    known = set(map(key_of, current))
    return [*current, *(one for one in unique(given) if key_of(one) not in known)]


def without(current: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    unwanted = set(map(key_of, given))
    return [one for one in current if key_of(one) not in unwanted]


def unique(given: Sequence[Any]) -> Iterable[Any]:
    return {key_of(one): one for one in given}.values()


def key_of(one: Any) -> Any:
    """A profile is itself, a Coding its system and code: version and display do not count."""
    return (one.get("system"), one.get("code")) if isinstance(one, dict) else one
