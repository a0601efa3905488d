"""The worklist of held images: filtered, looked at one by one, and decided, one or many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import partial

from imaging_fhir.errors import (
    ImagingError,
    InvalidResource,
    ResourceConflict,
    ResourceNotFound,
)
from imaging_fhir.fhir.patient import PROVISIONAL, PROVISIONAL_PREFIX
from imaging_fhir.fhir.profiles import claimed
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.task import HELD
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode, decode_as
from imaging_fhir.model.correction import Corrected, Correction, SplitOff
from imaging_fhir.model.link import Decision
from imaging_fhir.services.candidates import Candidate, Candidates
from imaging_fhir.services.chart import HeldItem, code_of, held_item
from imaging_fhir.services.chart_words import counted, shown_moment
from imaging_fhir.services.correction import Corrections, Found, image_of
from imaging_fhir.services.splitting import Part, Splitting
from imaging_fhir.storage import chart, corrections, resources
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.people import resources_with

MOST_SHOWN = 200
MOST_AT_ONCE = 1000
FILTERS = ("reason", "source", "modality")
DAYS = (1, 7, 30)
DAY = 86_400_000  # milliseconds
NOT_CERTAIN = "Left as it is: no candidate alone is certain."
UNDONE_HERE = frozenset({"link", "correct-by-source", "reject", "split"})
DONE = {
    "link": "Filed by a person",
    "correct-by-source": "Moved by a source that is authoritative here",
    "reject": "Rejected by a person",
    "merge": "Merged by a person",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of the worklist is meant: values of FILTERS, and how many days old at least."""

    tokens: Mapping[str, str]
    days: int = 0
    last: int | None = None  # no image that was held after this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    item: HeldItem
    version: int
    age: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistPage:
    """The oldest first; `total` may be more than are shown."""

    items: tuple[Listed, ...]
    total: int
    last: int  # the newest
    choices: Mapping[str, Sequence[str]]  # of each filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One correction of the image, as its Provenance says it."""

    provenance: str
    text: str
    reason: str
    at: str
    by: str
    is_undone: bool
    may_be_undone: bool
    targets: tuple[str, ...]  # the resource that it ended in first
    other: str = ""  # the other study, of a split


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPage:
    """What somebody needs to decide whose image it is."""

    reference: str
    version: int
    candidates: tuple[Candidate, ...]
    can_be_filed: bool  # not one that is kept only beside another, and none decided meanwhile
    says: str  # the name in the file: whom a new Patient would be
    told: tuple[Told, ...]
    part: Part | None = None  # what of the study is meant; None for all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one item of many."""

    task: str
    title: str
    text: str
    is_done: bool
    provenance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worklist:
    candidates: Candidates
    corrections: Corrections
    new_id: Callable[[], str]

    @property
    def database(self) -> Database:
        return self.corrections.database

    def page(self, asked: Asked, *, limit: int = MOST_SHOWN) -> WorklistPage:
        now = self.database.clock()
        before = (now - asked.days * DAY) * 1000 if asked.days else None
        code = code_of(HELD)
        with self.database.read() as connection:
            rows, total, last = chart.waiting_tasks(
                connection, code, asked.tokens, before=before, last=asked.last, limit=limit
            )
            choices = {name: chart.values_of_tasks(connection, code, name) for name in FILTERS}
        zone = self.candidates.chart.zone
        tasks = [(decode(row.body), row.version) for row in rows]
        return WorklistPage(
            items=tuple(
                Listed(item=held_item(task, zone), version=version, age=age_of(task, now))
                for task, version in tasks
            ),
            total=total,
            last=last,
            choices=choices,
        )

    def decision(
        self, reference: str, caller: Caller, *, searched: Sequence[str] = ()
    ) -> DecisionPage:
        """Raise ResourceNotFound, ResourceDeleted."""
        resource_type, _, resource_id = reference.partition("/")
        with self.database.read() as connection:
            stored = resources.read(connection, resource_type, resource_id)
            found = image_of(connection, stored)
            told = self.told(connection, reference)
        is_task = resource_type == "Task"
        if found is None or (is_task and found.row.state != "held"):
            return DecisionPage(
                reference=reference,
                version=stored.version,
                candidates=(),
                can_be_filed=False,
                says="",
                told=told,
            )
        with self.database.read() as connection:
            said = self.candidates.said(self.candidates.evidence(connection, found))
        names = said.get("name", ())
        return DecisionPage(
            reference=reference,
            version=stored.version,
            candidates=self.candidates.of(found, caller, searched=searched),
            can_be_filed=True,
            says=next((name.get("text") or name.get("family", "") for name in names), ""),
            told=told,
        )

    def of(self, reference: str) -> tuple[Told, ...]:
        with self.database.read() as connection:
            return self.told(connection, reference)

    def told(self, connection: Connection, reference: str) -> tuple[Told, ...]:
        """The corrections of that resource, the newest first: it alone can be undone."""
        rows = corrections.about(connection, reference)
        latest = next((row.id for row in rows if not row.undone), "")
        zone = self.candidates.chart.zone
        return tuple(
            told_of(
                row.id,
                decode(row.body),
                zone,
                reference=reference,
                split=decode_as(Correction, row.correction).split,
                is_undone=bool(row.undone),
                is_latest=row.id == latest,
            )
            for row in rows
        )

    def correction(self, provenance_id: str) -> Told:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.database.read() as connection:
            stored = resources.read(connection, "Provenance", provenance_id)
            known = corrections.of_provenance(connection, provenance_id)
            if known is None:
                raise ResourceNotFound(f"Provenance/{provenance_id} is of no correction.")
            target = decode(stored.body or b"{}")["target"][0]["reference"]
            of_target = self.told(connection, target)
        return next(one for one in of_target if one.provenance == provenance_id)

    def file(
        self,
        reference: str,
        version: str,
        *,
        patient: str,
        encounter: str,
        reason: str,
        caller: Caller,
        part: Part | None = None,
    ) -> Corrected:
        """`part` is what of a study is meant, else it is all of it.

        Raise VersionConflict where somebody else was faster, and what Corrections.link does.
        """
        if not patient.startswith("Patient/"):
            raise InvalidResource("Choose a patient.", expression="patient")
        if encounter and not encounter.startswith("Encounter/"):
            raise InvalidResource("Choose a visit.", expression="encounter")
        decision = Decision(patient=patient, encounter=encounter or None)
        if part is not None:
            splitting = Splitting(corrections=self.corrections)
            act = partial(splitting.split, reference, part)
        else:
            act = partial(self.corrections.link, reference)
        return act(decision, reason=reason or None, caller=caller, if_match=tag(version))

    def reject(self, task_id: str, version: str, *, reason: str, caller: Caller) -> Corrected:
        return self.corrections.reject(
            task_id, reason=reason or None, caller=caller, if_match=tag(version)
        )

    def file_to_new_patient(
        self, reference: str, version: str, *, reason: str, caller: Caller
    ) -> Corrected:
        """Make a provisional Patient of what the file says, and file the image to them: at once."""

        def unit(transaction: Transaction) -> Corrected:
            found = self.corrections.find(transaction, reference, tag(version))
            patient = self.made_patient(transaction, found)
            return self.corrections.link_in(
                transaction,
                reference,
                Decision(patient=patient),
                reason=reason or None,
                caller=caller,
                if_match=tag(version),
            )

        return self.database.write(unit)

    def made_patient(self, transaction: Transaction, found: Found) -> str:
        """Without the numbers that somebody has already; raise ResourceConflict for a nobody."""
        linking = self.candidates.linking
        evidence = self.candidates.evidence(transaction.connection, found)
        said = self.candidates.said(evidence)
        numbers = [
            one
            for one in said.get("identifier", ())
            if "system" in one and not taken(transaction.connection, one)
        ]
        said = {name: value for name, value in said.items() if name != "identifier"}
        if not said.get("name") and not numbers:
            raise ResourceConflict(NAMES_NOBODY)
        said["meta"] = {"tag": [PROVISIONAL]}
        content = claimed(said | ({"identifier": numbers} if numbers else {}), linking.profiles)
        entries = index_entries("Patient", content, zone=linking.zone)
        patient_id = f"{PROVISIONAL_PREFIX}{self.new_id()}"
        return resources.put(transaction, "Patient", patient_id, content, entries).reference

    def decide_many(
        self, chosen: Sequence[tuple[str, str]], action: str, *, reason: str, caller: Caller
    ) -> tuple[Result, ...]:
        """Each (id of the Task, version) by itself: what one meets holds no other one up."""
        return tuple(
            self.decide_one(task_id, version, action, reason=reason, caller=caller)
            for task_id, version in chosen[:MOST_AT_ONCE]
        )

    def decide_one(
        self, task_id: str, version: str, action: str, *, reason: str, caller: Caller
    ) -> Result:
        result = Result(task=task_id, title="", text="", is_done=False)
        try:
            with self.database.read() as connection:
                stored = resources.read(connection, "Task", task_id)
            item = held_item(decode(stored.body or b"{}"), self.candidates.chart.zone)
            result = replace(result, title=item.rule_in_words)
            if action == "reject":
                done = self.reject(task_id, version, reason=reason, caller=caller)
            else:
                page = self.decision(f"Task/{task_id}", caller)
                certain = [one for one in page.candidates if one.is_certain]
                if len(certain) != 1:
                    return replace(result, text=NOT_CERTAIN)
                done = self.file(
                    f"Task/{task_id}",
                    version,
                    patient=f"Patient/{certain[0].patient.id}",
                    encounter="",
                    reason=reason,
                    caller=caller,
                )
        except ImagingError as error:
            return replace(result, text=str(error))
        provenance = (done.provenance or "").rpartition("/")[2]
        return replace(result, text=done.text, is_done=True, provenance=provenance)

    def ageing(self) -> list[tuple[str, int, float]]:
        """Of each rule: how many images it holds, and for how many seconds the oldest waits."""
        now = self.database.clock()
        with self.database.read() as connection:
            rows = chart.waiting_by_rule(connection, code_of(HELD))
        return [(row.rule, row.tasks, max(now - row.since / 1000, 0) / 1000) for row in rows]


