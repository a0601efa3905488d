"""A search of QIDO-RS (PS3.18 10.6), understood: what text is parsed to and SQL is made of."""

from dataclasses import dataclass, field
from typing import Literal

Level = Literal["study", "series", "instance"]
LEVELS: tuple[Level, ...] = ("study", "series", "instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """`*` is any characters, `?` is one (PS3.4 C.2.2.2.4)."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """From one to the other, both included; `high` stands for all that begin with it."""

    low: str | None = None
    high: str | None = None


Match = OneOf | Like | Between


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An attribute and what it must be: any of these."""

    path: str  # as model.dicom_attribute.MatchRow
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """`alternatives`: of one of them, all keys must match, in the same item of a sequence."""

    level: Level  # of what has the attribute
    alternatives: tuple[tuple[Key, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomQuery:
    """All criteria must hold."""

    level: Level
    study: str | None = None  # of the address, as `series` is
    series: str | None = None
    patient: str | None = None  # id of the Patient whose studies alone are searched
    criteria: tuple[Criterion, ...] = ()
    include: frozenset[str] = frozenset()  # tags
    include_all: bool = False
    limit: int = 1000
    offset: int = 0
    warnings: tuple[str, ...] = field(default=())  # of what was asked for and is not done
