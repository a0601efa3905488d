"""Thumbnails and previews, made in a limited process; a thumbnail once, and then kept."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.render import rendition
from imaging_fhir.model.codec import decode_as
from imaging_fhir.model.document import Document
from imaging_fhir.storage import blobs, dicom_index, documents, renditions
from imaging_fhir.storage.blobs import BlobIsDead
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.renditions import StoredRendition

Kind = Literal["thumbnail", "preview"]
SIZES: dict[Kind, int] = {"thumbnail": 256, "preview": 1600}  # pixels of the longer side
DICOM = "application/dicom"


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
        with self.database.read() as connection:
            content = blobs.find(connection, blob)
        try:
            with self.store.local(content) as path:
                made = rendition(
                    path, media_type=media_type, max_size=SIZES[kind], frame=frame or None
                )
            result = StoredRendition(media_type=made.media_type, body=made.content, error=None)
        except (UnsupportedImage, UnreadableImage) as error:
            result = StoredRendition(media_type="", body=None, error=str(error))
        if (
            kind == "thumbnail"
        ):  # one for each picture; a preview for every slice seen would pile up
            with suppress(BlobIsDead):  # erased meanwhile: the picture goes with it
                self.database.write(lambda tx: keep(tx, blob, kind, frame, result))
        return result

    def of_series(self, series: int) -> None:
        """Choose the series' picture, from its middle, and make its thumbnail."""
        with self.database.read() as connection:
            blob = dicom_index.middle_blob(connection, series)
        if blob is None:
            return
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
    transaction: Transaction, blob: int, kind: Kind, frame: int, made: StoredRendition
) -> None:
    blobs.require_live(transaction, blob)
    renditions.put(transaction, blob, kind, frame, made)
