"""The words of a text in a form that SQLite and PostgreSQL take apart at the same places.

A word is a run of letters and digits, folded. It is written with a `w` in front and with letters
that ASCII has not by their numbers: no engine's own idea of a word comes in.
"""

import re
from collections.abc import Iterable

from imaging_fhir.model.text import folded

LONGEST_WORD = 60  # characters
MOST_WORDS = 16_000  # of one resource: PostgreSQL counts positions to 16,383
LONGEST_TEXT = 400_000  # characters, as written: a tsvector may have a megabyte
MOST_READ = 1_000_000  # characters of one resource in which words are looked for
APART = "x"  # between two texts: no phrase goes over from one to the next
_WORD = re.compile(r"[^\W_]+")


def words_in(text: str) -> list[str]:
    return [written(word) for word in _WORD.findall(folded(text))]


def written(word: str) -> str:
    word = word[:LONGEST_WORD]
    if word.isascii():
        return "w" + word
    return "w" + "".join(letter if letter.isascii() else f"x{ord(letter):x}x" for letter in word)


def words_of_texts(texts: Iterable[str]) -> str:
    """All their words, as the index holds them; what is beyond its bounds is left out."""
    found: list[str] = []
    length, unread = 0, MOST_READ
    for text in texts:
        if not unread:
            break
        part = text[:unread]
        unread -= len(part)
        for word in [*words_in(part), APART]:
            length += len(word) + 1
            if len(found) >= MOST_WORDS or length > LONGEST_TEXT:
                return " ".join(found)
            if word != APART or (found and found[-1] != APART):
                found.append(word)
    return " ".join(found)
