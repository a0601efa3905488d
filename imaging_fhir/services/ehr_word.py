"""What the EHR's word, or its silence, makes of a decision about an image (docs/ehr.md)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir import canonical
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import EhrWord, Given, Link, id_of
from imaging_fhir.storage import ehr, jobs
from imaging_fhir.storage.database import Connection, Transaction

RULE = "ehr-unavailable"
REASON = "The EHR does not answer: the image waits, and is filed by itself when it does."
UNCONFIRMED = " The EHR does not answer: this is by what it said before, and will be confirmed."
TAG = {
    "system": canonical.STUDY_STATE,
    "code": "unconfirmed",
    "display": "Filed while the EHR did not answer, by a copy of what it said before",
}
JOB = "ehr-pending"
FIRST_LOOK = 2_000  # milliseconds
LATER_LOOK = 60_000  # for what the EHR may come to know
HOPED_FOR = frozenset({"visit-number-unknown", "no-visit"})


def judged(
    connection: Connection,
    word: EhrWord,
    given: Given,
    decide: Callable[[], Link],
    *,
    awaited: Sequence[tuple[str, str, str]],
    copy_milliseconds: int,
) -> Link:
    """The decision, as far as it may be made now; raise InvalidRequest.

    While the EHR is silent an image is filed only to a Patient whom it knew a short while ago.
    """
    if word.answered:
        return replace(decide(), ehr="confirmed", ehr_at=word.at)
    try:
        link = decide()
    except InvalidRequest:
        if not is_well_formed(given):
            raise
        return waiting(word, awaited)
    checked = ehr.checked_at(connection, "Patient", id_of(link.patient) or "")
    if link.state == "held" or checked is None or word.at - checked > copy_milliseconds:
        return waiting(word, awaited)
    return replace(
        link,
        ehr="unconfirmed",
        ehr_at=checked,
        patient_reason=link.patient_reason + UNCONFIRMED,
        awaited=tuple(dict.fromkeys((*link.awaited, *awaited))),
    )


def waiting(word: EhrWord, awaited: Sequence[tuple[str, str, str]]) -> Link:
    return Link(
        state="held",
        patient_rule=RULE,
        patient_reason=REASON,
        ehr="waiting",
        ehr_at=word.at,
        awaited=tuple(awaited),
    )


def is_well_formed(given: Given) -> bool:
    """Whether the EHR may come to know what the sender names."""
    return all(
        reference is None or reference.startswith(f"{resource_type}/")
        for resource_type, reference in (
            ("Patient", given.patient),
            ("Encounter", given.encounter),
        )
    )


def word_of(link: Link) -> EhrWord | None:
    """What was known of the EHR when the link was made: it counts until it is asked again."""
    if not link.ehr:
        return None
    return EhrWord(answered=link.ehr == "confirmed", at=link.ehr_at)


def confirmed(link: Link, word: EhrWord) -> Link:
    """The same link, now by the EHR's word."""
    return replace(
        link,
        ehr="confirmed",
        ehr_at=word.at,
        patient_reason=link.patient_reason.removesuffix(UNCONFIRMED),
    )


def tagged(content: Resource, link: Link) -> Resource:
    """With the tag that says `unconfirmed` where that is so, and without it elsewhere."""
    meta = content.get("meta", {})
    tags = [tag for tag in meta.get("tag", ()) if tag != TAG]
    if link.ehr == "unconfirmed":
        tags.append(TAG)
    rest = {name: value for name, value in meta.items() if name != "tag"}
    meta = {**rest, "tag": tags} if tags else rest
    without = {name: value for name, value in content.items() if name != "meta"}
    return {**without, "meta": meta} if meta else without


def follow(
    transaction: Transaction, link: Link, *, study: int | None = None, document: int | None = None
) -> None:
    """Have it looked at again where the EHR has not said all yet."""
    if not link.ehr:
        return
    reason = reason_to_look(link)
    after = LATER_LOOK if reason == "incomplete" else FIRST_LOOK
    ehr.follow(transaction, reason, after=after, study=study, document=document)
    if reason is not None:
        jobs.hasten(transaction, JOB, "0", after=after)


def reason_to_look(link: Link) -> str | None:
    if link.ehr in ("waiting", "unconfirmed"):
        return link.ehr
    hoped = link.patient_rule == "provisional-identifier" or link.encounter_rule in HOPED_FOR
    return "incomplete" if hoped else None
