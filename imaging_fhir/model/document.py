"""An image or document that is not DICOM: a photo, a scan, a PDF."""

from dataclasses import dataclass

from imaging_fhir.model.study import Equipment, LocalDateTime, ReadWarning


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The facts in a file's own metadata; no pixel or page was decoded."""

    media_type: str  # by content
    width: int | None = None  # pixels, as displayed: after `orientation` is applied
    height: int | None = None
    frames: int | None = None  # frames of an animation or pages of a multi-page image
    pages: int | None = None  # of a PDF
    orientation: int = 1  # EXIF Orientation, 1..8
    taken: LocalDateTime | None = None  # time of capture, or of creation of a PDF
    equipment: Equipment | None = None
    is_photograph: bool = False  # a camera made it (EXIF says so): not a scan or a drawing
    warnings: tuple[ReadWarning, ...] = ()
