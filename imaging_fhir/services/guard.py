"""The policy as reading and writing one resource ask it, for the caller of the request at hand.

What the caller may not see is answered as what was never there. What is written must be, before
and after, of what the caller may write.
"""

from dataclasses import dataclass

from imaging_fhir.errors import AccessDenied, ResourceNotFound
from imaging_fhir.fhir.attachment import attachments
from imaging_fhir.model.caller import CALLER
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.reference import id_in
from imaging_fhir.model.search import Restrictions
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.storage.compartment import find_visible
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import ASSEMBLED, StoredResource

BINARY = "Binary"
OPEN: Restrictions = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    access: AccessPolicy | None = None  # None: nothing is closed to anybody

    def restrictions(self, letters: str) -> Restrictions:
        return OPEN if self.access is None else self.access.restrictions(CALLER.get(), letters)

    def is_limited(self, resource_type: str, letters: str) -> bool:
        return resource_type in self.restrictions(letters)

    def sees(
        self, connection: Connection, resource_type: str, resource_id: str, letters: str
    ) -> bool:
        """Is it there, and open to the caller by one of the letters? What is open need not be
        there."""
        restrictions = self.restrictions(letters)
        if resource_type not in restrictions:
            return True
        return find_visible(connection, resource_type, resource_id, restrictions) is not None

    def require_seen(
        self, connection: Connection, resource_type: str, resource_id: str, letters: str = "r"
    ) -> None:
        """Raise ResourceNotFound as for an id that is not known; AccessDenied of another patient
        than the token's."""
        if self.access is not None and resource_type == "Patient":
            self.access.require_patient(CALLER.get(), resource_id, letters)
        if not self.sees(connection, resource_type, resource_id, letters):
            raise ResourceNotFound(f"{resource_type}/{resource_id} is not known.")

    def before_write(
        self,
        connection: Connection,
        key: tuple[str, str],
        content: Resource,
        current: StoredResource | None,
        *,
        posted: bool,
        brought: set[str],
    ) -> None:
        """Whoever may not write to all of a type gives no ids, and updates what is open to them.

        Nor do they open to themselves the bytes of another document by referring to them.
        Raise ResourceNotFound, AccessDenied.
        """
        resource_type, resource_id = key
        if not self.is_limited(resource_type, "c" if posted else "u"):
            return
        if not posted:
            self.require_seen(connection, resource_type, resource_id, "u")
        elif current is not None or resource_type in ASSEMBLED:
            raise AccessDenied(f"The access token does not allow to create this {resource_type}.")
        for binary in binaries_in(content) - brought:
            if not self.sees(connection, BINARY, binary, "rs"):
                raise AccessDenied("The access token does not open bytes that are referred to.")

    def after_write(self, connection: Connection, written: StoredResource, *, posted: bool) -> None:
        """Raise AccessDenied where it would be written out of the caller's reach."""
        if not self.sees(connection, written.type, written.id, "c" if posted else "u"):
            raise AccessDenied(
                f"The access token does not allow to write such a {written.type}: "
                "it may be for another patient."
            )

    def may_delete(self, connection: Connection, resource_type: str, resource_id: str) -> bool:
        """Whether there is anything for the caller to delete; raise AccessDenied."""
        if self.access is not None and resource_type == "Patient":
            self.access.require_patient(CALLER.get(), resource_id, "d")
        return self.sees(connection, resource_type, resource_id, "d")


def binaries_in(content: Resource) -> set[str]:
    urls = (one.get("url") for one in attachments(content))
    return {found for url in urls if (found := id_in(url, BINARY))}
