"""The rows of studies, series and instances that the ImagingStudy and DICOMweb are made from."""

import zlib
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    insert,
    null,
    select,
    update,
)

from imaging_fhir.storage import dicom_values
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import (
    awaited,
    blob,
    conflict,
    date_index,
    dicom_json,
    instance,
    reference_index,
    rejection,
    resource,
    series,
    study,
    study_identity,
)

HAS_REJECTIONS = (
    exists()
    .where(rejection.c.study_instance_uid == study.c.study_instance_uid)
    .label("has_rejections")
)
WITH_RESOURCE = (
    study,
    HAS_REJECTIONS,
    resource.c.deleted,
    resource.c.type.label("resource_type"),
    resource.c.id.label("resource_id"),
)
STUDY_BY_IDENTITY = Prepared(
    select(*WITH_RESOURCE)
    .join(study_identity, study_identity.c.study == study.c.pk)
    .join(resource, resource.c.rid == study.c.rid)
    .where(
        study_identity.c.study_instance_uid == bindparam("study_instance_uid"),
        study_identity.c.identity == bindparam("identity"),
    )
)
STUDY_BY_PK = Prepared(
    select(*WITH_RESOURCE)
    .join(resource, resource.c.rid == study.c.rid)
    .where(study.c.pk == bindparam("study"))
)
STUDY_AT = (
    select(study, resource.c.deleted)
    .join(resource, resource.c.rid == study.c.rid)
    .where(study.c.rid == bindparam("rid"))
)
STUDY_OF_RESOURCE = select(study).where(study.c.rid == bindparam("rid"), study.c.state == "filed")
STUDIES_OF_RESOURCES = select(study).where(
    study.c.rid.in_(bindparam("rids", expanding=True)), study.c.state == "filed"
)
FILED_STUDY = Prepared(
    select(study, resource.c.deleted)
    .join(resource, resource.c.rid == study.c.rid)
    .where(study.c.study_instance_uid == bindparam("study_instance_uid"), study.c.state == "filed")
)
FILED_STUDIES = select(study).where(
    study.c.study_instance_uid.in_(bindparam("uids", expanding=True)), study.c.state == "filed"
)
SERIES = Prepared(
    select(series).where(
        series.c.study == bindparam("study"),
        series.c.series_instance_uid == bindparam("series_instance_uid"),
    )
)
SERIES_OF_STUDY = select(series).where(series.c.study == bindparam("study"))
SAME_INSTANCE = Prepared(
    select(
        instance.c.pk,
        instance.c.transfer_syntax_uid,
        series.c.study,
        study.c.state,
        study.c.patient,
        blob.c.sha256,
        blob.c.size,
        blob.c.generation,
    )
    .join(series, series.c.pk == instance.c.series)
    .join(study, study.c.pk == series.c.study)
    .join(blob, blob.c.pk == instance.c.blob)
    .where(instance.c.sop_instance_uid == bindparam("sop_instance_uid"))
)
COUNT_SERIES = Prepared(
    update(series)
    .where(series.c.pk == bindparam("series"))
    .values(number_of_instances=series.c.number_of_instances + 1)
)
COUNT_STUDY = Prepared(
    update(study)
    .where(study.c.pk == bindparam("study_pk"))
    .values(
        number_of_instances=study.c.number_of_instances + 1,
        number_of_series=study.c.number_of_series + bindparam("more_series"),
        updated=bindparam("now"),
    )
)
ADD_INSTANCE = Prepared(
    insert(instance).returning(instance.c.pk),
    columns=tuple(column.name for column in instance.columns if not column.primary_key),
)
ADD_DICOM_JSON = Prepared(insert(dicom_json), columns=("instance", "body"))
PIECES = (
    select(
        series.c.study,
        series.c.pk,
        series.c.head,
        series.c.number_of_instances,
        instance.c.fragment,
    )
    .join(instance, instance.c.series == series.c.pk)
    .order_by(
        series.c.series_number.is_(None),
        series.c.series_number,
        series.c.series_instance_uid,
        instance.c.instance_number.is_(None),
        instance.c.instance_number,
        instance.c.sop_instance_uid,
    )
)
ASSEMBLY_OF_MANY = PIECES.where(series.c.study.in_(bindparam("studies", expanding=True)))
HEADS_OF_MANY = (
    select(
        series.c.study,
        series.c.pk,
        series.c.head,
        series.c.number_of_instances,
        null().label("fragment"),
    )
    .where(
        series.c.study.in_(bindparam("studies", expanding=True)),
        exists().where(instance.c.series == series.c.pk),
    )
    .order_by(
        series.c.series_number.is_(None), series.c.series_number, series.c.series_instance_uid
    )
)


