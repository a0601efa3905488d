"""$validate: what would be said of a resource that is not kept.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from collections.abc import Iterator

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.operation_outcome import issue, outcome_of
from imaging_fhir.fhir.parameters import Given, refused, resource_in, text
from imaging_fhir.fhir.profiles import PROFILES, declared, judged
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.preconditions import require_type, require_whole
from imaging_fhir.services.resources import Resources
from imaging_fhir.storage import filing

MODES = ("create", "update", "delete", "profile")
BASE_PROFILE = "http://hl7.org/fhir/StructureDefinition/"


class Validating:
    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def validate(self, resource_type: str, resource_id: str | None, given: Given) -> Resource:
        """An OperationOutcome; raise InvalidRequest where there is nothing to be checked."""
        mode, profile = text(given, "mode"), text(given, "profile")
        if mode is not None and mode not in MODES:
            raise refused("mode", f"it is none of {', '.join(MODES)}")
        if mode == "delete":
            return outcome_of(self.of_deletion(resource_type, resource_id))
        content = resource_in(given, "resource")
        if content is None:
            content = self.kept(resource_type, resource_id)
        content = self.resources.at_home(content)
        found = list(issues(resource_type, content))
        found += issues_of_mode(mode, resource_type, resource_id, content)
        right = all(one["severity"] != "error" for one in found)
        asked = [profile] if profile else []
        for url in (*asked, *(one for one in declared(content) if one not in asked)):
            found += issues_of_profile(url, content, is_right=right, is_asked=url in asked)
        return outcome_of(found)

    def kept(self, resource_type: str, resource_id: str | None) -> Resource:
        if resource_id is None:
            raise refused("resource", "it is missing")
        _, body = self.resources.read(resource_type, resource_id)
        content: Resource = decode(body)
        return content

    def of_deletion(self, resource_type: str, resource_id: str | None) -> Iterator[Resource]:
        """Raise ResourceNotFound, ResourceDeleted."""
        if resource_id is None:
            raise refused("mode", "a deletion is of one resource")
        self.resources.read(resource_type, resource_id)
        with self.resources.database.read() as connection:
            if filing.has_images(connection, resource_type, resource_id):
                yield issue("conflict", f"Images are filed to {resource_type}/{resource_id}.")


def issues(resource_type: str, content: Resource) -> Iterator[Resource]:
    try:
        require_type(resource_type, content)
        require_whole(content)
    except ImagingError as error:
        yield issue(error.issue_code, str(error), expression=error.expression)
    for found in check(content):
        yield issue(
            found.code,
            f"{found.expression}: {found.message}",
            severity=found.severity,
            expression=found.expression,
        )


def issues_of_mode(
    mode: str | None, resource_type: str, resource_id: str | None, content: Resource
) -> Iterator[Resource]:
    if resource_id is not None and content.get("id", resource_id) != resource_id:
        yield issue(
            "invalid",
            "The resource's id is not that of the address.",
            expression=f"{resource_type}.id",
        )
    elif mode == "update" and "id" not in content:
        yield issue("required", "An update needs the id.", expression=f"{resource_type}.id")


def issues_of_profile(
    url: str, content: Resource, *, is_right: bool, is_asked: bool
) -> Iterator[Resource]:
    """Not to have checked what was asked for is no success; what is only claimed is advised on.

    A profile presumes what is right by R4.
    """
    profile = PROFILES.get(url)
    if profile is not None and is_right:
        for found in judged(content, profile):
            yield issue(
                found.code,
                f"{found.expression}: {found.message} ({profile.url}|{profile.version})",
                severity=found.severity,
                expression=found.expression,
            )
    elif profile is None and url != f"{BASE_PROFILE}{content.get('resourceType')}":
        yield issue(
            "not-supported",
            f"Not checked against {url[:500]}: this server does not have the profile.",
            severity="error" if is_asked else "warning",
            expression="http.profile"
            if is_asked
            else f"{content.get('resourceType')}.meta.profile",
        )