NAMES_NOBODY = "The file names nobody: choose a patient, or create one first."


def tag(version: str) -> str:
    return f'W/"{version}"'


def taken(connection: Connection, number: Resource) -> bool:
    return bool(resources_with(connection, "Patient", [(number["system"], number["value"])]))


def age_of(task: Resource, now: int) -> str:
    authored = task.get("authoredOn")
    if not authored:
        return ""
    seconds = now / 1000 - datetime.fromisoformat(authored).astimezone(UTC).timestamp()
    if seconds < 3600:
        return f"{max(int(seconds // 60), 0)} min"
    if seconds < 2 * 86_400:
        return f"{int(seconds // 3600)} h"
    return counted(int(seconds // 86_400), "day")


def told_of(
    provenance_id: str,
    content: Resource,
    zone: tzinfo | None,
    *,
    reference: str,
    split: SplitOff | None,
    is_undone: bool,
    is_latest: bool,
) -> Told:
    """As it is told of that resource."""
    code = content["activity"]["coding"][0]["code"]
    targets = tuple(one["reference"] for one in content["target"])
    return Told(
        provenance=provenance_id,
        text=DONE.get(code, code) if split is None else split_in_words(split, targets, reference),
        reason=next((one.get("text", "") for one in content.get("reason", ())), ""),
        at=shown_moment(content["recorded"], zone),
        by=content["agent"][0]["who"].get("display", ""),
        is_undone=is_undone,
        may_be_undone=is_latest and not is_undone and code in UNDONE_HERE,
        targets=targets,
        other=next((one for one in targets if one != reference), "") if split else "",
    )


def split_in_words(split: SplitOff, targets: Sequence[str], reference: str) -> str:
    images = f"{split.moved} of {counted(split.total, 'image')}"
    if reference == targets[0]:
        return f"{images} of another study were moved here, to a study of their own"
    return f"{images} were moved to another patient"