def study_of_identity(
    connection: Connection, study_instance_uid: str, identity: str
) -> AnyRow | None:
    """The study row that instances which name this person so went to."""
    return STUDY_BY_IDENTITY.first(
        connection, study_instance_uid=study_instance_uid, identity=identity
    )


def study_of_resource(connection: Connection, rid: int) -> AnyRow | None:
    """The study row behind an ImagingStudy's row in `resource`."""
    return connection.execute(STUDY_OF_RESOURCE, {"rid": rid}).first()


def studies_of_resources(connection: Connection, rids: Sequence[int]) -> dict[int, AnyRow]:
    """The study rows behind ImagingStudies, by their rows in `resource`."""
    found = connection.execute(STUDIES_OF_RESOURCES, {"rids": rids})
    return {row.rid: row for row in found}


def study_at(connection: Connection, rid: int) -> AnyRow | None:
    """The study row whose ImagingStudy or Task is in that row of `resource`."""
    return connection.execute(STUDY_AT, {"rid": rid}).first()


def studies_of_patient(connection: Connection, patient: str) -> set[int]:
    """Keys of the filed studies."""
    return keys(connection, study.c.patient == patient)


def studies_since(connection: Connection, patient: str, stamp: int) -> set[int]:
    """Keys of the filed studies that came to the patient, or changed, after that time."""
    rows = connection.execute(
        select(study.c.pk)
        .join(resource, resource.c.rid == study.c.rid)
        .where(
            study.c.patient == patient,
            study.c.state == "filed",
            resource.c.last_updated > stamp,
        )
    )
    return {row.pk for row in rows}


def studies_made(connection: Connection, patients: Sequence[str], low: int, high: int) -> set[int]:
    """Keys of the filed studies of these patients that started then, in microseconds."""
    rows = connection.execute(
        select(study.c.pk)
        .join(date_index, date_index.c.rid == study.c.rid)
        .where(
            study.c.patient.in_(patients),
            study.c.state == "filed",
            date_index.c.parameter == "ImagingStudy.started",
            date_index.c.low <= high,
            date_index.c.high > low,
        )
    )
    return {row.pk for row in rows}


def studies_of_order(connection: Connection, order: str) -> set[int]:
    """Keys of the filed studies that are based on that ServiceRequest."""
    rows = connection.execute(
        select(study.c.pk)
        .join(reference_index, reference_index.c.rid == study.c.rid)
        .where(
            reference_index.c.parameter == "ImagingStudy.basedon",
            reference_index.c.target_type == "ServiceRequest",
            reference_index.c.target_id == order,
            study.c.state == "filed",
        )
    )
    return {row.pk for row in rows}


def studies_at(connection: Connection, encounters: Sequence[str]) -> set[int]:
    """Keys of the filed studies that are linked to one of these Encounters."""
    return keys(connection, study.c.encounter.in_(encounters)) if encounters else set()


def keys(connection: Connection, where: ColumnElement[bool]) -> set[int]:
    rows = connection.execute(select(study.c.pk).where(where, study.c.state == "filed"))
    return {row.pk for row in rows}


def find_study(connection: Connection, pk: int) -> AnyRow | None:
    return STUDY_BY_PK.first(connection, study=pk)


def study_by_pk(connection: Connection, pk: int) -> AnyRow:
    return STUDY_BY_PK.one(connection, study=pk)


def filed_study(connection: Connection, study_instance_uid: str) -> AnyRow | None:
    """The study row behind the ImagingStudy, deleted or not."""
    return FILED_STUDY.first(connection, study_instance_uid=study_instance_uid)


def filed_studies(connection: Connection, uids: Collection[str]) -> Sequence[AnyRow]:
    """The study rows behind several ImagingStudies."""
    return connection.execute(FILED_STUDIES, {"uids": list(uids)}).all() if uids else ()


def find_series(connection: Connection, study_pk: int, series_instance_uid: str) -> AnyRow | None:
    return SERIES.first(connection, study=study_pk, series_instance_uid=series_instance_uid)


def series_by_pk(connection: Connection, pk: int) -> AnyRow:
    return connection.execute(select(series).where(series.c.pk == pk)).one()


def series_of_study(connection: Connection, study_pk: int) -> Sequence[AnyRow]:
    return connection.execute(SERIES_OF_STUDY, {"study": study_pk}).all()


def same_instances(connection: Connection, sop_instance_uid: str) -> Sequence[AnyRow]:
    """Every instance kept under that UID, with its blob and the study it is in."""
    return SAME_INSTANCE.all(connection, sop_instance_uid=sop_instance_uid)


def add_study(transaction: Transaction, **values: Any) -> int:
    rows = dicom_values.rows_of(values["attributes"])
    pk = int(
        transaction.execute(
            insert(study).returning(study.c.pk),
            {
                "number_of_series": 0,
                "number_of_instances": 0,
                "corrected": False,
                "created": transaction.now,
                "updated": transaction.now,
                "moment": dicom_values.moment_of(rows),
                **values,
            },
        ).scalar_one()
    )
    dicom_values.add(transaction, "study", pk, rows)
    return pk


