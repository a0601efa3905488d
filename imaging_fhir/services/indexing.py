"""What a stored resource is to be found by, worked out from what is stored."""

from collections.abc import Sequence
from datetime import tzinfo

from imaging_fhir.fhir.search_index import index_entries, study_entries
from imaging_fhir.model.codec import decode
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.services.moments import zone_of
from imaging_fhir.storage import dicom_index, report_studies
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.report_studies import REPORT
from imaging_fhir.storage.resources import ASSEMBLED, StoredResource


def entries_of(
    connection: Connection, stored: StoredResource, *, zone: tzinfo | None = None
) -> Sequence[IndexEntry] | None:
    """Dates without a time are days of that zone; None where there is nothing to tell from."""
    if stored.type not in ASSEMBLED:
        if stored.body is None:
            return None
        tied = report_studies.entries(connection, [stored.rid] if stored.type == REPORT else [])
        said = index_entries(stored.type, decode(stored.body), zone=zone)
        return [*said, *tied.get(stored.rid, ())]
    study = dicom_index.study_of_resource(connection, stored.rid)
    if study is not None:
        return entries_of_study(connection, study)
    return (
        None if stored.body is None else index_entries(stored.type, decode(stored.body), zone=zone)
    )


def entries_of_series(connection: Connection, study: AnyRow, series: int) -> Sequence[IndexEntry]:
    """What one series adds to its ImagingStudy's."""
    head = decode(dicom_index.series_by_pk(connection, series).head)
    return study_entries({}, [head], zone=zone_of(study.zone))


def entries_of_study(connection: Connection, study: AnyRow) -> Sequence[IndexEntry]:
    """Of an ImagingStudy, from its fragments and what users edited."""
    head = decode(study.head)
    if study.overlay:
        head["meta"] = decode(study.overlay).get("meta", {})
    series = dicom_index.series_of_study(connection, study.pk)
    return study_entries(head, [decode(row.head) for row in series], zone=zone_of(study.zone))
