"""Random searches, each about what some resource says, or nearly."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import (
    DICOM_PARAMETERS,
    CompositeEntry,
    DateEntry,
    IndexEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TextEntry,
    TokenEntry,
    UriEntry,
)
from tests.search_judge import Kept
from tests.search_population import SERVED

BASE = "http://127.0.0.1:8080/fhir"


@dataclass(frozen=True)
class Saying:
    """A resource, and what to ask for to find it: only a source of words, and no judge of them."""

    type: str
    id: str
    last_updated: str
    entries: tuple[IndexEntry, ...]


@dataclass(frozen=True)
class Sayings:
    known: tuple[Saying, ...]


def searched_entries(type_: str, content: Resource) -> list[IndexEntry]:
    """What search parameters find; QIDO-RS alone asks for what is indexed by a tag of DICOM."""
    return [one for one in index_entries(type_, content) if not one.parameter[:1].isdigit()]


def sayings(kept: list[Kept]) -> Sayings:
    return Sayings(
        tuple(
            Saying(
                one.type,
                one.id,
                one.content["meta"]["lastUpdated"],
                tuple(
                    entry
                    for entry in searched_entries(one.type, one.content)
                    if not isinstance(entry, TextEntry)
                ),
            )
            for one in kept
        )
    )


def random_search(said: Sayings, chance: random.Random) -> tuple[str, list[tuple[str, str]]]:
    type_ = chance.choice([one.type for one in said.known])
    parameters = [random_parameter(said, type_, chance) for _ in range(chance.randrange(1, 4))]
    if chance.random() < 0.5:
        own = [
            parameter.name
            for parameter in RESOURCE_TYPES[type_].search_parameters
            if parameter.name not in DICOM_PARAMETERS
            and parameter.type != "composite"
            and not parameter.words
        ]
        keys = chance.sample(own, chance.choice([1, 1, 2]))
        parameters.append(("_sort", ",".join(chance.choice(["", "-"]) + key for key in keys)))
    return type_, parameters


def random_parameter(
    said: Sayings, type_: str, chance: random.Random, *, depth: int = 0
) -> tuple[str, str]:
    """A parameter that some resource of the type has a value for, or nearly."""
    entries = [entry for one in said.known if one.type == type_ for entry in one.entries]
    if depth < 2 and chance.random() < 0.15:
        return random_chain(said, type_, chance, depth)
    if chance.random() < 0.05 or not entries:
        return random_common(said, chance)
    entry = chance.choice(entries)
    if chance.random() < 0.08 and not isinstance(entry, CompositeEntry):
        return f"{entry.parameter}:missing", chance.choice(["true", "false"])
    return random_search_of(entry, chance)


def random_search_of(entry: IndexEntry, chance: random.Random) -> tuple[str, str]:
    match entry:
        case TokenEntry():
            return random_token(entry, chance)
        case ReferenceEntry():
            return random_reference(entry, chance)
        case DateEntry():
            return entry.parameter, random_date(entry, chance)
        case StringEntry():
            return random_string(entry, chance)
        case UriEntry():
            return entry.parameter, escaped(entry.value)
        case QuantityEntry():
            return entry.parameter, random_quantity(entry, chance)
        case CompositeEntry():
            parts = (random_part(entry.first, chance), random_part(entry.second, chance))
            return entry.parameter, "$".join(parts)
    raise AssertionError(entry)


def random_quantity(entry: QuantityEntry, chance: random.Random) -> str:
    number = repr(round(entry.low, chance.randrange(1, 4)))
    unit = chance.choice(["", f"|{entry.system or ''}|{entry.code or ''}", f"||{entry.unit or ''}"])
    return chance.choice(["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]) + number + unit


def random_part(entry: object, chance: random.Random) -> str:
    match entry:
        case TokenEntry():
            value = escaped(entry.value.upper())
            return chance.choice([value, f"{escaped(entry.system or '')}|{value}", "other"])
        case ReferenceEntry():
            return f"{entry.target_type}/{entry.target_id}"
        case DateEntry():
            return random_date(entry, chance)
        case QuantityEntry():
            return random_quantity(entry, chance)
        case StringEntry():
            return escaped(entry.value[: chance.randrange(1, len(entry.value) + 1)]).strip() or "x"
    raise AssertionError(entry)


def escaped(value: str) -> str:
    for letter in "\\,|$":
        value = value.replace(letter, "\\" + letter)
    return value


def random_common(said: Sayings, chance: random.Random) -> tuple[str, str]:
    one = chance.choice(said.known)
    if chance.random() < 0.5:
        return "_id", f"{one.id},{chance.choice(said.known).id}"
    prefix = chance.choice(["", "ge", "lt", "gt", "le", "ne", "sa", "eb"])
    return "_lastUpdated", prefix + one.last_updated


def random_token(entry: TokenEntry, chance: random.Random) -> tuple[str, str]:
    value, system = escaped(entry.value.upper()), escaped(entry.system or "")
    if entry.type_code and chance.random() < 0.3:
        type_ = f"{escaped(entry.type_system or '')}|{entry.type_code}"
        return f"{entry.parameter}:of-type", f"{type_}|{value}"
    if entry.text and chance.random() < 0.3:
        return f"{entry.parameter}:text", escaped(entry.text[:3].upper())
    if not entry.value:
        return f"{entry.parameter}:missing", "false"
    texts = [value, f"{system}|{value}", f"nowhere|{value}", f"{value},other", f"|{value}"]
    if system:
        texts.append(f"{system}|")
    return entry.parameter + chance.choice(["", "", ":not"]), chance.choice(texts)


def random_reference(entry: ReferenceEntry, chance: random.Random) -> tuple[str, str]:
    if entry.display and chance.random() < 0.4:
        return f"{entry.parameter}:text", escaped(entry.display[:6])
    if entry.identifier_value is not None:
        return (
            f"{entry.parameter}:identifier",
            f"{entry.identifier_system}|{entry.identifier_value}",
        )
    if entry.target_id is None:
        return f"{entry.parameter}:missing", chance.choice(["true", "false"])
    whole = f"{entry.target_type}/{entry.target_id}"
    texts = [entry.target_id, whole, f"{BASE}/{whole}", f"{whole}/_history/1", f"{whole},none"]
    return entry.parameter, chance.choice(texts)


def random_date(entry: DateEntry, chance: random.Random) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=max(entry.low, 0))
    moment += timedelta(hours=chance.choice([0, 0, 1, -30]))
    text = chance.choice([moment.isoformat(timespec="seconds").replace("+00:00", "Z"), "", ""])
    text = text or moment.date().isoformat()[: chance.choice([4, 7, 10])]
    return chance.choice(["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]) + text


def random_string(entry: StringEntry, chance: random.Random) -> tuple[str, str]:
    if entry.parameter == "phonetic":
        return entry.parameter, entry.value
    part = escaped(entry.value[: chance.randrange(1, len(entry.value) + 1)])
    texts = [
        ("", part.upper()),
        (":contains", escaped(entry.value[1:4].lower()) or "a"),
        (":exact", escaped(entry.value)),
        (":exact", escaped(entry.value.upper())),
    ]
    modifier, text = chance.choice(texts)
    return entry.parameter + modifier, text.strip() or part


def random_chain(said: Sayings, type_: str, chance: random.Random, depth: int) -> tuple[str, str]:
    """By a reference that is used, followed or traced back."""
    links = [
        (one.type, entry)
        for one in said.known
        for entry in one.entries
        if isinstance(entry, ReferenceEntry) and entry.target_type in SERVED
    ]
    forward = [(source, entry) for source, entry in links if source == type_]
    backward = [(source, entry) for source, entry in links if entry.target_type == type_]
    if backward and (not forward or chance.random() < 0.5):
        source, entry = chance.choice(backward)
        rest, text = random_parameter(said, source, chance, depth=depth + 1)
        return f"_has:{source}:{entry.parameter}:{rest}", text
    if not forward:
        return random_common(said, chance)
    _, entry = chance.choice(forward)
    rest, text = random_parameter(said, str(entry.target_type), chance, depth=depth + 1)
    return f"{entry.parameter}:{entry.target_type}.{rest}", text
