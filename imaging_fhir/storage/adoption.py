"""What of the EHR's types was made here, and goes over to the EHR's."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, exists, select, update

from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.people import predecessors
from imaging_fhir.storage.schema import document, ehr_copy, reference_index, resource, study

AT_ONCE = 200
MADE_HERE = (
    resource.c.deleted.is_(False),
    ~exists().where(ehr_copy.c.type == resource.c.type, ehr_copy.c.id == resource.c.id),
)
PATIENTS = (
    select(resource.c.rid, resource.c.id)
    .where(resource.c.type == "Patient", resource.c.rid > bindparam("after"), *MADE_HERE)
    .order_by(resource.c.rid)
    .limit(AT_ONCE)
)
OF_PATIENTS = (
    select(resource.c.body)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.parameter == bindparam("parameter"),
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id.in_(bindparam("patients", expanding=True)),
        *MADE_HERE,
    )
    .order_by(resource.c.rid)
)


class LocalPatient(NamedTuple):
    rid: int
    id: str


def local_patients(connection: Connection, after: int) -> Sequence[LocalPatient]:
    """The next ones behind that row."""
    return [LocalPatient(*row) for row in connection.execute(PATIENTS, {"after": after})]


def local_of_patient(
    connection: Connection, resource_type: str, patient_id: str
) -> Sequence[Resource]:
    """Visits or orders that were made here, of the Patient and those merged into them."""
    patients = [patient_id, *predecessors(connection, patient_id)]
    given = {"parameter": f"{resource_type}.subject", "patients": patients}
    return [decode(row.body) for row in connection.execute(OF_PATIENTS, given)]


def rename_visit(
    transaction: Transaction, studies: Iterable[int], documents: Iterable[int], old: str, new: str
) -> None:
    """In what senders gave and persons decided, so that another look finds it again."""
    before, after = (f'"Encounter/{id_}"'.encode() for id_ in (old, new))
    for table, keys, names in (
        (study, studies, ("given", "decision", "decisions")),
        (document, documents, ("given", "decision")),
    ):
        columns = [table.c[name] for name in names]
        for pk in sorted(keys):
            row = transaction.execute(select(*columns).where(table.c.pk == pk)).one()
            changed = {
                name: value.replace(before, after)
                for name, value in zip(names, row, strict=True)
                if value is not None and before in value
            }
            if changed:
                transaction.execute(update(table).where(table.c.pk == pk).values(**changed))
