"""What one more image says of its study and series, in the light of what the others said."""

from typing import NamedTuple

from imaging_fhir.model.codec import decode_as
from imaging_fhir.model.merge import Change, Merged, Rank, Settled
from imaging_fhir.model.study import DicomInstance, SeriesAttributes


class SaidOfStudy(NamedTuple):
    """All that is said of a study with one more image, and what that image changes."""

    merged: Merged
    study: Change
    visit: Change
    modality: bool


class SaidOfSeries(NamedTuple):
    merged: Merged
    series: Change


SETTLED_STUDIES, SETTLED_SERIES = Settled[SaidOfStudy](), Settled[SaidOfSeries]()


def said_of_study(stored: bytes, image: DicomInstance, position: Rank) -> SaidOfStudy:
    uid, said = image.series.series_instance_uid, (image.study, image.visit, image.series)
    settled = SETTLED_STUDIES.find(uid, stored, said, position)
    if settled is not None:
        return settled
    merged = decode_as(Merged, stored)
    found = SaidOfStudy(
        merged,
        merged.add(image.study, position),
        merged.add(image.visit, position),
        merged.add_modality(image.series.modality, image.series.series_number),
    )
    if not (found.study.stored or found.visit.stored or found.modality):
        SETTLED_STUDIES.note(uid, stored, said, position, found)
    return found


def said_of_series(
    stored: bytes | None, attributes: SeriesAttributes, position: Rank
) -> SaidOfSeries:
    """`stored` is None of a series that is new."""
    uid = attributes.series_instance_uid
    if stored is not None:
        settled = SETTLED_SERIES.find(uid, stored, (attributes,), position)
        if settled is not None:
            return settled
    merged = Merged() if stored is None else decode_as(Merged, stored)
    found = SaidOfSeries(merged, merged.add(attributes, position))
    if stored is not None and not found.series.stored:
        SETTLED_SERIES.note(uid, stored, (attributes,), position, found)
    return found
