"""Rendered pictures of instances: made in a limited process, and kept for whoever asks again."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from imaging_fhir.dicomweb.captions import patient_lines, technique_lines
from imaging_fhir.errors import ImagingError, ResourceNotFound, UnsupportedImage
from imaging_fhir.images.rendering import rendered, rendered_cine
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.model.rendering import NO_CAPTIONS, Captions, Rendering
from imaging_fhir.services.representative import chosen
from imaging_fhir.services.retrieve import Retrieve, StoredInstance
from imaging_fhir.storage import rendered as kept
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.ports import BlobStore

RENDERER = "1"  # another one with each change of what a picture looks like
PRESENTATION_STATES = frozenset(  # of greyscale and of colour (PS3.4 N)
    f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2)
)
LARGEST_STATE = 16 * 1024 * 1024  # bytes
REFERENCED_SERIES, REFERENCED_IMAGES = "00081115", "00081140"
SERIES_UID, REFERENCED_UID, FRAME_NUMBER = "0020000E", "00081155", "00081160"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One picture, several, or a cine of an instance: all that decides what comes out."""

    instance: StoredInstance
    rendering: Rendering
    frames: tuple[int, ...] | None = None
    captions: Captions = NO_CAPTIONS
    state: StoredInstance | None = None  # the presentation state that it is shown by
    is_cine: bool = False

    def key(self, frame: int | None) -> str:
        """Of one frame's picture; nothing of whose it is goes into it but what is written."""
        state = None if self.state is None else self.state.blob.sha256
        cine = self.frames if self.is_cine else None
        asked = (RENDERER, self.rendering, frame, self.captions, state, self.is_cine, cine)
        return hashlib.sha256(encode(asked)).hexdigest()

    @property
    def etag(self) -> str:
        keys = [self.key(frame) for frame in self.frames or (None,)]
        return f"{self.instance.pk}-{hashlib.sha256(''.join(keys).encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The pictures in the order of the frames, and what keeps those that are new."""

    pictures: tuple[Picture, ...]
    is_new: bool
    keep: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    database: Database
    store: BlobStore

    def question(
        self,
        instance: StoredInstance,
        rendering: Rendering,
        *,
        frames: tuple[int, ...] | None = None,
        state: StoredInstance | None = None,
        is_cine: bool = False,
    ) -> Question:
        """A presentation state by itself is shown on the first image that it refers to.

        Raise ResourceNotFound where that is not here.
        """
        if instance.sop_class_uid in PRESENTATION_STATES:
            state, (instance, frame) = instance, self.presented(instance)
            frames = frames or ((frame,) if frame else None)
        return Question(
            instance=instance,
            rendering=rendering,
            frames=frames,
            captions=self.captions(instance, rendering),
            state=state,
            is_cine=is_cine,
        )

    def captions(self, instance: StoredInstance, rendering: Rendering) -> Captions:
        """In the words of the identity that the instance has now."""
        asked = rendering.annotations
        if "patient" not in asked and "technique" not in asked:
            return NO_CAPTIONS
        described = self.described(instance)
        return Captions(
            patient=patient_lines(described) if "patient" in asked else (),
            technique=technique_lines(described) if "technique" in asked else (),
        )

    def presented(self, state: StoredInstance) -> tuple[StoredInstance, int | None]:
        """The first image of those that the state refers to and that are here, and its frame."""
        for series in values(self.described(state), REFERENCED_SERIES):
            for reference in values(series, REFERENCED_IMAGES):
                uid = first(reference, REFERENCED_UID)
                with suppress(ResourceNotFound):
                    [found] = self.retrieve.instances(
                        state.study_instance_uid, first(series, SERIES_UID), uid
                    )
                    frame = first(reference, FRAME_NUMBER)
                    return found, int(frame) if frame else None
        raise ResourceNotFound("The images of this presentation state are not here.")

    @property
    def retrieve(self) -> Retrieve:
        return Retrieve(self.database, self.store)

    def described(self, instance: StoredInstance) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = decode(self.retrieve.metadata_of(instance))
        return found

    def representative(self, study: str, series: str | None) -> tuple[str, str]:
        """SeriesInstanceUID and SOPInstanceUID; raise ResourceNotFound."""
        with self.database.read() as connection:
            found = chosen(connection, study, series)
        return found.series_instance_uid, found.sop_instance_uid

    def answer(self, question: Question) -> Answered:
        """From what is kept, else made now. Raise UnsupportedImage, UnreadableImage,
        ResourceNotFound for a frame that is not there, DecodingBusy."""
        frames: Sequence[int | None] = [None] if question.is_cine else question.frames or [None]
        blob = question.instance.blob_pk
        with self.database.read() as connection:
            known = {
                frame: Picture(media_type=row.media_type, content=row.body)
                for frame in frames
                if (row := kept.find(connection, blob, question.key(frame))) is not None
            }
        missing = [frame for frame in dict.fromkeys(frames) if frame not in known]
        made = self.made(question, missing) if missing else {}
        return Answered(
            pictures=tuple((known | made)[frame] for frame in frames),
            is_new=bool(made),
            keep=partial(self.keep, question, made),
        )

    def made(self, question: Question, missing: Sequence[int | None]) -> dict[int | None, Picture]:
        state = None if question.state is None else self.content_of(question.state)
        with self.store.local(question.instance.blob) as path:
            if question.is_cine:
                cine = rendered_cine(
                    path,
                    question.rendering,
                    frames=question.frames,
                    captions=question.captions,
                    presentation=state,
                )
                return {None: Picture(media_type=cine.media_type, content=cine.content)}
            stills = rendered(
                path,
                question.rendering,
                frames=tuple(frame for frame in missing if frame is not None) or None,
                captions=question.captions,
                presentation=state,
            )
        return {
            frame: Picture(media_type=still.media_type, content=still.content)
            for frame, still in zip(missing, stills, strict=True)
        }

    def content_of(self, state: StoredInstance) -> bytes:
        if state.blob.size > LARGEST_STATE:
            raise UnsupportedImage("The presentation state is too large.")
        with self.store.open(state.blob) as stream:
            return stream.read()

    def keep(self, question: Question, made: dict[int | None, Picture]) -> None:
        """For whoever asks again; where it cannot be kept, it is made again."""
        for frame, picture in made.items():
            with suppress(ImagingError):
                self.database.write(
                    partial(
                        kept.put,
                        blob=question.instance.blob_pk,
                        key=question.key(frame),
                        media_type=picture.media_type,
                        body=picture.content,
                    )
                )


def values(item: dict[str, dict[str, object]], key: str) -> list[dict[str, dict[str, object]]]:
    found = item.get(key, {}).get("Value") or []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def first(item: dict[str, dict[str, object]], key: str) -> str:
    found = item.get(key, {}).get("Value")
    return str(found[0]) if isinstance(found, list) and found else ""
