"""The cross-check of a match by identifier: never a key, only a reason to hold an image."""

from collections.abc import Iterable

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.person import NameComponents, Person, PersonName
from imaging_fhir.model.text import name_words


def disagreement(person: Person, patient: Resource) -> str | None:
    """Which element of the Patient contradicts the file, or None; what is missing agrees."""
    if dates_differ(person.birth_date, patient.get("birthDate")):
        return "birthDate"
    if genders_differ(person.gender, patient.get("gender")):
        return "gender"
    if families_differ(person.names, patient.get("name", ())):
        return "name.family"
    return None


def dates_differ(one: str | None, other: str | None) -> bool:
    """A date of the month alone is no evidence against a full date of that month."""
    if not one or not other:
        return False
    precision = min(len(one), len(other))
    return one[:precision] != other[:precision]


def genders_differ(one: str | None, other: str | None) -> bool:
    return {one, other} == {"male", "female"}


def patients_disagree(one: Resource, other: Resource) -> str | None:
    """The same of two Patients."""
    if dates_differ(one.get("birthDate"), other.get("birthDate")):
        return "birthDate"
    if genders_differ(one.get("gender"), other.get("gender")):
        return "gender"
    mine, yours = (words_of_patient(patient.get("name", ())) for patient in (one, other))
    return "name.family" if words_differ(mine, yours) else None


def families_differ(names: Iterable[PersonName], human_names: Iterable[Resource]) -> bool:
    of_file = {word for name in names for word in family_words_of_file(name)}
    return words_differ(of_file, words_of_patient(human_names))


def words_of_patient(human_names: Iterable[Resource]) -> set[str]:
    return {word for name in human_names for word in family_words_of_patient(name)}


def words_differ(one: set[str], other: set[str]) -> bool:
    """No word in common among family names written in the same script."""
    scripts = {word.isascii() for word in one} & {word.isascii() for word in other}
    return bool(scripts) and not one & other


def family_words_of_file(name: PersonName) -> Iterable[str]:
    for group in (name.alphabetic, name.ideographic, name.phonetic):
        if group is not None:
            yield from name_words(family_text(group))


def family_text(group: NameComponents) -> str:
    """Where no family name is set apart, any word may be it."""
    return group.family or " ".join(group.given)


def family_words_of_patient(name: Resource) -> Iterable[str]:
    return name_words(name.get("family") or name.get("text") or " ".join(name.get("given", ())))
