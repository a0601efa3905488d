"""Who a patient could be (Patient/$match): candidates, how alike they are, and what that is worth.

https://hl7.org/fhir/R4/patient-operation-match.html. The points of what agrees add up to the
score; docs/api/match.md has the table. A grade of `certain` needs an identifier with its system
or all of family name, given name, full birth date and gender, and nothing that speaks against it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.bundle import Found, searchset
from imaging_fhir.fhir.parameters import Given, resource_in, truth, whole_number
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource, decode
from imaging_fhir.model.text import folded, name_words
from imaging_fhir.services.demographics import dates_differ, genders_differ
from imaging_fhir.services.preconditions import require_type
from imaging_fhir.services.search import Search
from imaging_fhir.storage import search
from imaging_fhir.storage.people import successor_of

FULL_DATE = len("2001-02-03")
CANDIDATES = 200  # of each way to find some
MOST_NUMBERS = 50  # each is a search of its own
POINTS = {"birthDate": 0.35, "family": 0.3, "given": 0.2, "gender": 0.1}
CERTAIN, PROBABLE, POSSIBLE = "certain", "probable", "possible"
PROBABLE_FROM, POSSIBLE_FROM = 0.8, 0.5
BY_IDENTIFIER, DOUBTFUL = 1.0, 0.5
SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\,$|"})
Numbers = frozenset[tuple[str, str]]  # system and value


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of a Patient counts; words and values are folded."""

    numbers: Numbers
    families: frozenset[str]
    givens: frozenset[str]
    birth_date: str
    gender: str

    def agreeing(self, other: "Facts") -> frozenset[str]:
        """The elements of POINTS that both have, and have alike."""
        same = {
            "birthDate": self.has_full_date and self.birth_date == other.birth_date,
            "family": bool(self.families & other.families),
            "given": bool(self.givens & other.givens),
            "gender": bool(self.gender) and self.gender == other.gender,
        }
        return frozenset(name for name, agrees in same.items() if agrees)

    @property
    def has_full_date(self) -> bool:
        return len(self.birth_date) == FULL_DATE

    def contradicts(self, other: "Facts") -> bool:
        """Another date, another gender, no family name in common, or another number of one kind."""
        return (
            dates_differ(self.birth_date, other.birth_date)
            or genders_differ(self.gender, other.gender)
            or bool(self.families and other.families and not self.families & other.families)
            or self.has_other_number(other)
        )

    def has_other_number(self, other: "Facts") -> bool:
        own, theirs = by_system(self.numbers), by_system(other.numbers)
        return any(not own[system] & theirs[system] for system in own.keys() & theirs.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    reference: str
    body: bytes
    score: float
    grade: str


class Matching:
    def __init__(self, search: Search) -> None:
        self.search = search

    def match(self, given: Given, caller: Caller) -> bytes:
        """A searchset, the best first; raise InvalidRequest where there is nothing to go by."""
        patient = patient_in(given)
        only_certain = truth(given, "onlyCertainMatches")
        limit = whole_number(given, "count") or self.search.settings.page_size
        sought = facts_of(patient)
        found = graded(self.matches(sought, caller))
        if only_certain:
            found = [match for match in found if match.grade == CERTAIN]
            found = found if len(found) == 1 else []
        shown = found[: min(limit, self.search.settings.max_page_size)]
        entries = (
            Found(reference=one.reference, body=one.body, score=one.score, grade=one.grade)
            for one in shown
        )
        links = [("self", f"{BASE_PLACEHOLDER}/Patient/$match")]
        return b"".join(searchset(entries, base=BASE_PLACEHOLDER, links=links, total=len(shown)))

    def matches(self, sought: Facts, caller: Caller) -> Iterator[Match]:
        """Those in whose place another has been put are left out."""
        for reference, body in self.candidates(sought, caller).items():
            patient = decode(body)
            known = facts_of(patient)
            score, grade = judged(sought, known)
            if grade and not successor_of(patient):
                yield Match(reference=reference, body=body, score=score, grade=grade)

    def candidates(self, sought: Facts, caller: Caller) -> dict[str, bytes]:
        restrictions = self.search.access.restrictions(caller)
        resources = self.search.resources
        found: dict[str, bytes] = {}
        with (
            resources.database.read() as connection,
            search.limited(connection, self.search.settings.search_seconds),
        ):
            for parameters in ways_to_find(sought):
                limit = ("_count", str(CANDIDATES))
                query = self.search.parsed("Patient", [*parameters, limit], strict=True)
                page = search.search(connection, query, restrictions=restrictions)
                found |= {one.reference: resources.body(connection, one) for one in page.matches}
        return found


def patient_in(given: Given) -> Resource:
    patient = resource_in(given, "resource")
    if patient is None:
        raise InvalidRequest("The parameter resource is missing.", expression="Parameters")
    require_type("Patient", patient)
    facts = facts_of(patient)
    if len(facts.numbers) > MOST_NUMBERS:
        raise InvalidRequest(
            f"A match takes at most {MOST_NUMBERS} identifiers.", expression="Patient.identifier"
        )
    if not list(ways_to_find(facts)):
        raise InvalidRequest(
            "A match needs an identifier with its system, or two of family name, given name and "
            "full birth date.",
            expression="Patient",
        )
    return patient


def ways_to_find(sought: Facts) -> Iterator[list[tuple[str, str]]]:
    """Searches that together find everyone who could be graded."""
    for system, value in sorted(sought.numbers):
        yield [("identifier", f"{system.translate(SPECIAL)}|{value.translate(SPECIAL)}")]
    date = [("birthdate", sought.birth_date)] if sought.has_full_date else []
    families = [("family", alternatives(sought.families))] if sought.families else []
    givens = [("given", alternatives(sought.givens))] if sought.givens else []
    for one, other in ((date, families), (date, givens), (families, givens)):
        if one and other:
            yield [*one, *other]


def alternatives(words: Iterable[str]) -> str:
    return ",".join(word.translate(SPECIAL) for word in sorted(words))


def judged(sought: Facts, known: Facts) -> tuple[float, str | None]:
    """The score from 0 to 1, and the grade; None where there is too little to go by."""
    agreeing = sought.agreeing(known)
    points = round(sum(POINTS[name] for name in agreeing), 2)
    same_number = bool(sought.numbers & known.numbers)
    if sought.contradicts(known):
        doubtful = same_number or points >= POSSIBLE_FROM
        return min(
            points, DOUBTFUL
        ) if not same_number else DOUBTFUL, POSSIBLE if doubtful else None
    if same_number:
        return BY_IDENTIFIER, CERTAIN
    if agreeing == POINTS.keys():
        return points, CERTAIN
    if points >= PROBABLE_FROM:
        return points, PROBABLE
    return points, POSSIBLE if points >= POSSIBLE_FROM else None


def graded(matches: Iterable[Match]) -> list[Match]:
    """The best first, and one at most certain: of several, one alone by its identifier."""
    found = sorted(matches, key=lambda match: (-match.score, match.reference))
    certain = [match for match in found if match.grade == CERTAIN]
    by_identifier = [match for match in certain if match.score == BY_IDENTIFIER]
    kept = by_identifier if len(by_identifier) == 1 else certain if len(certain) == 1 else []
    return [
        uncertain(match) if match.grade == CERTAIN and match not in kept else match
        for match in found
    ]


def uncertain(match: Match) -> Match:
    return Match(reference=match.reference, body=match.body, score=match.score, grade=PROBABLE)


def by_system(numbers: Numbers) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for system, value in numbers:
        found.setdefault(system, set()).add(value)
    return found


def facts_of(patient: Resource) -> Facts:
    names = dicts(patient.get("name"))
    return Facts(
        numbers=frozenset(
            (one["system"], one["value"])
            for one in dicts(patient.get("identifier"))
            if isinstance(one.get("system"), str) and isinstance(one.get("value"), str)
        ),
        families=frozenset(
            word for name in names for word in name_words(string(name.get("family")))
        ),
        givens=frozenset(
            folded(one) for name in names for one in strings(name.get("given")) if one.strip()
        ),
        birth_date=string(patient.get("birthDate")),
        gender=string(patient.get("gender")),
    )


def dicts(value: object) -> Sequence[Resource]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def strings(value: object) -> Sequence[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def string(value: object) -> str:
    return value if isinstance(value, str) else ""
