"""Where tables that say the same thing in two ways disagree."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from imaging_fhir.model.search import IndexEntry
from imaging_fhir.storage import resources, search_index
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.schema import (
    INDEX_TABLES,
    document,
    instance,
    reference_index,
    resource,
    series,
    study,
)

PAGE = 500


def true_count(rows: Any, column: ColumnElement[Any], owner: ColumnElement[Any]) -> Any:
    counted = select(func.count()).select_from(rows).where(column == owner)
    return counted.scalar_subquery()


INSTANCES_OF_SERIES = true_count(instance, instance.c.series, series.c.pk)
SERIES_OF_STUDY = true_count(series, series.c.study, study.c.pk)
INSTANCES_OF_STUDY = true_count(
    instance.join(series, series.c.pk == instance.c.series), series.c.study, study.c.pk
)
WRONG_SERIES = series.c.number_of_instances != INSTANCES_OF_SERIES
WRONG_STUDY = or_(
    study.c.number_of_series != SERIES_OF_STUDY,
    study.c.number_of_instances != INSTANCES_OF_STUDY,
)


def wrong_counts(connection: Connection) -> list[str]:
    """`series/PK` and `study/PK` whose counts are not those of their rows."""
    of_series = connection.execute(select(series.c.pk).where(WRONG_SERIES)).scalars()
    of_studies = connection.execute(select(study.c.pk).where(WRONG_STUDY)).scalars()
    return [*(f"series/{pk}" for pk in of_series), *(f"study/{pk}" for pk in of_studies)]


def count_again(transaction: Transaction) -> None:
    transaction.execute(
        update(series).where(WRONG_SERIES).values(number_of_instances=INSTANCES_OF_SERIES)
    )
    transaction.execute(
        update(study)
        .where(WRONG_STUDY)
        .values(number_of_series=SERIES_OF_STUDY, number_of_instances=INSTANCES_OF_STUDY)
    )


def without_resource(connection: Connection) -> list[str]:
    """`study/PK` and `document/PK` whose resource is not of the type that their state asks for."""
    found = []
    for table, filed in ((study, "ImagingStudy"), (document, "DocumentReference")):
        wanted = or_(
            and_(table.c.state == "filed", resource.c.type == filed),
            and_(table.c.state == "held", resource.c.type == "Task"),
        )
        rows = select(table.c.pk).where(~exists().where(resource.c.rid == table.c.rid, wanted))
        found += [f"{table.name}/{pk}" for pk in connection.execute(rows).scalars()]
    return found


def dangling_references(connection: Connection) -> list[str]:
    """`Type/id parameter Type/id` of references to resources that are not here, or deleted.

    A Provenance or AuditEvent tells what was done to a resource, be it deleted since.
    """
    target = resource.alias()
    rows = connection.execute(
        select(resource.c.type, resource.c.id, reference_index)
        .join(resource, resource.c.rid == reference_index.c.rid)
        .where(
            reference_index.c.target_id.is_not(None),
            reference_index.c.url.is_(None),
            resource.c.type.not_in(("Provenance", "AuditEvent")),
            ~exists().where(
                target.c.type == reference_index.c.target_type,
                target.c.id == reference_index.c.target_id,
                ~target.c.deleted,
            ),
        )
    )
    return sorted(
        {f"{row.type}/{row.id} {row.parameter} {row.target_type}/{row.target_id}" for row in rows}
    )


def living(connection: Connection, *, after: int) -> list[StoredResource]:
    """A page of the resources that are not deleted, in the order of their rows."""
    rows = connection.execute(
        select(*resources.COLUMNS)
        .where(resource.c.rid > after, ~resource.c.deleted)
        .order_by(resource.c.rid)
        .limit(PAGE)
    )
    return [resources.stored(row) for row in rows]


def current(connection: Connection, stored: StoredResource) -> StoredResource | None:
    """The resource as it is now, None when it was deleted meanwhile."""
    found = resources.find(connection, stored.type, stored.id)
    return None if found is None or found.deleted else found


def index_differs(
    connection: Connection, stored: StoredResource, entries: Iterable[IndexEntry]
) -> bool:
    wanted = Counter(search_index.row_of(stored.type, entry) for entry in entries)
    return wanted != Counter(index_rows(connection, stored.rid))


def index_rows(connection: Connection, rid: int) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    for table in INDEX_TABLES:
        for row in connection.execute(search_index.ROWS[table], {"row": rid}):
            yield table, tuple(row)
