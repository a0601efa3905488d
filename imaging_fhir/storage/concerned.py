"""Which of many Patients, visits and orders images may have to do with: a statement for each
question, whatever their number.
"""

from collections.abc import Collection, Iterator

from sqlalchemy import BindParameter, CompoundSelect, Connection, bindparam, select, union_all

from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.schema import awaited, document, reference_index, resource, study

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
VISITS_OF = (
    select(resource.c.id, reference_index.c.target_id)
    .join(resource, resource.c.rid == reference_index.c.rid)
    .where(
        reference_index.c.parameter == "Encounter.subject",
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id.in_(IDS),
    )
)
WITH_ORDERS = {
    "Patient": "ServiceRequest.subject",
    "Encounter": "ServiceRequest.encounter",
}
ORDERED_FOR = select(reference_index.c.target_id).where(
    reference_index.c.parameter == bindparam("of_parameter"),
    reference_index.c.target_type == bindparam("of_type"),
    reference_index.c.target_id.in_(IDS),
)


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
    theirs = visits_of(connection, ids)
    there = visits_with_images(connection, theirs)
    at_visits = {patient for visit in there for patient in theirs[visit]}
    return at_visits | set(first_column(connection, WITH_IMAGES, ids))


def visits_with_images(connection: Connection, ids: Collection[str]) -> set[str]:
    return set(first_column(connection, AT_WHICH_IMAGES_ARE, ids))


def visits_of(connection: Connection, patients: Collection[str]) -> dict[str, set[str]]:
    """The Patients of each visit of theirs."""
    found: dict[str, set[str]] = {}
    for some in chunks(patients):
        for visit, patient in connection.execute(VISITS_OF, {"ids": some}):
            found.setdefault(visit, set()).add(patient)
    return found


def with_orders(connection: Connection, resource_type: str, ids: Collection[str]) -> set[str]:
    """Those Patients or Encounters that a ServiceRequest names."""
    asked = {"of_parameter": WITH_ORDERS[resource_type], "of_type": resource_type}
    return {
        id_
        for some in chunks(ids)
        for (id_,) in connection.execute(ORDERED_FOR, {**asked, "ids": some})
    }


def first_column(
    connection: Connection, statement: CompoundSelect[str], ids: Collection[str]
) -> Iterator[str]:
    for some in chunks(ids):
        yield from connection.execute(statement, {"ids": some}).scalars()
