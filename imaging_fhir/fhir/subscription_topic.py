"""The topics that are told of: https://hl7.org/fhir/uv/subscriptions-backport/ (R4)."""

from dataclasses import dataclass

from imaging_fhir.fhir import canonical
from imaging_fhir.model.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    id: str
    resource_type: str
    changes: Change
    title: str
    criteria: str = ""  # what else the resource must fulfil, as a search

    @property
    def url(self) -> str:
        return f"{canonical.BASE}/SubscriptionTopic/{self.id}"


CHANGED = Change.UPDATED | Change.MOVED
ANY = Change.CREATED | CHANGED

TOPICS = (
    Topic(
        id="imagingstudy-available",
        resource_type="ImagingStudy",
        changes=Change.CREATED,
        title="An ImagingStudy is there that was not before, or the first images of an order are",
        criteria="status:not=registered,cancelled",
    ),
    Topic(
        id="imagingstudy-updated",
        resource_type="ImagingStudy",
        changes=CHANGED,
        title="An ImagingStudy has more images, or says something else",
    ),
    Topic(
        id="imagingstudy-relinked",
        resource_type="ImagingStudy",
        changes=Change.MOVED,
        title="An ImagingStudy is of another Patient or Encounter now",
    ),
    Topic(
        id="documentreference-new",
        resource_type="DocumentReference",
        changes=Change.CREATED,
        title="A DocumentReference is there that was not before",
    ),
    Topic(
        id="documentreference-updated",
        resource_type="DocumentReference",
        changes=CHANGED,
        title="A DocumentReference says something else",
    ),
    Topic(
        id="documentreference-relinked",
        resource_type="DocumentReference",
        changes=Change.MOVED,
        title="A DocumentReference is of another Patient or Encounter now",
    ),
    Topic(
        id="task-held",
        resource_type="Task",
        changes=Change.CREATED,
        title="An image is held until somebody decides whose it is",
        criteria=f"code={canonical.TASK_CODE}|decide-held-image",
    ),
)
BY_URL = {topic.url: topic for topic in TOPICS}
