"""What answers of QIDO-RS are made of: the rows of matches, and what is counted in studies."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select
from sqlalchemy.sql.expression import FromClause

from imaging_fhir.model.dicom_query import LEVELS, Level
from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.schema import dicom_json, instance, resource, series, study

Column = ColumnElement[Any]
ID_COLUMNS = {"study": study.c.pk, "series": series.c.pk, "instance": instance.c.pk}
STUDY_COLUMNS = (
    study.c.pk.label("study_pk"),
    study.c.study_instance_uid,
    study.c.attributes,
    study.c.corrected,
    study.c.patient,
    study.c.encounter,
    study.c.created,
    study.c.number_of_series,
    study.c.number_of_instances,
)
SERIES_COLUMNS = (
    series.c.series_instance_uid,
    series.c.modality,
    series.c.attributes.label("series_attributes"),
    series.c.number_of_instances.label("instances_of_series"),
)
INSTANCE_COLUMNS = (instance.c.sop_instance_uid, instance.c.transfer_syntax_uid, dicom_json.c.body)
OF_STUDIES = series.c.study.in_(bindparam("studies", expanding=True))
MODALITIES = select(series.c.study, series.c.modality).where(OF_STUDIES).distinct()
SOP_CLASSES = (
    select(series.c.study, instance.c.sop_class_uid)
    .join(instance, instance.c.series == series.c.pk)
    .where(OF_STUDIES)
    .distinct()
)


def rows_of(connection: Connection, level: Level, keys: Sequence[int]) -> list[AnyRow]:
    """With all that the answer is made of, in the order of the keys."""
    if not keys:
        return []
    found = {row.key: row for row in connection.execute(rows_by_key(level), {"keys": keys})}
    return [found[one] for one in keys if one in found]


@lru_cache(maxsize=len(LEVELS))
def rows_by_key(level: Level) -> Select[Any]:
    key = ID_COLUMNS[level]
    columns = {
        "study": STUDY_COLUMNS,
        "series": (*STUDY_COLUMNS, *SERIES_COLUMNS),
        "instance": (*STUDY_COLUMNS, *SERIES_COLUMNS, *INSTANCE_COLUMNS),
    }[level]
    wanted = (
        select(key.label("key"), *columns)
        .select_from(source(level))
        .where(key.in_(bindparam("keys", expanding=True)))
    )
    if level == "instance":
        wanted = wanted.join(dicom_json, dicom_json.c.instance == instance.c.pk)
    return wanted


def modalities_of(connection: Connection, studies: Sequence[int]) -> dict[int, list[str]]:
    """Those of each study, each once and in the order of the alphabet."""
    return distinct(connection, MODALITIES, studies)


def sop_classes_of(connection: Connection, studies: Sequence[int]) -> dict[int, list[str]]:
    return distinct(connection, SOP_CLASSES, studies)


def distinct(
    connection: Connection, wanted: Select[Any], studies: Sequence[int]
) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for key, value in sorted(map(tuple, connection.execute(wanted, {"studies": studies}))):
        found.setdefault(key, []).append(value)
    return found


def source(
    level: Level, of_upper: Callable[[Column], Column] = lambda column: column
) -> FromClause:
    """What is joined; `of_upper` is done to the key of an upper level."""
    of_study: FromClause = study.join(resource, resource.c.rid == study.c.rid)
    if level == "study":
        return of_study
    of_series = of_study.join(series, series.c.study == of_upper(study.c.pk))
    if level == "series":
        return of_series
    return of_series.join(instance, instance.c.series == of_upper(series.c.pk))
