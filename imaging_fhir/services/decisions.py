"""What people decided of the images of one study row, by whom these images name.

The row's own decision is of the person whom it names first; those of the others came with their
images, or were made of the whole study.
"""

from collections.abc import Iterable, Mapping

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.correction import Decided
from imaging_fhir.model.link import Decision
from imaging_fhir.model.person import Person
from imaging_fhir.services.study_evidence import decision_on
from imaging_fhir.storage import dicom_index
from imaging_fhir.storage.database import AnyRow, Transaction

Decisions = Mapping[Person, Decision]


def of_others(row: AnyRow) -> dict[Person, Decision]:
    """Beside the row's own."""
    found = decode_as(tuple[Decided, ...], row.decisions) if row.decisions else ()
    return {one.person: one.decision for one in found}


def of_all(row: AnyRow) -> dict[Person, Decision]:
    own = decision_on(row)
    person = decode_as(Person, row.person)
    return {**of_others(row), **({person: own} if own is not None else {})}


def listed(decisions: Decisions) -> tuple[Decided, ...]:
    return tuple(Decided(person=one, decision=decision) for one, decision in decisions.items())


def column(decided: Iterable[Decided]) -> bytes | None:
    """As it is stored."""
    found = tuple(decided)
    return encode(found) if found else None


def carry(transaction: Transaction, row: AnyRow, into: AnyRow) -> None:
    """Images of one study row become one with those of another, and so does what was decided."""
    together = {**of_others(into), **of_all(row)}
    if into.decision is not None:
        together.pop(decode_as(Person, into.person), None)
    put(transaction, into, together)


def put(transaction: Transaction, row: AnyRow, decided: Decisions) -> None:
    """Of others than the row's own."""
    dicom_index.change_study(transaction, row.pk, decisions=column(listed(decided)))
