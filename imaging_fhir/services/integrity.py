"""References that lead somewhere (http.html#integrity), where the site wants that enforced.

Lenient by default: an EHR's feeds arrive out of order, and a reference may come before its target.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from imaging_fhir.errors import InvalidResource, ResourceConflict
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.codec import decode
from imaging_fhir.model.reference import local_target
from imaging_fhir.storage import filing, resources
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource

Named = Callable[[int], AbstractContextManager[None]]  # errors inside say which they are of
Located = tuple[str, tuple[str, str]]  # FHIRPath expression of a reference; type and id


@dataclass(frozen=True, slots=True)
class Integrity:
    strict: bool = False

    def require_targets(self, connection: Connection, stored: StoredResource) -> None:
        """Every Type/id that the resource refers to is there; raise InvalidResource."""
        self.require_all_targets(connection, [(0, stored)], unnamed)

    def require_all_targets(
        self,
        connection: Connection,
        written: Sequence[tuple[int, StoredResource]],
        named: Named,
    ) -> None:
        """The same of many; errors are raised within what `named` makes of the number of each."""
        if not self.strict:
            return
        referring = [
            (number, list(references(decode(stored.body), stored.type)))
            for number, stored in written
            if stored.body is not None
        ]
        targets = {target for _, found in referring for _, target in found}
        there = resources.that_are_there(connection, targets)
        for number, found in referring:
            for expression, target in found:
                if target not in there:
                    with named(number):
                        raise InvalidResource(
                            f"{expression} refers to a {target[0]} that is not known here.",
                            expression=expression,
                        )

    def require_unreferenced(self, connection: Connection, deleted: StoredResource | None) -> None:
        """Nothing refers to what is deleted; raise ResourceConflict."""
        if not self.strict or deleted is None:
            return
        referrer = filing.a_referrer(connection, deleted.type, deleted.id)
        if referrer is not None:
            raise ResourceConflict(f"{deleted.reference} is referred to by {referrer}.")


def unnamed(number: int) -> AbstractContextManager[None]:
    return nullcontext()


def references(value: Any, path: str) -> Iterator[Located]:
    """The references to resources of types served here, contained resources' own among them."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from references(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == "reference" and isinstance(inner, str):
                target = local_target(inner)
                if target and target[0] in RESOURCE_TYPES:
                    yield path, target
            else:
                yield from references(inner, f"{path}.{name}")
