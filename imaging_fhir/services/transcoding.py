"""Instances in another transfer syntax than the one they are stored in (PS3.18 8.7.3.5).

Their frames are converted without loss, so they keep their SOP Instance UID (PS3.4 B.4.1.3).
"""

import struct
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from imaging_fhir.dicomweb.media_type import EXPLICIT_VR_LITTLE_ENDIAN
from imaging_fhir.errors import ResourceNotFound, UnsupportedImage
from imaging_fhir.images.frames import PIXELS, NativeFrames, vr_of, whole_value
from imaging_fhir.images.pieces import Piece
from imaging_fhir.images.transcode import TARGETS, header_in, is_decodable
from imaging_fhir.services.frames import Frames, OpenFrames
from imaging_fhir.services.retrieve import DicomFile, Retrieve, StoredInstance

ITEM_HEAD = struct.Struct("<HHL")
ITEM, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
UNDEFINED = 0xFFFFFFFF
MOST_BYTES = 0xFFFFFFFE  # of a value, and of what a table of offsets reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoding:
    retrieve: Retrieve
    frames: Frames

    def possible(self, instance: StoredInstance) -> frozenset[str]:
        """The transfer syntaxes that it may go into."""
        return TARGETS if is_decodable(instance.transfer_syntax_uid) else frozenset()

    def file(self, instance: StoredInstance, target: str) -> tuple[DicomFile, str]:
        """The file, and its transfer syntax: what has no frames is not compressed.

        Raise UnsupportedImage where it does not go into that one, UnreadableImage.
        """
        try:
            with self.frames.opened(instance) as opened, ExitStack() as stack:
                stack.callback(opened.stream.close)
                file = self.with_frames(opened, target)
                if file.stream is opened.stream:
                    stack.pop_all()
        except ResourceNotFound:
            head = self.header(instance, EXPLICIT_VR_LITTLE_ENDIAN)
            stream = cast(BinaryIO, TemporaryFile())  # noqa: SIM115 - whoever reads it closes it
            return DicomFile(stream=stream, pieces=(head,)), EXPLICIT_VR_LITTLE_ENDIAN
        return file, target

    def with_frames(self, opened: OpenFrames, target: str) -> DicomFile:
        table, is_native = opened.table, target == EXPLICIT_VR_LITTLE_ENDIAN
        if is_native and isinstance(table, NativeFrames) and table.word == 1:
            head = self.header(opened.instance, target)
            length = -(-table.number * table.bits // 8)
            value = native_value(table.tag, table.vr, table.offset, length)
            return DicomFile(stream=opened.stream, pieces=(head, *value))
        with ExitStack() as stack:
            kept = cast(BinaryIO, stack.enter_context(TemporaryFile()))
            if is_native and isinstance(table, NativeFrames):
                kept.writelines(whole_value(opened.stream, table))
                head = self.header(opened.instance, target)
                value = native_value(table.tag, table.vr, 0, kept.tell())
            else:
                lengths, photometric, allocated = written(opened, target, kept)
                head = self.header(opened.instance, target, photometric)
                value = (
                    native_value(PIXELS, vr_of(allocated), 0, kept.tell())
                    if is_native
                    else compressed_value(lengths)
                )
            kept.flush()
            stack.pop_all()
        return DicomFile(stream=kept, pieces=(head, *value))

    def header(
        self, instance: StoredInstance, target: str, photometric: str | None = None
    ) -> bytes:
        """With the identity of a corrected study, as the stored file is served."""
        served = self.retrieve.file(instance)
        with TemporaryFile() as whole:
            whole.writelines(served.chunks())
            return header_in(
                cast(BinaryIO, whole),
                syntax=instance.transfer_syntax_uid,
                target=target,
                photometric=photometric,
            )


def written(opened: OpenFrames, target: str, kept: BinaryIO) -> tuple[list[int], str, int]:
    """All frames into the file; the length of each, and what they are described by."""
    lengths, photometric, allocated = [], "", 0
    for made in opened.converted(range(1, opened.table.number + 1), target):
        photometric, allocated = made.photometric, made.allocated
        for frame in made.frames:
            is_odd = target != EXPLICIT_VR_LITTLE_ENDIAN and len(frame) % 2
            lengths.append(kept.write(frame + bytes(is_odd)))
    return lengths, photometric, allocated


def native_value(tag: int, vr: str, start: int, length: int) -> tuple[Piece, ...]:
    """The element of pixel data whose bytes lie there; raise UnsupportedImage where too long."""
    padded = length + length % 2
    if padded > MOST_BYTES:
        raise UnsupportedImage("The frames are too large to be sent without compression.")
    head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, padded)
    return head, (start, start + length), bytes(padded - length)


def compressed_value(lengths: list[int]) -> tuple[Piece, ...]:
    """The same of frames that lie one after the other: an item each, behind a table of offsets."""
    starts = [0, *accumulate(length + ITEM_HEAD.size for length in lengths)]
    reaches = starts[-1] <= MOST_BYTES
    table = struct.pack(f"<{len(lengths)}L", *starts[:-1]) if reaches else b""
    head = struct.pack("<HH2sHL", PIXELS >> 16, PIXELS & 0xFFFF, b"OB", 0, UNDEFINED)
    pieces: list[Piece] = [head + ITEM_HEAD.pack(*ITEM, len(table)) + table]
    position = 0
    for length in lengths:
        pieces += [ITEM_HEAD.pack(*ITEM, length), (position, position + length)]
        position += length
    return (*pieces, ITEM_HEAD.pack(*SEQUENCE_END, 0))
