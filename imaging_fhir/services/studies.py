"""An ImagingStudy put together from its fragments, when it is read."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.fhir.imaging_study import SeriesFragment, assemble
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.storage import dicom_index
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.resources import StoredResource, instant


class Studies:
    """`max_instances`: a study of more is served without its instances; 0 is no limit."""

    def __init__(self, *, max_instances: int = 0) -> None:
        self.max_instances = max_instances

    def body(
        self, connection: Connection, stored: StoredResource, *, with_instances: bool = True
    ) -> bytes:
        """The current version as JSON; nothing is parsed but the little that users edited."""
        return next(self.bodies(connection, [stored], with_instances=with_instances))

    def bodies(
        self,
        connection: Connection,
        found: Sequence[StoredResource],
        *,
        with_instances: bool = True,
    ) -> Iterator[bytes]:
        """The same of each, by as many statements for many as for one."""
        rows = dicom_index.studies_of_resources(connection, [stored.rid for stored in found])
        for stored in found:
            if stored.rid not in rows:
                raise ResourceNotFound(f"{stored.reference} has no images any more.")
        whole = {row.pk for row in rows.values() if with_instances and not self.is_long(row)}
        cut = [row.pk for row in rows.values() if row.pk not in whole]
        pieces = {
            **dicom_index.fragments(connection, list(whole)),
            **dicom_index.fragments(connection, cut, with_instances=False),
        }
        for stored in found:
            row = rows[stored.rid]
            yield self.assembled(row, stored, pieces[row.pk], with_instances=row.pk in whole)

    def is_long(self, row: AnyRow) -> bool:
        return bool(0 < self.max_instances < row.number_of_instances)

    def assembled(
        self,
        row: AnyRow,
        stored: StoredResource,
        pieces: Sequence[AnyRow],
        *,
        with_instances: bool = True,
    ) -> bytes:
        """The same from a study row and its fragments."""
        return b"".join(
            assemble(
                row.head,
                resource_id=stored.id,
                meta=meta(stored, row.overlay),
                number_of_series=row.number_of_series,
                number_of_instances=row.number_of_instances,
                series=series_fragments(pieces),
                with_instances=with_instances and not self.is_long(row),
            )
        )


def meta(stored: StoredResource, overlay: bytes | None) -> Resource:
    edited: dict[str, Any] = decode(overlay).get("meta", {}) if overlay else {}
    return {
        "versionId": str(stored.version),
        "lastUpdated": instant(stored.last_updated),
        **edited,
    }


def series_fragments(pieces: Sequence[AnyRow]) -> list[SeriesFragment]:
    fragments = []
    for _, group in groupby(pieces, key=lambda row: row.pk):
        of_series = list(group)
        fragments.append(
            SeriesFragment(
                head=of_series[0].head,
                number_of_instances=of_series[0].number_of_instances,
                instances=[row.fragment for row in of_series],
            )
        )
    return fragments
