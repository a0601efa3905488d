"""Thumbnails and previews, made in a limited process; a thumbnail once, and then kept."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.decode import DecodingEnded
from imaging_fhir.images.render import rendition
from imaging_fhir.model.codec import decode_as
from imaging_fhir.model.document import Document
from imaging_fhir.services import representative
from imaging_fhir.storage import blobs, dicom_index, documents, jobs, renditions
from imaging_fhir.storage.blobs import BlobIsDead
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.renditions import StoredRendition

Kind = Literal["thumbnail", "preview"]
SIZES: dict[Kind, int] = {"thumbnail": 256, "preview": 1600}  # pixels of the longer side
DICOM = "application/dicom"
PICTURE_AGAIN = "picture-again"
AGAIN_AFTER = 60_000  # milliseconds; what kept the machine busy may be over by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    database: Database
    store: BlobStore

    def picture(self, blob: int, media_type: str, kind: Kind, *, frame: int = 0) -> StoredRendition:
        """The picture of a blob's row, made now if it is not there; frame 0 is the best one.

        Raise UnsupportedImage or UnreadableImage where there is none.
        """
        with self.database.read() as connection:
            found = renditions.find(connection, blob, kind, frame)
        found = found or self.make(blob, media_type, kind, frame)
        if found.body is None:
            raise UnsupportedImage(found.error or "The image has no picture.")
        return found

    def make(self, blob: int, media_type: str, kind: Kind, frame: int) -> StoredRendition:
        again = False
        try:
            result = self.rendered(blob, media_type, kind, frame)
        except (UnsupportedImage, UnreadableImage) as error:
            again = isinstance(error, DecodingEnded)
            result = StoredRendition(media_type="", body=None, error=str(error))
        if (
            kind == "thumbnail"
        ):  # one for each picture; a preview for every slice seen would pile up
            with suppress(BlobIsDead):  # erased meanwhile: the picture goes with it
                self.database.write(partial(keep, blob=blob, frame=frame, made=result, again=again))
        return result

    def rendered(self, blob: int, media_type: str, kind: Kind, frame: int) -> StoredRendition:
        with self.database.read() as connection:
            content = blobs.find(connection, blob)
        with self.store.local(content) as path:
            made = rendition(path, media_type=media_type, max_size=SIZES[kind], frame=frame or None)
        return StoredRendition(media_type=made.media_type, body=made.content, error=None)

    def again(self, blob: int) -> None:
        """The thumbnails that failed, once more; raise DecodingEnded where one fails so again.

        Whoever looks at one meanwhile is told that it failed, and need not wait for it.
        """
        with self.database.read() as connection:
            frames = renditions.failed(connection, blob, "thumbnail")
            known = documents.by_content(connection, blob)
        media_type = decode_as(Document, known[0].facts).media_type if known else DICOM
        for frame in frames:
            try:
                made = self.rendered(blob, media_type, "thumbnail", frame)
            except DecodingEnded:
                raise
            except (UnsupportedImage, UnreadableImage):
                continue
            with suppress(BlobIsDead):
                self.database.write(partial(replace, blob=blob, frame=frame, made=made))

    def of_series(self, series: int) -> None:
        """Choose the image that stands for the series, and make its thumbnail."""
        with self.database.read() as connection:
            chosen = representative.choose(connection, series)
        if chosen is None:
            return
        blob = int(chosen.blob)
        self.database.write(
            lambda transaction: dicom_index.change_series(transaction, series, picture=blob)
        )
        self.quietly(blob, DICOM)

    def of_document(self, pk: int) -> None:
        with self.database.read() as connection:
            row = documents.find(connection, pk)
        if row is not None:
            self.quietly(row.blob, decode_as(Document, row.facts).media_type)

    def quietly(self, blob: int, media_type: str) -> None:
        """That there is no picture is kept with the blob; nobody waits for it here."""
        try:
            self.picture(blob, media_type, "thumbnail")
        except (UnsupportedImage, UnreadableImage):
            return


def keep(
    transaction: Transaction, blob: int, frame: int, made: StoredRendition, *, again: bool
) -> None:
    blobs.require_live(transaction, blob)
    renditions.put(transaction, blob, "thumbnail", frame, made)
    if again:
        jobs.enqueue(transaction, PICTURE_AGAIN, str(blob), after=AGAIN_AFTER)


def replace(transaction: Transaction, blob: int, frame: int, made: StoredRendition) -> None:
    blobs.require_live(transaction, blob)
    renditions.forget(transaction, blob, "thumbnail", frame)
    renditions.put(transaction, blob, "thumbnail", frame, made)
