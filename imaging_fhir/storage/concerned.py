"""Which of many Patients, visits and orders images may have to do with: a statement for each
question, whatever their number.
"""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Connection,
    Select,
    bindparam,
    select,
    union_all,
)

from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.schema import (
    awaited,
    document,
    reference_index,
    registered_study,
    resource,
    study,
)

Number = tuple[str, str, str]  # resource type, system, value

IDS: BindParameter[str] = bindparam("ids", expanding=True)
AWAITED = select(awaited.c.resource_type, awaited.c.system, awaited.c.value).where(
    awaited.c.value.in_(IDS)
)
WITH_IMAGES = union_all(
    select(study.c.patient).where(study.c.patient.in_(IDS)),
    select(document.c.patient).where(document.c.patient.in_(IDS)),
)
AT_WHICH_IMAGES_ARE = union_all(
    select(study.c.encounter).where(study.c.encounter.in_(IDS)),
    select(document.c.encounter).where(document.c.encounter.in_(IDS)),
)
REFERRING = (
    select(resource.c.id, reference_index.c.target_id)
    .join(resource, resource.c.rid == reference_index.c.rid)
    .where(
        reference_index.c.parameter == bindparam("of_parameter"),
        reference_index.c.target_type == bindparam("of_type"),
        reference_index.c.target_id.in_(IDS),
    )
)
LINKED_TO = select(reference_index.c.target_id).where(
    reference_index.c.parameter == "Patient.link",
    reference_index.c.target_type == "Patient",
    reference_index.c.target_id.in_(IDS),
)
ORDERED = union_all(
    select(reference_index.c.target_id).where(
        reference_index.c.parameter == "ImagingStudy.basedon",
        reference_index.c.target_type == "ServiceRequest",
        reference_index.c.target_id.in_(IDS),
    ),
    select(registered_study.c.service_request).where(registered_study.c.service_request.in_(IDS)),
)
ORDERS_OF = {"Patient": "ServiceRequest.subject", "Encounter": "ServiceRequest.encounter"}


def patients_linked_to(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those whom another Patient has a link to, be they here or not."""
    return set(first_column(connection, LINKED_TO, ids))


def orders_with_studies(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those that an ImagingStudy is based on, or was made of."""
    return set(first_column(connection, ORDERED, ids))


def awaited_numbers(connection: Connection, numbers: Collection[Number]) -> set[Number]:
    """Those that an image waits for."""
    values = {value for _, _, value in numbers}
    found = {
        (row.resource_type, row.system, row.value)
        for some in chunks(values)
        for row in connection.execute(AWAITED, {"ids": some})
    }
    return found & set(numbers)


def patients_with_images(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those whom an image is filed to, or to a visit of theirs."""
    theirs = referring(connection, "Encounter.subject", "Patient", ids)
    there = visits_with_images(connection, theirs)
    at_visits = {patient for visit in there for patient in theirs[visit]}
    return at_visits | set(first_column(connection, WITH_IMAGES, ids))


def visits_with_images(connection: Connection, ids: Collection[str]) -> set[str]:
    return set(first_column(connection, AT_WHICH_IMAGES_ARE, ids))


def with_orders(
    connection: Connection, resource_type: str, ids: Collection[str], *, registers: bool
) -> set[str]:
    """Those Patients or Encounters that a ServiceRequest names: one with studies, or any."""
    orders = referring(connection, ORDERS_OF[resource_type], resource_type, ids)
    meant = orders if registers else orders_with_studies(connection, orders)
    return {id_ for order in meant for id_ in orders[order]}


def referring(
    connection: Connection, parameter: str, target_type: str, ids: Collection[str]
) -> dict[str, set[str]]:
    """Of each resource that refers to them by that parameter, to which."""
    found: dict[str, set[str]] = {}
    asked = {"of_parameter": parameter, "of_type": target_type}
    for some in chunks(ids):
        for referrer, target in connection.execute(REFERRING, {**asked, "ids": some}):
            found.setdefault(referrer, set()).add(target)
    return found


def first_column(
    connection: Connection, statement: Select[Any] | CompoundSelect[Any], ids: Collection[str]
) -> Iterator[str]:
    for some in chunks(ids):
        yield from connection.execute(statement, {"ids": some}).scalars()