def change_study(transaction: Transaction, pk: int, **values: Any) -> None:
    """What it is found by follows its attributes."""
    if "attributes" in values:
        rows = dicom_values.rows_of(values["attributes"])
        values["moment"] = dicom_values.moment_of(rows)
        dicom_values.replace(transaction, "study", pk, rows)
    transaction.execute(update(study).where(study.c.pk == pk).values(**values))


def name_identity(
    transaction: Transaction, study_instance_uid: str, identity: str, study_pk: int
) -> None:
    """From now on, instances which name this person so belong to that study row."""
    transaction.execute(
        delete(study_identity).where(
            study_identity.c.study_instance_uid == study_instance_uid,
            study_identity.c.identity == identity,
        )
    )
    transaction.execute(
        insert(study_identity),
        {"study_instance_uid": study_instance_uid, "identity": identity, "study": study_pk},
    )


def add_series(transaction: Transaction, **values: Any) -> int:
    pk = int(
        transaction.execute(
            insert(series).returning(series.c.pk), {"number_of_instances": 0, **values}
        ).scalar_one()
    )
    dicom_values.add(transaction, "series", pk, dicom_values.rows_of(values["attributes"]))
    return pk


def change_series(transaction: Transaction, pk: int, **values: Any) -> None:
    """What it is found by follows its attributes."""
    if "attributes" in values:
        rows = dicom_values.rows_of(values["attributes"])
        dicom_values.replace(transaction, "series", pk, rows)
    transaction.execute(update(series).where(series.c.pk == pk).values(**values))


def add_instance(
    transaction: Transaction, *, study_pk: int, new_series: bool, json: bytes, **values: Any
) -> int:
    """One more instance, counted in its series and study."""
    connection = transaction.connection
    pk = ADD_INSTANCE.number(connection, **values)
    ADD_DICOM_JSON.run(connection, instance=pk, body=zlib.compress(json, 1))
    COUNT_SERIES.run(connection, series=values["series"])
    COUNT_STUDY.run(connection, study_pk=study_pk, more_series=int(new_series), now=transaction.now)
    return pk


def fragments(
    connection: Connection, studies: Sequence[int], *, with_instances: bool = True
) -> dict[int, list[AnyRow]]:
    """Of each study rows (pk, head, number_of_instances of a series; fragment of one instance).

    They are in order. Without instances it is one row a series, and its fragment is None.
    """
    found: dict[int, list[AnyRow]] = {key: [] for key in studies}
    if studies:
        statement = ASSEMBLY_OF_MANY if with_instances else HEADS_OF_MANY
        for row in connection.execute(statement, {"studies": studies}):
            found[row.study].append(row)
    return found


def known_conflict(
    connection: Connection, sop_instance_uid: str, data_set_sha256: str
) -> AnyRow | None:
    return connection.execute(
        select(conflict).where(
            conflict.c.sop_instance_uid == sop_instance_uid,
            conflict.c.data_set_sha256 == data_set_sha256,
        )
    ).first()


def add_conflict(transaction: Transaction, **values: Any) -> None:
    transaction.execute(insert(conflict), {"received": transaction.now, **values})


def await_identifiers(
    transaction: Transaction,
    identifiers: Sequence[tuple[str, str, str]],
    *,
    study_pk: int | None = None,
    document_pk: int | None = None,
) -> None:
    """Replace what the study or document waits for by (resource type, system, value)."""
    of = awaited.c.study == study_pk if document_pk is None else awaited.c.document == document_pk
    transaction.execute(delete(awaited).where(of))
    if identifiers:
        transaction.execute(
            insert(awaited),
            [
                {
                    "study": study_pk,
                    "document": document_pk,
                    "resource_type": resource_type,
                    "system": system,
                    "value": value,
                }
                for resource_type, system, value in identifiers
            ],
        )


def waiting_for(
    connection: Connection, resource_type: str, identifiers: Sequence[tuple[str, str]]
) -> tuple[set[int], set[int]]:
    """Keys of the studies and of the documents that wait for one of the (system, value)."""
    studies: set[int] = set()
    documents: set[int] = set()
    for system, value in identifiers:
        for row in connection.execute(
            select(awaited.c.study, awaited.c.document).where(
                awaited.c.resource_type == resource_type,
                awaited.c.value == value,
                awaited.c.system == system,
            )
        ):
            (studies if row.document is None else documents).add(
                row.study if row.document is None else row.document
            )
    return studies, documents


def has_pixel_data(connection: Connection, instance_pk: int) -> bool:
    statement = select(instance.c.has_pixel_data).where(instance.c.pk == instance_pk)
    return bool(connection.execute(statement).scalar())
