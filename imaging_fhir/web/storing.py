"""Instances of STOW-RS on their way in, and what is said of them: the same before and in Flask."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imaging_fhir.dicomweb.media_type import DICOM, DICOM_JSON
from imaging_fhir.dicomweb.multipart import Part, ReadableBytes, parts
from imaging_fhir.dicomweb.store_response import (
    HELD,
    OTHER_STUDY,
    Failed,
    Stored,
    failure_reason,
    store_response,
    store_status,
)
from imaging_fhir.dicomweb.xml import to_xml
from imaging_fhir.errors import ImagingError, UnsupportedImage, UnsupportedMediaType
from imaging_fhir.images import HEAD_LENGTH
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.codec import encode
from imaging_fhir.model.link import Given
from imaging_fhir.services.composition import Services
from imaging_fhir.services.ingest import NOTHING_GIVEN, Outcome
from imaging_fhir.settings import Source

Result = Stored | Failed


@dataclass(frozen=True, slots=True)
class Storing:
    """One request's: instances of another study than the one of the address fail."""

    services: Services
    source: Source
    study: str | None = None
    given: Given = NOTHING_GIVEN  # whose alone the sender may send

    def related(self, stream: ReadableBytes, content_type: str) -> Iterator[Result]:
        """Of each part of the body."""
        for part in parts(stream, content_type):
            yield self.part(part)

    def part(self, part: Part) -> Result:
        if part.content_type not in ("", DICOM):
            error = UnsupportedMediaType(f"A part is not {DICOM}.")
            return self.result(Outcome(status=error.status, error=error))
        return self.alone(part.chunks)

    def alone(self, chunks: Iterable[bytes]) -> Result:
        return self.result(
            self.services.ingest.ingest(
                only_dicom(iter(chunks)),
                source=self.source,
                given=self.given,
                expected_study=self.study,
            )
        )

    def result(self, outcome: Outcome) -> Result:
        """All that the answer says of it: of many instances no more is kept in memory."""
        if outcome.filed is None:
            return self.failed(outcome)
        return self.stored(outcome)

    def stored(self, outcome: Outcome) -> Stored:
        instance = outcome.instance
        if instance is None:
            raise ImagingError("What is no DICOM was stored as an instance.")
        is_held = outcome.status == 202
        return Stored(
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            retrieve_url=None if is_held else self.address(outcome, instance.sop_instance_uid),
            warning_reason=HELD if is_held else None,
            comment=outcome.message if is_held else "",
        )

    def failed(self, outcome: Outcome) -> Failed:
        error = outcome.error or ImagingError("Nothing was kept.")
        instance = outcome.instance
        found = outcome.study_instance_uid
        is_other_study = self.study is not None and found is not None and found != self.study
        return Failed(
            error=error,
            failure_reason=OTHER_STUDY if is_other_study else failure_reason(error),
            sop_class_uid=instance.sop_class_uid if instance else None,
            sop_instance_uid=instance.sop_instance_uid if instance else None,
        )

    def address(self, outcome: Outcome, sop_instance_uid: str) -> str:
        own = (outcome.study_instance_uid, outcome.series_instance_uid, sop_instance_uid)
        study, series, instance = (outcome.filed and outcome.filed.retrieved_as) or own
        base = f"{self.services.settings.public_address}/dicomweb"
        return f"{base}/studies/{study}/series/{series}/instances/{instance}"


def only_dicom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; raise UnsupportedImage where they begin as something else than DICOM."""
    head = b""
    for chunk in chunks:
        head = head + chunk if head else chunk
        if len(head) >= HEAD_LENGTH:
            break
    if not DicomReader().recognises(head[:HEAD_LENGTH]):
        raise UnsupportedImage("It is no DICOM object.")
    yield head
    yield from chunks


def written(results: list[Result], media_type: str) -> tuple[int, bytes]:
    """Status and body of the answer."""
    stored = [one for one in results if isinstance(one, Stored)]
    failed = [one for one in results if isinstance(one, Failed)]
    body = store_response(stored, failed, retrieve_url=common_address(stored))
    is_json = media_type == DICOM_JSON
    return store_status(stored, failed), encode(body) if is_json else to_xml(body)


def common_address(stored: list[Stored]) -> str | None:
    """Of the study that all instances went to, if it can be retrieved."""
    studies = {one.retrieve_url.partition("/series/")[0] for one in stored if one.retrieve_url}
    return studies.pop() if len(studies) == 1 else None
