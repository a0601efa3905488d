"""How much one search may ask: more is refused before a database is asked.

Behind the numbers: SQLite takes expressions of a depth of 1,000 and 32,766 bound values in a
statement, and time-outs bound what the engines do, not how long a statement takes to write.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.search import (
    AllWords,
    AnyCriterion,
    CompositeValue,
    Criterion,
    PhraseValue,
    ReverseCriterion,
    SearchParameter,
    SearchValue,
    TokenValue,
    WordsValue,
)

MOST_PARAMETERS = 100  # of any kind, in one search
MOST_LOOKED_UP = 100  # parameters with those of their chains, and words
MOST_VALUES = 1_000  # alternatives of all of them
MOST_SORT_KEYS = 10
MOST_LISTED = 500  # alternatives that one list in SQL holds
MOST_COMPARED = 100  # those that are compared one by one


class TooManyCriteria(InvalidRequest):
    status, issue_code = 400, "too-costly"


def require_few_parameters(parameters: Sequence[tuple[str, str]]) -> None:
    if len(parameters) > MOST_PARAMETERS:
        raise TooManyCriteria(f"A search may have at most {MOST_PARAMETERS} parameters.")


def require_few_sort_keys(count: int) -> None:
    if count > MOST_SORT_KEYS:
        raise TooManyCriteria(
            f"A search is sorted by at most {MOST_SORT_KEYS} keys.", expression="http._sort"
        )


@dataclass(slots=True)
class Asked:
    """What a search asks so far, counted while it is read: what is too long is not read on."""

    conditions: int = 0
    values: int = 0

    def add(self, criterion: AnyCriterion) -> None:
        """Raise TooManyCriteria."""
        for values in looked_up(criterion):
            self.conditions += 1
            self.values += len(values)
        if self.conditions > MOST_LOOKED_UP:
            raise TooManyCriteria(
                f"A search may look up at most {MOST_LOOKED_UP} parameters: those of chains count, "
                "of each type that they may lead to, and so do words."
            )
        if self.values > MOST_VALUES:
            raise TooManyCriteria(f"A search may have at most {MOST_VALUES} values in all.")


def looked_up(criterion: AnyCriterion) -> Iterator[Sequence[object]]:
    """The values of each condition that it becomes."""
    if isinstance(criterion, ReverseCriterion):
        yield ()
        yield from looked_up(criterion.criterion)
    elif isinstance(criterion, Criterion):
        values = [one for value in criterion.values for one in parts(value)]
        yield values
        for value in criterion.values:
            if isinstance(value, WordsValue):
                yield from ((one,) for one in phrases(value))
        for _, rest in criterion.chain:
            yield from looked_up(rest)


def parts(value: SearchValue) -> Sequence[object]:
    return (*value.first, *value.second) if isinstance(value, CompositeValue) else (value,)


def phrases(words: WordsValue) -> Iterator[PhraseValue]:
    for all_of in words.alternatives:
        yield from phrases_of(all_of)


def phrases_of(words: AllWords) -> Iterator[PhraseValue]:
    for part in (*words.parts, *words.without):
        if isinstance(part, WordsValue):
            yield from phrases(part)
        else:
            yield part


def fault_of_values(
    parameter: SearchParameter, modifier: str | None, values: Sequence[SearchValue]
) -> str | None:
    """Why they are too many alternatives for one parameter; None where they are not."""
    is_listed = parameter.type in ("token", "reference") and modifier not in ("text", "identifier")
    most = MOST_LISTED if is_listed else MOST_COMPARED
    if len(values) > most:
        return f"it has more than {most} values."
    systems = {
        (value.system, value.type_system, value.type_code)
        for value in values
        if isinstance(value, TokenValue)
    }
    return f"it has more than {MOST_COMPARED} systems." if len(systems) > MOST_COMPARED else None
