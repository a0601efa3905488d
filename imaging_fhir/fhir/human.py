"""A resource in words for people: a title, and a line for each element that has something to say.

Nothing here is particular to a resource type: values are told by the shape of their datatype
(datatypes.html), so that every type reads well without a line of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imaging_fhir.model.codec import Resource

UNSAID = frozenset(
    {
        "resourceType",
        "id",
        "meta",
        "text",
        "contained",
        "extension",
        "modifierExtension",
        "implicitRules",
        "language",
        "rest",
        "entry",
        "link",
    }
)
TITLES = ("name", "title", "description", "code", "type", "class", "vaccineCode")
MOST_VALUES = 8
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Words:
    """What a value says; `reference` is where it leads, as it stands in the resource."""

    text: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    values: tuple[Words, ...]
    more: int = 0  # values that are there too


def title_of(resource: Resource) -> str:
    """What a person would call it, without its type; empty where nothing does."""
    for element in TITLES:
        said = [words.text for words in words_of_all(resource.get(element)) if words.text]
        if said:
            return said[0]
    return ""


def lines_of(resource: Resource) -> list[Line]:
    found = ((name, list(words_of_all(value))) for name, value in resource.items() if said(name))
    return [
        Line(label_of(name), tuple(values[:MOST_VALUES]), max(0, len(values) - MOST_VALUES))
        for name, values in found
        if values
    ]


def said(element: str) -> bool:
    return element not in UNSAID and not element.startswith("_")


def label_of(element: str) -> str:
    """`birthDate` as `Birth date`."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in element)
    return spaced[:1].upper() + spaced[1:]


def words_of_all(value: Any) -> Iterator[Words]:
    for one in value if isinstance(value, list) else [value]:
        words = words_of(one)
        if words.text:
            yield words


def words_of(value: Any) -> Words:
    match value:
        case None:
            return Words("")
        case bool():
            return Words("yes" if value else "no")
        case dict():
            return words_of_complex(value)
        case list():
            return Words(cut(", ".join(words.text for words in words_of_all(value))))
        case _:
            return Words(cut(str(value)))


def words_of_complex(value: Mapping[str, Any]) -> Words:
    """The first form that fits: the more telling ones come first."""
    if isinstance(value.get("reference"), str):
        return Words(cut(text_of(value, "display") or value["reference"]), value["reference"])
    if "attachment" in value:
        return words_of(value["attachment"])
    if isinstance(value.get("url"), str) and "contentType" in value:
        shown = text_of(value, "title") or value["url"]
        return Words(cut(joined([shown, f"({value['contentType']})"])), value["url"])
    return Words(cut(plain_words(value)))


def plain_words(value: Mapping[str, Any]) -> str:
    if "family" in value or "given" in value:
        return text_of(value, "text") or name_in_words(value)
    if "start" in value or "end" in value:
        return f"{text_of(value, 'start') or '…'} to {text_of(value, 'end') or '…'}"
    if "value" in value:
        return value_in_words(value)
    for element in ("text", "display", "coding", "concept", "name", "line", "code", "description"):
        if said_there := words_of(value.get(element)).text:
            return said_there
    return joined(text_of(value, element) for element in ("modality", "actor", "status", "title"))


def name_in_words(name: Mapping[str, Any]) -> str:
    given = " ".join(str(one) for one in name.get("given") or () if one)
    return ", ".join(part for part in (text_of(name, "family"), given) if part)


def value_in_words(value: Mapping[str, Any]) -> str:
    """An Identifier by its system's last word, a Quantity with its unit, a ContactPoint."""
    kind = words_of(value.get("type")).text or text_of(value, "use")
    unit = text_of(value, "unit") or text_of(value, "code")
    note = text_of(value, "system") if not unit else ""
    return joined([text_of(value, "value"), unit, f"({kind or note})" if kind or note else ""])


def text_of(value: Mapping[str, Any], element: str) -> str:
    return words_of(value.get(element)).text


def joined(parts: Iterable[str]) -> str:
    return " ".join(part for part in parts if part)


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
