"""What the chart's pages read: each kind of thing on a page by one statement."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.schema import (
    binary,
    conflict,
    date_index,
    instance,
    reference_index,
    registered_study,
    resource,
    series,
    study,
    token_index,
)

BY_SERIES_NUMBER = (
    series.c.series_number.is_(None),
    series.c.series_number,
    series.c.series_instance_uid,
)
BY_INSTANCE_NUMBER = (
    instance.c.instance_number.is_(None),
    instance.c.instance_number,
    instance.c.sop_instance_uid,
)
SERIES = select(
    series.c.pk,
    series.c.study,
    series.c.series_instance_uid,
    series.c.head,
    series.c.number_of_instances,
    series.c.picture,
)
DOCUMENTS = select(resource.c.rid, resource.c.id, resource.c.body)
REPORTS = (
    select(resource.c.rid, resource.c.body, reference_index.c.target_id.label("study"))
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.parameter == "DiagnosticReport.imaging-study",
        reference_index.c.target_type == "ImagingStudy",
        reference_index.c.target_id.in_(bindparam("studies", expanding=True)),
        ~resource.c.deleted,
    )
    .distinct()
    .order_by(resource.c.rid)
)
REGISTERED = (
    select(resource.c.rid, resource.c.id, resource.c.body, registered_study.c.service_request)
    .join(registered_study, registered_study.c.rid == resource.c.rid)
    .where(registered_study.c.service_request.is_not(None), ~resource.c.deleted)
)
TASKS = select(resource.c.rid, resource.c.id, resource.c.body).where(
    resource.c.type == "Task", ~resource.c.deleted
)
OF_CODE = token_index.alias("of_code")
OPEN_TASKS = (
    select(token_index.c.rid)
    .join(OF_CODE, OF_CODE.c.rid == token_index.c.rid)
    .where(
        token_index.c.parameter == "Task.status",
        token_index.c.folded == "requested",
        OF_CODE.c.parameter == "Task.code",
        OF_CODE.c.folded == bindparam("code"),
    )
)
OF_RULE = token_index.alias("of_rule")
BY_RULE = (  # of the open Tasks: how many, and since when the oldest waits, in microseconds
    select(
        OF_RULE.c.value.label("rule"),
        func.count().label("tasks"),
        func.min(date_index.c.low).label("since"),
    )
    .join(date_index, date_index.c.rid == OF_RULE.c.rid)
    .where(
        OF_RULE.c.rid.in_(OPEN_TASKS),
        OF_RULE.c.parameter == "Task.reason",
        OF_RULE.c.value != "",  # the reason in words has no code
        date_index.c.parameter == "Task.authored-on",
    )
    .group_by(OF_RULE.c.value)
    .order_by(OF_RULE.c.value)
)
BINARY = select(binary.c.blob, binary.c.content_type).where(binary.c.rid == bindparam("rid"))


def studies_of_patients(connection: Connection, patients: Sequence[str]) -> Sequence[AnyRow]:
    """Rows of `study` with the id of their ImagingStudy, those deleted left out."""
    return connection.execute(
        select(study, resource.c.id)
        .join(resource, resource.c.rid == study.c.rid)
        .where(study.c.patient.in_(patients), study.c.state == "filed", ~resource.c.deleted)
    ).all()


def series_of_studies(connection: Connection, studies: Sequence[int]) -> Sequence[AnyRow]:
    """In the order in which each study's series are shown."""
    return connection.execute(
        SERIES.where(series.c.study.in_(studies)).order_by(series.c.study, *BY_SERIES_NUMBER)
    ).all()


def instances_of_series(connection: Connection, series_pk: int) -> Sequence[AnyRow]:
    """In the order in which they are leafed through."""
    return connection.execute(
        select(
            instance.c.sop_instance_uid,
            instance.c.instance_number,
            instance.c.number_of_frames,
            instance.c.has_pixel_data,
            instance.c.blob,
        )
        .where(instance.c.series == series_pk)
        .order_by(*BY_INSTANCE_NUMBER)
    ).all()


def warnings_of_study(connection: Connection, study_pk: int) -> Sequence[AnyRow]:
    """What was wrong with its files, as JSON; the same text of several files once, counted."""
    return connection.execute(
        select(instance.c.warnings, func.count().label("files"))
        .join(series, series.c.pk == instance.c.series)
        .where(series.c.study == study_pk, instance.c.warnings.is_not(None))
        .group_by(instance.c.warnings)
    ).all()


def documents_of_patients(connection: Connection, patients: Sequence[str]) -> Sequence[AnyRow]:
    """Every DocumentReference about them, however it came here."""
    return connection.execute(
        DOCUMENTS.join(reference_index, reference_index.c.rid == resource.c.rid).where(
            reference_index.c.parameter == "DocumentReference.subject",
            reference_index.c.target_type == "Patient",
            reference_index.c.target_id.in_(patients),
            ~resource.c.deleted,
        )
    ).all()


def reports_of_studies(connection: Connection, studies: Collection[str]) -> Sequence[AnyRow]:
    """Every DiagnosticReport about them or tied to them, with the id of the ImagingStudy."""
    found: list[AnyRow] = []
    for some in chunks(studies):
        found += connection.execute(REPORTS, {"studies": some})
    return found


