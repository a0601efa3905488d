"""A study whose images name two people, told apart again when these turn out to be two.

While they were one Patient (a merge), their images were one study. Those of whoever does not have
the study any more are held: there is one ImagingStudy of a Study Instance UID.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from imaging_fhir.images.dicom_kept import Said, said
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import Decision, Given, id_of
from imaging_fhir.model.merge import Merged, rank
from imaging_fhir.model.person import Person
from imaging_fhir.model.study import StudyAttributes
from imaging_fhir.services import decisions, minting
from imaging_fhir.services.arrival import identity_of
from imaging_fhir.services.held import open_task
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.study_evidence import (
    ANOTHER_PERSONS,
    decision_on,
    evidence_of_study,
    facts,
    held_link,
)
from imaging_fhir.services.study_filing import ANOTHER_PATIENT, StudyFiling
from imaging_fhir.storage import dicom_index, jobs, parting, study_parts
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.minted_uids import Uids
from imaging_fhir.storage.people import resolve_patient

SERIES_PICTURE = "series-picture"
Spoken = tuple[AnyRow, Said]  # an instance, and what it says


def part_strangers(
    transaction: Transaction,
    filing: StudyFiling,
    study_pk: int,
    *,
    before: Callable[[AnyRow], None],
) -> list[int]:
    """Hold the instances whose own number leads to other known people; keys of the new rows.

    `before` is called with the study row if there are any.
    """
    row = dicom_index.find_study(transaction.connection, study_pk)
    if row is None or row.state != "filed":
        return []
    if not parting.names_several(transaction.connection, study_pk) or is_to_move(transaction, row):
        return []
    spoken = spoken_in(transaction.connection, row)
    strangers = strangers_in(transaction, filing.linking, row, spoken)
    gone = {one.pk for group in strangers.values() for one, _ in group}
    if not gone or len(gone) == len(spoken):
        return []  # a study of strangers alone is moved, or held, as a whole
    before(row)
    parts = [
        hold_apart(transaction, filing, row, person, group) for person, group in strangers.items()
    ]
    stay = [(one, says) for one, says in spoken if one.pk not in gone]
    left = {one: said for one, said in decisions.of_others(row).items() if one not in strangers}
    decisions.put(transaction, row, left)
    row = dicom_index.study_by_pk(transaction.connection, row.pk)
    name_again(transaction, row, stay)
    say_again(transaction, filing, row, stay)
    return parts


def decide_on_all(transaction: Transaction, row: AnyRow, decision: Decision) -> None:
    """What a person decides of a study holds for all images in it, whomever they name."""
    if parting.names_several(transaction.connection, row.pk):
        named = {says.person for _, says in spoken_in(transaction.connection, row)}
    else:
        named = set()
    others = named - {decode_as(Person, row.person)}
    decisions.put(transaction, row, dict.fromkeys(others, decision))


def spoken_in(connection: Connection, row: AnyRow) -> list[Spoken]:
    """All instances of a study row, and what each says."""
    return [
        (one, said(zlib.decompress(one.body), row.study_instance_uid, one.series_instance_uid))
        for one in parting.instances(connection, row.pk)
    ]


def is_to_move(transaction: Transaction, row: AnyRow) -> bool:
    """Is it by a person's decision another Patient's by now? It is told apart when it is there."""
    decision = decision_on(row)
    meant = id_of(decision.patient) if decision else None
    patient = resolve_patient(transaction.connection, meant or "")
    holder = resolve_patient(transaction.connection, row.patient or "")
    return patient is not None and holder is not None and patient["id"] != holder["id"]


def strangers_in(
    transaction: Transaction, linking: Linking, row: AnyRow, spoken: Sequence[Spoken]
) -> dict[Person, list[Spoken]]:
    """By person, those who are known, and not the Patient who has the study.

    What a person decided holds for all that name the same; else it is by their number.
    """
    own = decode_as(Person, row.person) if row.decision is not None else None
    decided = decisions.of_others(row)
    holder = (resolve_patient(transaction.connection, row.patient or "") or {}).get("id")
    found: dict[Person, list[Spoken]] = defaultdict(list)
    whose: dict[tuple[Person, str], bool] = {}
    for one, says in spoken:
        if says.person == own:
            continue
        key = (says.person, one.source)
        if key not in whose:
            decision = decided.get(says.person)
            ids = meant_by(transaction, linking, says.person, one.source, decision)
            whose[key] = bool(ids) and holder not in ids
        if whose[key]:
            found[says.person].append((one, says))
    return found


def meant_by(
    transaction: Transaction,
    linking: Linking,
    person: Person,
    source: str,
    decision: Decision | None,
) -> set[str]:
    """Ids of the Patients whom images that name this person lead to."""
    if decision is not None:
        patient = resolve_patient(transaction.connection, id_of(decision.patient) or "")
        return set() if patient is None else {patient["id"]}
    numbers = linking.patient_numbers(person, linking.site.source_or_default(source))
    return {one["id"] for one in linking.candidates(transaction.connection, numbers)}


def hold_apart(
    transaction: Transaction,
    filing: StudyFiling,
    row: AnyRow,
    person: Person,
    group: Sequence[Spoken],
) -> int:
    """A held row of their own, with what was decided of them."""
    merged, of_series = merged_of(group)
    decision = decisions.of_others(row).get(person)
    evidence = replace(
        evidence_of_study(row, merged, filing.linking),
        person=person,
        given=Given(),
        decision=decision,
    )
    link = held_link(
        filing.linking.link_kept(transaction.connection, evidence),
        ANOTHER_PERSONS,
        ANOTHER_PATIENT,
    )
    about = facts(
        merged.as_type(StudyAttributes),
        person,
        modality=next(iter(merged.ordered_modalities()), ""),
        source=group[0][0].source,
    )
    pk = dicom_index.add_study(
        transaction,
        study_instance_uid=row.study_instance_uid,
        state="held",
        rid=open_task(transaction, filing.new_id(), link, about, priority="urgent"),
        attributes=encode(merged),
        person=encode(person),
        given=encode(Given()),
        source=group[0][0].source,
        zone=row.zone,
        link=encode(link),
        decision=encode(decision) if decision else None,
        head=b"",
    )
    identity = identity_of(person, Given())
    dicom_index.name_identity(transaction, row.study_instance_uid, identity, pk)
    new_row = dicom_index.study_by_pk(transaction.connection, pk)
    uids = {one.series: one.series_instance_uid for one, _ in group}
    for series_pk, attributes in of_series.items():
        values = filing.series_values(new_row, attributes)
        into = dicom_index.add_series(
            transaction, study=pk, series_instance_uid=uids[series_pk], **values
        )
        parting.move(transaction, [one.pk for one, _ in group if one.series == series_pk], into)
        jobs.enqueue(transaction, SERIES_PICTURE, str(into))
    study_parts.count(transaction, pk)
    dicom_index.await_identifiers(transaction, link.awaited, study_pk=pk)
    return pk


def name_again(transaction: Transaction, row: AnyRow, stay: Sequence[Spoken]) -> None:
    """Those whom its images name, or a person decided on, belong to it; others are judged anew."""
    parting.forget_identities(transaction, row.pk)
    given = decode_as(Given, row.given)
    for person in {*decisions.of_all(row), *(says.person for _, says in stay)}:
        for identity in {identity_of(person, Given()), identity_of(person, given)}:
            dicom_index.name_identity(transaction, row.study_instance_uid, identity, row.pk)


def name_those_in(transaction: Transaction, study_pk: int) -> None:
    """Whom none of the images of a filed study names does not belong to it any more."""
    row = dicom_index.find_study(transaction.connection, study_pk)
    if row is not None and parting.names_several(transaction.connection, study_pk):
        name_again(transaction, row, spoken_in(transaction.connection, row))


def say_again(
    transaction: Transaction, filing: StudyFiling, row: AnyRow, stay: Sequence[Spoken]
) -> None:
    """What those that stay say together, in a next version."""
    parting.drop_empty_series(transaction, row.pk)
    own = decode_as(Person, row.person)
    people = [says.person for _, says in stay]
    if own not in people and people:
        name_first(transaction, row, people[0])
    merged, of_series = merged_of(stay)
    put_said(transaction, filing, row, merged, of_series)
    for series_pk in of_series:  # it may have shown a stranger's
        dicom_index.change_series(transaction, series_pk, picture=None)
        jobs.enqueue(transaction, SERIES_PICTURE, str(series_pk))
    study_parts.count(transaction, row.pk)
    row = dicom_index.study_by_pk(transaction.connection, row.pk)
    filing.write_head(transaction, row, merged)
    filing.bump(transaction, row)
    filing.index(transaction, row)


def put_said(
    transaction: Transaction,
    filing: StudyFiling,
    row: AnyRow,
    merged: Merged,
    of_series: Mapping[int, Merged],
) -> None:
    """What the study and each of its series say, in place of what they said."""
    dicom_index.change_study(transaction, row.pk, attributes=encode(merged))
    for series_pk, attributes in of_series.items():
        values = filing.series_values(row, attributes)
        dicom_index.change_series(transaction, series_pk, **values)


def rename_row(
    transaction: Transaction, filing: StudyFiling, row: AnyRow, study_instance_uid: str, uids: Uids
) -> None:
    """A held row with other UIDs, of the study and of what is in it."""
    minting.rename(transaction, parting.instances(transaction.connection, row.pk), uids)
    parting.rename_study(transaction, row.pk, study_instance_uid, uids)
    row = dicom_index.study_by_pk(transaction.connection, row.pk)
    put_said(transaction, filing, row, *merged_of(spoken_in(transaction.connection, row)))


def name_first(transaction: Transaction, row: AnyRow, person: Person) -> None:
    """Another than whom the study named first: what was decided of each stays so."""
    decided = {**decisions.of_all(row)}
    decision = decided.pop(person, None)
    dicom_index.change_study(
        transaction,
        row.pk,
        person=encode(person),
        decision=encode(decision) if decision else None,
        decisions=decisions.column(decisions.listed(decided)),
    )


def merged_of(spoken: Sequence[Spoken]) -> tuple[Merged, dict[int, Merged]]:
    """Of the study and the visit together, and of each series by its key."""
    study, of_series = Merged(), defaultdict[int, Merged](Merged)
    for one, says in spoken:
        position = rank(one.series_number, one.instance_number, one.sop_instance_uid)
        study.add(says.study, position)
        study.add(says.visit, position)
        study.add_modality(says.series.modality, one.series_number)
        of_series[one.series].add(says.series, position)
    return study, dict(of_series)
