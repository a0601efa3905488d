"""`_text` and `_content` (https://hl7.org/fhir/R4/search.html#content): words, and what finds them.

R4 leaves open how words are asked for. Here: `word`, `beginning*`, `"a phrase"`, which may follow
one another (all must be there), with AND, OR, NOT in any case, and parentheses.
"""

import html
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from imaging_fhir.model.search import AllWords, PhraseValue, SearchParameter, TextEntry, WordsValue
from imaging_fhir.model.words import words_in, words_of_texts

WORDLESS = frozenset(  # elements whose values are addresses, numbers of things, or bytes
    "contentType data hash id meta reference resourceType system uid url".split()  # noqa: SIM905
)
MOST_ASKED = 50  # words
DEEPEST = 10  # parentheses
OPERATORS = frozenset({"and", "or", "not"})
_TAG = re.compile(r"<[^>]*>")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T[0-9:.+\-Z]*)?)?)?")
_TOKEN = re.compile(r'"[^"]*"?|[()]|[^\s()"]+')


def text_entries(parameter: SearchParameter, reached: list[Any]) -> Iterator[TextEntry]:
    """All words of what is reached, in one entry."""
    element = parameter.paths[0].rpartition(".")[2]
    words = words_of_texts(text for value in reached for text in texts_of(value, element))
    if words:
        yield TextEntry(parameter=parameter.name, words=words)


def texts_of(value: Any, name: str) -> Iterator[str]:
    """Every string that says something to people; dates have parameters of their own."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key not in WORDLESS:
                yield from texts_of(member, key)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from texts_of(member, name)
    elif isinstance(value, str) and not _DATE.fullmatch(value):
        yield html.unescape(_TAG.sub(" ", value)) if name == "div" else value


def words_value(text: str) -> WordsValue:
    """What the text asks for; raise ValueError."""
    tokens = deque(_TOKEN.findall(text))
    if not 0 < len(tokens) <= MOST_ASKED:
        raise ValueError("No words, or too many.")
    found = alternatives(tokens, 0)
    if tokens:
        raise ValueError("A parenthesis that none was opened for.")
    return found


def alternatives(tokens: deque[str], depth: int) -> WordsValue:
    """Up to the end, or to the parenthesis that closes."""
    found = [conjunction(tokens, depth)]
    while tokens and tokens[0].lower() == "or":
        tokens.popleft()
        found.append(conjunction(tokens, depth))
    return WordsValue(alternatives=tuple(found))


def conjunction(tokens: deque[str], depth: int) -> AllWords:
    """What only says what is not to be there would find nearly everything: it is refused."""
    parts: list[PhraseValue | WordsValue] = []
    without: list[PhraseValue | WordsValue] = []
    while tokens and tokens[0] != ")" and tokens[0].lower() != "or":
        if tokens[0].lower() == "and" and (parts or without):
            tokens.popleft()
        negative = bool(tokens) and tokens[0].lower() == "not"
        if negative:
            tokens.popleft()
        (without if negative else parts).append(operand(tokens, depth))
    if not parts:
        raise ValueError("No word that is to be there.")
    return AllWords(parts=tuple(parts), without=tuple(without))


def operand(tokens: deque[str], depth: int) -> PhraseValue | WordsValue:
    word = tokens.popleft() if tokens else ")"
    if word == "(":
        if depth == DEEPEST:
            raise ValueError("Parentheses nested too deep.")
        inner = alternatives(tokens, depth + 1)
        if not tokens or tokens.popleft() != ")":
            raise ValueError("A parenthesis that is not closed.")
        return inner
    words = () if word.lower() in OPERATORS else tuple(words_in(word))
    if not words or (word.startswith('"') and (len(word) == 1 or not word.endswith('"'))):
        raise ValueError("No word.")
    return PhraseValue(words=words, begins=word.endswith("*"))
