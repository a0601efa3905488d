"""Text made comparable: case, accents and spelling habits folded away."""

import re
import unicodedata
from hashlib import sha256

# Letters that no decomposition takes apart, and what they are written as elsewhere.
PLAIN = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})

LONGEST_KEY = 200  # characters; a row of an index may have some 2,700 bytes on PostgreSQL
LONGEST_BEGINNING = 600

# Neither titles nor particles make two people's family names one.
TITLES = "dr prof mr mrs ms miss sir dame herr frau jr sr ii iii md phd dipl ing"
PARTICLES = (
    "de del della der den des di du da do dos la le van von zu zum zur ten ter el al bin ben ibn af"
)
NOT_A_NAME = frozenset(f"{TITLES} {PARTICLES}".split())


def folded(text: str) -> str:
    """Lower case without accents: what FHIR calls case- and accent-insensitive (search.html)."""
    lowered = text.casefold().translate(PLAIN)
    if lowered.isascii():
        return lowered
    decomposed = unicodedata.normalize("NFKD", lowered)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def index_key(text: str) -> str:
    """What an index holds of a text: a long one, which PostgreSQL could not index whole, by its
    beginning and its hash."""
    if len(text) <= LONGEST_KEY:
        return text
    return text[:LONGEST_KEY] + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def index_beginning(text: str) -> str:
    """What an index holds of a text that is found by how it begins."""
    return text[:LONGEST_BEGINNING]


def name_words(text: str) -> frozenset[str]:
    """The words of a family name that tell people apart, each in all its usual spellings."""
    telling = spelled_words(text)
    return telling - NOT_A_NAME or telling


def spelled_words(text: str) -> frozenset[str]:
    """All words of a text, folded, each in all its usual spellings."""
    words = set(re.split(r"[\W_]+", text.casefold())) | set(
        re.split(r"[\W_]+", text.casefold().translate(SPELLED_OUT))
    )
    return frozenset({folded(word) for word in words} - {""})
