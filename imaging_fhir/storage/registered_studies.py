"""ImagingStudies that began as an order: whose they are, and what became of them.

A row is of an order as long as that has no images; after that, of the study that filled it.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, exists, insert, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import reference_index, registered_study, resource

OF_ORDER = Prepared(
    select(registered_study).where(registered_study.c.service_request == bindparam("order"))
)
OF_RESOURCE = Prepared(select(registered_study).where(registered_study.c.rid == bindparam("rid")))
OF_STUDY = Prepared(
    select(registered_study).where(
        registered_study.c.study_instance_uid == bindparam("study_instance_uid")
    )
)
SUCCESSOR = (
    select(resource.c.id)
    .join(registered_study, registered_study.c.successor == resource.c.rid)
    .where(registered_study.c.rid == bindparam("rid"), resource.c.deleted.is_(False))
)
STUDIES_OF_ORDER = (
    select(resource.c.rid)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.parameter == "ImagingStudy.basedon",
        reference_index.c.target_type == "ServiceRequest",
        reference_index.c.target_id == bindparam("order"),
        resource.c.deleted.is_(False),
    )
    .order_by(resource.c.rid)
)
ORDERS_OF_STUDY = Prepared(
    select(reference_index.c.target_id).where(
        reference_index.c.rid == bindparam("rid"),
        reference_index.c.parameter == "ImagingStudy.basedon",
        reference_index.c.target_type == "ServiceRequest",
    )
)
ORDERS_OF_PATIENTS = (
    select(resource.c.id)
    .join(resource, resource.c.rid == reference_index.c.rid)
    .where(
        reference_index.c.parameter == "ServiceRequest.subject",
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id.in_(bindparam("patients", expanding=True)),
        resource.c.deleted.is_(False),
    )
    .order_by(resource.c.rid)
)

WITHOUT_STUDY = (
    select(resource.c.rid, resource.c.id, resource.c.body)
    .where(
        resource.c.type == "ServiceRequest",
        resource.c.deleted.is_(False),
        resource.c.rid > bindparam("after"),
        ~exists().where(registered_study.c.service_request == resource.c.id),
        ~exists().where(
            reference_index.c.parameter == "ImagingStudy.basedon",
            reference_index.c.target_type == "ServiceRequest",
            reference_index.c.target_id == resource.c.id,
        ),
    )
    .order_by(resource.c.rid)
)


def of_order(connection: Connection, order: str) -> AnyRow | None:
    """What stands for that ServiceRequest while it has no images, deleted or not."""
    return OF_ORDER.first(connection, order=order)


def of_resource(connection: Connection, rid: int) -> AnyRow | None:
    return OF_RESOURCE.first(connection, rid=rid)


def of_study(connection: Connection, study_instance_uid: str) -> AnyRow | None:
    """What the images of that study filled."""
    return OF_STUDY.first(connection, study_instance_uid=study_instance_uid)


def successor(connection: Connection, rid: int) -> str | None:
    """Id of the ImagingStudy that has the images of the order that this one stood for."""
    return connection.execute(SUCCESSOR, {"rid": rid}).scalar()


def studies_of_order(connection: Connection, order: str) -> list[int]:
    """Rows in `resource` of the ImagingStudies that are based on that ServiceRequest."""
    return list(connection.execute(STUDIES_OF_ORDER, {"order": order}).scalars())


def orders_of_study(connection: Connection, rid: int) -> set[str]:
    """Ids of the ServiceRequests that an ImagingStudy is based on, by the index."""
    return {row.target_id for row in ORDERS_OF_STUDY.all(connection, rid=rid)}


def orders_of_patients(connection: Connection, patients: Iterable[str]) -> list[str]:
    rows = connection.execute(ORDERS_OF_PATIENTS, {"patients": sorted(patients)})
    return [row.id for row in rows]


def orders_without_study(connection: Connection, after: int, limit: int) -> Sequence[AnyRow]:
    """Rows (rid, id, body) of ServiceRequests that no ImagingStudy is of, in their order."""
    statement = WITHOUT_STUDY.limit(limit)
    return connection.execute(statement, {"after": after}).all()


def add(transaction: Transaction, rid: int, order: str) -> None:
    transaction.execute(insert(registered_study), {"rid": rid, "service_request": order})


def set_successor(transaction: Transaction, rid: int, successor: int | None) -> None:
    """What has the images of its order, while it is deleted for that."""
    transaction.execute(
        update(registered_study).where(registered_study.c.rid == rid).values(successor=successor)
    )


def fill(transaction: Transaction, rid: int, study_instance_uid: str) -> None:
    """From now on it is the ImagingStudy of that study, and of no order alone."""
    transaction.execute(
        update(registered_study)
        .where(registered_study.c.rid == rid)
        .values(service_request=None, study_instance_uid=study_instance_uid, successor=None)
    )
