"""Softcopy presentation states: how an image is to be shown (PS3.3 C.11.8 to C.11.11, C.10.4 to 6).

Its transformations take the place of the image's own, all of them (PS3.4 N.2.1).
"""

import io
from collections.abc import Iterator

from pydicom import Dataset, dcmread

from imaging_fhir.errors import UnreadableImage
from imaging_fhir.images.dicom_numbers import first_number, numbers
from imaging_fhir.images.geometry import CLOCKWISE, Box, Turn

OF_IMAGE = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTSequence",
)
MODALITY = OF_IMAGE[:3]
VOI = OF_IMAGE[3:7]


class PresentationState:
    def __init__(self, content: bytes) -> None:
        """Raise UnreadableImage for what is no presentation state."""
        self.state = dcmread(io.BytesIO(content), force=True)
        if "ReferencedSeriesSequence" not in self.state:
            raise UnreadableImage("The presentation state refers to no image.")

    def presented(self, attributes: Dataset, instance: str, frame: int) -> Dataset:
        """The image's attributes with the state's transformations in place of its own."""
        for keyword in OF_IMAGE:
            if keyword in attributes:
                del attributes[keyword]
        for keyword in MODALITY:
            if keyword in self.state:
                attributes[keyword] = self.state[keyword]
        for item in self.items("SoftcopyVOILUTSequence", instance, frame):
            for keyword in VOI:
                if keyword in item:
                    attributes[keyword] = item[keyword]
        if attributes.get("PhotometricInterpretation", "").startswith("MONOCHROME"):
            is_inverse = self.state.get("PresentationLUTShape") == "INVERSE"
            attributes.PhotometricInterpretation = f"MONOCHROME{1 if is_inverse else 2}"
        if "PresentationLUTSequence" in self.state:
            attributes["PresentationLUTSequence"] = self.state["PresentationLUTSequence"]
        return attributes

    def items(self, keyword: str, instance: str, frame: int) -> Iterator[Dataset]:
        """Those of the sequence that are about that frame (from 0) of the instance."""
        for item in self.state.get(keyword) or ():
            references = item.get("ReferencedImageSequence")
            if not references or any(is_about(one, instance, frame) for one in references):
                yield item

    def box(self, instance: str, frame: int) -> Box | None:
        """The displayed area, which may reach beyond the image (C.10.4)."""
        for item in self.items("DisplayedAreaSelectionSequence", instance, frame):
            first = numbers(item, "DisplayedAreaTopLeftHandCorner", 2)
            last = numbers(item, "DisplayedAreaBottomRightHandCorner", 2)
            if first and last and last[0] >= first[0] and last[1] >= first[1]:
                return int(first[0]) - 1, int(first[1]) - 1, int(last[0]), int(last[1])
        return None

    def aspect(self, instance: str, frame: int) -> float | None:
        """A pixel's height by its width, where the displayed area says it."""
        for item in self.items("DisplayedAreaSelectionSequence", instance, frame):
            for keyword in ("PresentationPixelSpacing", "PresentationPixelAspectRatio"):
                ratio = numbers(item, keyword, 2)
                if ratio and min(ratio) > 0:
                    return ratio[0] / ratio[1]
        return None

    def turns(self) -> tuple[Turn, ...]:
        """First the rotation, clockwise, then the flip (C.10.6)."""
        rotation = CLOCKWISE.get(int(first_number(self.state, "ImageRotation") or 0))
        is_flipped = self.state.get("ImageHorizontalFlip") == "Y"
        return (
            *((rotation,) if rotation else ()),
            *((Turn.FLIP_LEFT_RIGHT,) if is_flipped else ()),
        )


def is_about(reference: Dataset, instance: str, frame: int) -> bool:
    if reference.get("ReferencedSOPInstanceUID") != instance:
        return False
    frames = reference.get("ReferencedFrameNumber")
    if frames in (None, ""):
        return True
    listed = [frames] if isinstance(frames, str | int) else frames
    return frame + 1 in [int(number) for number in listed]
