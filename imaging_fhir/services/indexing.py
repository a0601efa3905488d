"""What a stored resource is to be found by, worked out anew."""

from collections.abc import Iterable

from imaging_fhir.fhir.search_index import index_entries, study_entries
from imaging_fhir.model.codec import decode
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.storage import dicom_index
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import ASSEMBLED, StoredResource


def entries_of(connection: Connection, stored: StoredResource) -> Iterable[IndexEntry] | None:
    """Of an ImagingStudy from its fragments; None where there are none to tell from."""
    if stored.type not in ASSEMBLED:
        return None if stored.body is None else index_entries(stored.type, decode(stored.body))
    study = dicom_index.study_of_resource(connection, stored.rid)
    if study is None:
        return None
    series = dicom_index.series_of_study(connection, study.pk)
    return study_entries(decode(study.head), [decode(row.head) for row in series])
