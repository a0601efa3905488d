"""What was measured: a table for people, JSON for programs."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One thing measured a few times; `target` says what it is held against, in words."""

    name: str
    unit: str
    values: tuple[float, ...]
    target: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def ratio(name: str, one: Measured, other: Measured, target: str) -> Measured:
    """Of two medians that were measured in one run."""
    return Measured(name=name, unit="x", values=(one.median / other.median,), target=target)


def as_table(results: Sequence[Measured]) -> str:
    head = f"{'':54}{'median':>10}  {'unit':14}{'lowest':>10}{'highest':>10}  target"
    return "\n".join([head, *(as_line(one) for one in results)])


def as_line(one: Measured) -> str:
    lowest, highest = min(one.values), max(one.values)
    figures = f"{one.median:>10.2f}  {one.unit:14}{lowest:>10.2f}{highest:>10.2f}"
    return f"{one.name:54}{figures}  {one.target}".rstrip()


def as_json(results: Sequence[Measured]) -> str:
    return json.dumps([asdict(one) | {"median": one.median} for one in results], indent=2)
