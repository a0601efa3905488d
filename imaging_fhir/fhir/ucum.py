"""Quantities of UCUM (https://ucum.org) in base units, so that 5.4 mg is found as 0.0054 g."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from threading import Lock
from typing import Any

SYSTEM = "http://unitsofmeasure.org"
LONGEST_CODE = 40
DIGITS = 12  # of a factor and of a result: what is left of the arithmetic of floats
_HUGE = re.compile(r"\d{4}|[*^]\d{3}")  # 10*999 and its like are no measure
_BRACKETED = re.compile(r"\[[^\]]*\]")
_lock = Lock()


@dataclass(frozen=True, slots=True)
class Scale:
    """From a unit to its base unit: times `factor`, plus `offset`."""

    unit: str  # the base unit
    factor: Decimal
    offset: Decimal

    def of(self, number: Decimal | float) -> float:
        """Equal measures come out as equal floats, whatever unit they were written in."""
        exact = Decimal(repr(number)) if isinstance(number, float) else number
        return rounded(float(exact * self.factor + self.offset))


@lru_cache(maxsize=2000)
def scale(system: str | None, code: str | None) -> Scale | None:
    """None where nothing is known to compare with: another system, a logarithm, a pure number."""
    if system != SYSTEM or not code or len(code) > LONGEST_CODE or _HUGE.search(code):
        return None
    try:
        with _lock:
            if any(is_arbitrary(atom) for atom in _BRACKETED.findall(code)):
                return None
            zero, one, two = (in_base_units(code, number) for number in (0, 1, 2))
    except no_unit():
        return None
    factor = one.magnitude - zero.magnitude
    is_linear = abs(two.magnitude - zero.magnitude - 2 * factor) <= 1e-9 * abs(factor)
    if one.dimensionless or not is_linear or not factor > 0:
        return None
    return Scale(str(one.units), digits(factor), digits(zero.magnitude))


def is_arbitrary(atom: str) -> bool:
    """`[iU]`, `[arb'U]`: comparable with nothing else, and to the library pure numbers."""
    try:
        return bool(in_base_units(atom, 1).dimensionless)
    except no_unit():  # `[Hg]` of `mm[Hg]` is none by itself
        return False


def in_base_units(code: str, number: int) -> Any:
    unit = registry().from_ucum(code)
    return registry().Quantity(number * unit.magnitude, unit.units).to_base_units()


@cache
def no_unit() -> tuple[type[Exception], ...]:
    """What the libraries raise for it; they are loaded when they are needed."""
    from lark.exceptions import LarkError
    from pint.errors import PintError

    return LarkError, PintError, ArithmeticError, AttributeError, ValueError


@cache
def registry() -> Any:
    """Made when the first quantity of UCUM comes: it takes a second."""
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def digits(number: float) -> Decimal:
    return Decimal(f"{number:.{DIGITS}g}")


def rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