def registered_of_patients(connection: Connection, patients: Collection[str]) -> Sequence[AnyRow]:
    """The ImagingStudies that stand for orders of theirs."""
    return connection.execute(
        REGISTERED.join(reference_index, reference_index.c.rid == resource.c.rid).where(
            reference_index.c.parameter == "ImagingStudy.subject",
            reference_index.c.target_type == "Patient",
            reference_index.c.target_id.in_(patients),
        )
    ).all()


def registered(connection: Connection, rid: int) -> AnyRow | None:
    """What stands for an order, if that is what the resource does."""
    return connection.execute(REGISTERED.where(resource.c.rid == rid)).first()


def recent_patients(connection: Connection, images: int) -> list[str]:
    """Ids of the patients of the newest studies and documents, the newest first."""
    newest = (
        select(resource.c.rid, resource.c.last_updated)
        .where(resource.c.type == bindparam("type"), ~resource.c.deleted)
        .order_by(resource.c.last_updated.desc())
        .limit(images)
        .subquery()
    )
    of_studies = select(study.c.patient, newest.c.last_updated).join(
        newest, newest.c.rid == study.c.rid
    )
    of_documents = (
        select(reference_index.c.target_id.label("patient"), newest.c.last_updated)
        .join(newest, newest.c.rid == reference_index.c.rid)
        .where(
            reference_index.c.parameter == "DocumentReference.subject",
            reference_index.c.target_type == "Patient",
        )
    )
    found = [
        *connection.execute(of_studies, {"type": "ImagingStudy"}),
        *connection.execute(of_documents, {"type": "DocumentReference"}),
    ]
    found.sort(key=lambda row: -row.last_updated)
    return list(dict.fromkeys(row.patient for row in found if row.patient))


def count_tasks(connection: Connection, code: str) -> int:
    """How many Tasks of that code wait for somebody."""
    counted = select(func.count()).select_from(OPEN_TASKS.subquery())
    return int(connection.execute(counted, {"code": code}).scalar_one())


def tasks(connection: Connection, code: str, limit: int) -> Sequence[AnyRow]:
    """Tasks that wait, the newest first."""
    newest = TASKS.where(resource.c.rid.in_(OPEN_TASKS)).order_by(resource.c.rid.desc())
    return connection.execute(newest.limit(limit), {"code": code}).all()


def waiting_tasks(
    connection: Connection,
    code: str,
    tokens: Mapping[str, str],
    *,
    before: int | None = None,
    last: int | None = None,
    limit: int,
) -> tuple[Sequence[AnyRow], int, int]:
    """Tasks that wait, with these tokens and authored before, the oldest first.

    Also how many they are, and the `rid` of the newest, after which a later call need not look.
    """
    wanted: list[ColumnElement[bool]] = [resource.c.rid.in_(OPEN_TASKS)]
    if last is not None:
        wanted.append(resource.c.rid <= last)
    for parameter, value in tokens.items():
        having = select(token_index.c.rid).where(
            token_index.c.parameter == f"Task.{parameter}", token_index.c.value == value
        )
        wanted.append(resource.c.rid.in_(having))
    if before is not None:
        older = select(date_index.c.rid).where(
            date_index.c.parameter == "Task.authored-on", date_index.c.low < before
        )
        wanted.append(resource.c.rid.in_(older))
    found = TASKS.where(*wanted)
    of_all = found.subquery()
    counted = select(func.count().label("tasks"), func.max(of_all.c.rid).label("newest"))
    all_ = connection.execute(counted.select_from(of_all), {"code": code}).one()
    oldest = found.add_columns(resource.c.version).order_by(resource.c.rid).limit(limit)
    return connection.execute(oldest, {"code": code}).all(), all_.tasks, all_.newest or 0


def values_of_tasks(connection: Connection, code: str, parameter: str) -> list[str]:
    """What the Tasks that wait have there, each value once."""
    values = (
        select(token_index.c.value)
        .where(
            token_index.c.parameter == f"Task.{parameter}",
            token_index.c.value != "",
            token_index.c.rid.in_(OPEN_TASKS),
        )
        .distinct()
        .order_by(token_index.c.value)
    )
    return [row.value for row in connection.execute(values, {"code": code})]


def waiting_by_rule(connection: Connection, code: str) -> Sequence[AnyRow]:
    """`rule`, `tasks`, and `since` when the oldest waits, in microseconds since 1970 UTC."""
    return connection.execute(BY_RULE, {"code": code}).all()


def held_study(connection: Connection, task: int) -> AnyRow | None:
    """The study row that waits for that Task."""
    return connection.execute(
        select(study).where(study.c.rid == task, study.c.state == "held")
    ).first()


def conflicting_blob(connection: Connection, task: int) -> int | None:
    """The bytes that came under a SOP Instance UID that is taken, and wait for that Task."""
    found = connection.execute(select(conflict.c.blob).where(conflict.c.task == task)).first()
    return None if found is None else int(found.blob)


def blob_of_binary(connection: Connection, rid: int) -> AnyRow | None:
    """Key of the bytes that a Binary stands for, and their type as it says."""
    return connection.execute(BINARY, {"rid": rid}).first()
