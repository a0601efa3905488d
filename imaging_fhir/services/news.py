"""Which of much news images may have to do with: most Patients and visits that come in bulk have
none, and need not be asked about one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import OWN_ID
from imaging_fhir.model.reference import local_id
from imaging_fhir.storage import concerned, resources
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.same_person import same_person

News = tuple[str, str, Resource | None]  # type, id, content; None: it was deleted


@dataclass(frozen=True, slots=True)
class Told:
    """News, with what the resource said before."""

    news: News
    former: Resource | None

    @property
    def type(self) -> str:
        return self.news[0]

    @property
    def id(self) -> str:
        return self.news[1]

    @property
    def states(self) -> list[Resource]:
        return [state for state in (self.news[2], self.former) if state is not None]

    @property
    def patients(self) -> set[str]:
        """Ids of the Patients whom it is, or whose visit it is."""
        if self.type != "Encounter":
            return {self.id} if self.type == "Patient" else set()
        subjects = (local_id(state.get("subject"), "Patient") for state in self.states)
        return {subject for subject in subjects if subject is not None}

    def numbers(self) -> Iterator[concerned.Number]:
        yield self.type, OWN_ID, self.id
        for state in self.states:
            for one in state.get("identifier", ()):
                if "system" in one and "value" in one:
                    yield self.type, one["system"], one["value"]

    @property
    def is_merged(self) -> bool:
        return any(state.get("link") for state in self.states)


def concerning(connection: Connection, news: Sequence[News], *, registers: bool) -> list[News]:
    """The news without those of Patients, visits and orders that no image can have to do with.

    None is theirs or at theirs, nor of an order of theirs, none waits for their numbers, and nobody
    was merged. Where an ImagingStudy is made of each order (`registers`), all orders count.
    """
    types = {"Patient", "Encounter", *(() if registers else ("ServiceRequest",))}
    keys = [one[:2] for one in news if one[0] in types]
    formers = resources.former_contents(connection, keys)
    told = [Told(one, formers.get(one[:2])) for one in news if one[0] in types]
    people = {patient for one in told for patient in one.patients}
    visits = {one.id for one in told if one.type == "Encounter"}
    orders = {one.id for one in told if one.type == "ServiceRequest"}
    persons = same_person(connection, people)
    known = {
        "Patient": {id_ for id_ in people if len(persons[id_]) > 1}
        | concerned.patients_linked_to(connection, people)
        | concerned.patients_with_images(connection, people)
        | concerned.with_orders(connection, "Patient", people, registers=registers),
        "Encounter": concerned.visits_with_images(connection, visits)
        | concerned.with_orders(connection, "Encounter", visits, registers=registers),
        "ServiceRequest": concerned.orders_with_studies(connection, orders),
    }
    awaited = concerned.awaited_numbers(connection, {n for one in told for n in one.numbers()})
    apart = {
        one.news[:2]
        for one in told
        if not one.is_merged
        and one.id not in known[one.type]
        and not one.patients & known["Patient"]
        and awaited.isdisjoint(one.numbers())
    }
    return [one for one in news if one[:2] not in apart]
