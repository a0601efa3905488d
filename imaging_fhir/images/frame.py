"""One frame of a DICOM instance as a picture: its pixels by the standard, then in their place."""

import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset, dcmread

from imaging_fhir.errors import UnsupportedImage
from imaging_fhir.images import overlay
from imaging_fhir.images.colour import eight_bits
from imaging_fhir.images.dicom_numbers import whole_number
from imaging_fhir.images.geometry import fitting, pixel_aspect, placement
from imaging_fhir.images.graphics import Drawing
from imaging_fhir.images.grey import automatic_window, full_window, grey_picture
from imaging_fhir.images.palette import palette_colours
from imaging_fhir.images.pdf import pdf_picture
from imaging_fhir.images.presentation_state import PresentationState
from imaging_fhir.images.shutter import shuttered
from imaging_fhir.images.stored_frame import StoredFrames
from imaging_fhir.images.voi import Voi, voi_of
from imaging_fhir.model.rendering import NO_CAPTIONS, Captions, Rendering, Window

Array = npt.NDArray[Any]

PALETTE = "PALETTE COLOR"


def dicom_picture(stream: BinaryIO, frame: int | None, max_size: int, pixels: int) -> Image.Image:
    """Frame `frame` (from 1), else the middle one, for a thumbnail; only that one is decoded."""
    header = dcmread(stream, stop_before_pixels=True, force=True)
    if "EncapsulatedDocument" in header:
        return encapsulated_picture(header, frame, max_size)
    frames = StoredFrames(stream, header, pixels)
    index = frames.index(frame)
    values, attributes = frames.values(index), frames.attributes(index)
    picture = as_image(frame_pixels(values, attributes, None, is_forgiving=True), attributes)
    return fitting(picture.size, pixel_aspect(attributes), max_size).of(picture)


def encapsulated_picture(header: Dataset, frame: int | None, max_size: int) -> Image.Image:
    """A page of an encapsulated PDF; MIMETypeOfEncapsulatedDocument is not what decides."""
    document = bytes(header.EncapsulatedDocument)
    if not document.startswith(b"%PDF-"):
        raise UnsupportedImage("The document in the DICOM instance has no picture.")
    return pdf_picture(io.BytesIO(document), frame, max_size)


def frame_pixels(
    values: Array, attributes: Dataset, window: Voi | None, *, is_forgiving: bool = False
) -> Array:
    """Eight bits a channel: one of grey, or red, green and blue."""
    if attributes.get("PhotometricInterpretation") == PALETTE and values.ndim == 2:
        return palette_colours(values, attributes)
    if values.ndim == 3:
        bits = whole_number(attributes, "BitsStored", 8 * values.dtype.itemsize)
        return eight_bits(values, bits)
    return grey_picture(values, attributes, window, is_forgiving=is_forgiving)


def as_image(pixels: Array, attributes: Dataset) -> Image.Image:
    picture = Image.fromarray(pixels)
    if picture.mode == "RGB":
        picture.info["icc_profile"] = attributes.get("ICCProfile")
    return picture


class RenderedFrames:
    """Frames of an instance as `/rendered` shows them, each the same way."""

    def __init__(
        self,
        stream: BinaryIO,
        rendering: Rendering,
        captions: Captions,
        presentation: bytes | None,
        pixels: int,
    ) -> None:
        header = dcmread(stream, stop_before_pixels=True, force=True)
        self.frames = StoredFrames(stream, header, pixels)
        self.rendering = rendering
        self.captions = captions
        self.state = None if presentation is None else PresentationState(presentation)
        self.instance = str(header.get("SOPInstanceUID", ""))

    def picture(self, number: int | None) -> Image.Image:
        """The frame of that number (from 1), else the middle one."""
        index = self.frames.index(number)
        values, attributes = self.frames.values(index), self.frames.attributes(index)
        window: Voi | None = self.rendering.window
        if self.state is not None:
            attributes = self.state.presented(attributes, self.instance, index)
            window = window or voi_of(attributes) or full_window(attributes)
        pixels = frame_pixels(values, attributes, window)
        return self.placed(self.covered(pixels, index), attributes, index)

    def common_window(self, numbers: Sequence[int]) -> Window | None:
        """The window of a cine where the file says none: that of its middle frame, for all."""
        if self.rendering.window is not None:
            return self.rendering.window
        index = self.frames.index(numbers[len(numbers) // 2])
        attributes = self.frames.attributes(index)
        is_grey = attributes.get("PhotometricInterpretation", "").startswith("MONOCHROME")
        if not is_grey or self.state is not None or voi_of(attributes) is not None:
            return None
        return automatic_window(self.frames.values(index), attributes)

    def covered(self, pixels: Array, index: int) -> Array:
        """With the overlays that are asked for, and without what shutters hide."""
        header = self.frames.header
        groups = self.overlay_groups()
        if groups:
            cells = self.frames.cells(index) if overlay.are_in_cells(header, groups) else None
            pixels = overlay.burned(pixels, overlay.masks(header, groups, index, cells))
        if self.state is None:
            return pixels
        own = self.state.state
        pixels = overlay.burned(pixels, overlay.masks(own, overlay.groups_of(own), index, None))
        return shuttered(pixels, own)

    def overlay_groups(self) -> Sequence[int]:
        if "overlay" in self.rendering.annotations:
            return overlay.groups_of(self.frames.header)
        return () if self.state is None else overlay.activated_groups(self.state.state)

    def placed(self, pixels: Array, attributes: Dataset, index: int) -> Image.Image:
        """Turned, scaled and with what is drawn on it at the size that it is seen."""
        picture = as_image(np.ascontiguousarray(pixels), attributes)
        state, aspect = self.state, pixel_aspect(attributes)
        where = placement(
            picture.size,
            aspect if state is None else state.aspect(self.instance, index) or aspect,
            self.rendering.viewport,
            box=None if state is None else state.box(self.instance, index),
            turns=() if state is None else state.turns(),
        )
        picture = where.of(picture)
        if state is not None or self.captions != NO_CAPTIONS:
            drawing = Drawing(picture, where)
            if state is not None:
                items = state.items("GraphicAnnotationSequence", self.instance, index)
                drawing.annotate(items)
            drawing.caption(self.captions.patient, is_at_bottom=False)
            drawing.caption(self.captions.technique, is_at_bottom=True)
        return picture
