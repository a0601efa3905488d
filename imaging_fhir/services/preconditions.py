"""What must hold before a resource is written: conditions of the request, and of its body."""

from collections.abc import Iterable

from imaging_fhir.errors import InvalidRequest, InvalidResource, VersionConflict
from imaging_fhir.fhir.patient import is_provisional_id
from imaging_fhir.model.codec import Resource
from imaging_fhir.services.attachment import Prepared
from imaging_fhir.storage.resources import StoredResource

SUBSETTED = "SUBSETTED"
OF_THE_ANSWER = frozenset({"_format", "_pretty", "_summary", "_elements"})  # http.html#parameters


def require_type(resource_type: str, content: object) -> None:
    if not isinstance(content, dict) or "resourceType" not in content:
        raise InvalidRequest("The body is no FHIR resource: it has no resourceType.")
    if content["resourceType"] != resource_type:
        raise InvalidRequest(f"The body is no {resource_type}.", expression="resourceType")


def require_whole(content: Resource) -> None:
    """A cut resource that is sent back would destroy what was left out."""
    meta = content.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and tag.get("code") == SUBSETTED:
            raise InvalidResource(
                "The resource is a summary (SUBSETTED) and must not be stored.",
                expression=f"{content['resourceType']}.meta.tag",
            )


def require_match(if_match: str | None, current: StoredResource | None) -> None:
    """http.html#concurrency; `W/"3"`, and `"3"` as some clients write it."""
    if if_match is None:
        return
    if current is None or if_match.strip().removeprefix("W/").strip('"') != str(current.version):
        raise VersionConflict("The current version is another than that of If-Match.")


def require_own_id(current: StoredResource | None, prepared: Prepared) -> None:
    """A client makes no Patient under an id that says it was made of an image."""
    is_new = current is None and prepared.resource_type == "Patient"
    if is_new and is_provisional_id(prepared.resource_id):
        raise InvalidResource("Only the server gives ids that begin so.", expression="Patient.id")


def is_known(stored: StoredResource, etags: str | None, since: float | None) -> bool:
    """http.html#cread; If-None-Match wins, and If-Modified-Since knows whole seconds only."""
    if etags is not None:
        tags = {tag.strip().removeprefix("W/").strip('"') for tag in etags.split(",")}
        return "*" in tags or str(stored.version) in tags
    return since is not None and stored.last_updated // 1000 <= since


def require_none(if_none_match: str | None, current: StoredResource | None) -> None:
    """`If-None-Match: *` on a write: only where there is none yet."""
    exists = current is not None and not current.deleted
    if exists and if_none_match is not None and if_none_match.strip() == "*":
        raise VersionConflict("If-None-Match: * was said, and the resource exists.")


def require_id(content: Resource, resource_type: str, resource_id: str) -> None:
    if content.get("id") != resource_id:
        raise InvalidRequest(
            "The resource must have the id of the address.", expression=f"{resource_type}.id"
        )


def require_no_criteria(interaction: str, names: Iterable[str], *, header: str) -> None:
    """Who writes to one address means no search: ignored, a condition would do the opposite of it.

    Raise InvalidRequest, which says where a conditional interaction has its condition.
    """
    name = next((name for name in names if name not in OF_THE_ANSWER), None)
    if name is None:
        return
    if interaction == "create":
        where = f"it has them in {header}"
    else:
        where = "its address has them instead of an id"
    raise InvalidRequest(
        f"{name[:80]} is refused: R4 has no {interaction} with parameters in this address. "
        f"Where the {interaction} is to be conditional, {where}.",
        expression=f"http.{name[:80]}",
    )
