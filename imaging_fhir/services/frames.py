"""Single frames of an instance, as they are stored; found by a table that is kept with the blob."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import msgspec

from imaging_fhir.dicomweb.media_type import EXPLICIT_VR_LITTLE_ENDIAN
from imaging_fhir.errors import StorageFull, StorageUnavailable
from imaging_fhir.images.frames import (
    CompressedFrames,
    FrameTable,
    NativeFrames,
    TableIsWrong,
    frame_pieces,
    frame_table,
    inflated_copy,
)
from imaging_fhir.images.pieces import Piece, chunks_of, size_of
from imaging_fhir.images.transcode import TranscodedFrames, transcoded
from imaging_fhir.services.retrieve import StoredInstance
from imaging_fhir.storage import frame_tables
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.ports import BlobStore

FRAMES_AT_ONCE = 100  # converted by one child; large ones are fewer
logger = logging.getLogger(__name__)
_decoder = msgspec.msgpack.Decoder(FrameTable)


@dataclass(slots=True, kw_only=True)
class OpenFrames:
    """The frames of an instance whose file, or what is inflated of it, is open."""

    frames: "Frames"
    instance: StoredInstance
    stream: BinaryIO
    size: int
    table: FrameTable

    @property
    def transfer_syntax(self) -> str:
        """Of the frames as they are read here."""
        is_compressed = isinstance(self.table, CompressedFrames)
        return self.instance.transfer_syntax_uid if is_compressed else EXPLICIT_VR_LITTLE_ENDIAN

    def pieces(self, number: int) -> tuple[Piece, ...]:
        """Frame `number`, from 1; raise ResourceNotFound, UnreadableImage."""
        try:
            return frame_pieces(self.stream, self.size, self.table, number)
        except TableIsWrong:
            self.table = self.frames.made(self.instance, self.stream, scan=True)
            return frame_pieces(self.stream, self.size, self.table, number)

    def sizes(self, numbers: Sequence[int]) -> list[int]:
        """Of these frames; raise ResourceNotFound, UnreadableImage."""
        if isinstance(self.table, CompressedFrames):
            return [size_of(self.pieces(number)) for number in numbers]
        self.pieces(max(numbers))
        return [self.table.size for _ in numbers]

    def chunks(self, number: int) -> Iterator[bytes]:
        return chunks_of(self.stream, self.pieces(number))

    def converted(self, numbers: Sequence[int], target: str) -> Iterator[TranscodedFrames]:
        """The frames in that transfer syntax, some at a time; raise UnsupportedImage,
        UnreadableImage.
        """
        self.pieces(max(numbers))
        done = 0
        while done < len(numbers):
            made = transcoded(
                self.stream,
                self.table,
                syntax=self.instance.transfer_syntax_uid,
                target=target,
                numbers=tuple(numbers[done : done + FRAMES_AT_ONCE]),
            )
            done += len(made.frames)
            yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    database: Database
    store: BlobStore

    @contextmanager
    def opened(self, instance: StoredInstance) -> Iterator[OpenFrames]:
        """Raise ResourceNotFound where there are none, UnreadableImage.

        The stream is closed on an error; else by whoever has read what they came for.
        """
        with ExitStack() as stack:
            stream = stack.enter_context(self.store.open(instance.blob))
            table, size = self.known(instance) or self.made(instance, stream), instance.blob.size
            if isinstance(table, NativeFrames) and table.deflated_at is not None:
                whole = cast(BinaryIO, stack.enter_context(TemporaryFile()))
                table = inflated_copy(stream, table.deflated_at, table, whole)
                stream.close()
                stream, size = whole, whole.tell()
            yield OpenFrames(frames=self, instance=instance, stream=stream, size=size, table=table)
            stack.pop_all()

    def known(self, instance: StoredInstance) -> FrameTable | None:
        if not is_kept(instance):
            return None
        with self.database.read() as connection:
            body = frame_tables.find(connection, instance.blob_pk)
        return None if body is None else _decoder.decode(body)

    def made(self, instance: StoredInstance, stream: BinaryIO, *, scan: bool = False) -> FrameTable:
        table = frame_table(stream, transfer_syntax=instance.transfer_syntax_uid, scan=scan)
        if is_kept(instance):
            self.keep(instance, table)
        return table

    def keep(self, instance: StoredInstance, table: FrameTable) -> None:
        """For the next reader; without room for it, that one looks again."""
        body = msgspec.msgpack.encode(table)
        try:
            self.database.write(partial(frame_tables.put, blob=instance.blob_pk, body=body))
        except (StorageFull, StorageUnavailable) as error:
            logger.info("a table of frames was not kept: %s", error)


def is_kept(instance: StoredInstance) -> bool:
    """The one frame of most instances is found as fast as a table of it."""
    return (instance.number_of_frames or 1) > 1
