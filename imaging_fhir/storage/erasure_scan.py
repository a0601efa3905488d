"""Who speaks of what is erased: looked up in all bodies before the write transaction begins.

In it, only what was written since is looked up again, so that nobody waits while all is read.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from imaging_fhir.storage.schema import (
    async_request,
    async_step,
    commit_clock,
    journal,
    resource,
    version,
)

REFERENCE = re.compile(r"\b([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})")
UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")


class ScanOutdated(Exception):
    """More is to be erased by now than was looked for: look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """References and UIDs that a text may speak of."""

    references: frozenset[str]
    uids: frozenset[str]

    def are_in(self, text: str) -> bool:
        return not (
            self.references.isdisjoint(REFERENCE.findall(text))
            and self.uids.isdisjoint(UID.findall(text))
        )

    def cover(self, other: "Names") -> bool:
        return other.references <= self.references and other.uids <= self.uids


@dataclass(slots=True)
class Scan:
    """What was found, and the time of the last commit that was seen."""

    stamp: int
    is_done: bool = False
    resources: list[tuple[Names, frozenset[int]]] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    async_requests: list[int] = field(default_factory=list)

    @classmethod
    def begin(cls, connection: Connection) -> "Scan":
        return cls(stamp=connection.execute(select(commit_clock.c.stamp)).scalar_one())

    def speakers(self, connection: Connection, names: Names) -> set[int]:
        """The resources whose current or an earlier body speaks of them; raise ScanOutdated."""
        if not self.is_done:
            found = all_speakers(connection, names)
            self.resources.append((names, frozenset(found)))
            return found
        known = next((found for asked, found in self.resources if asked.cover(names)), None)
        if known is None:
            raise ScanOutdated
        newer = connection.execute(
            select(resource.c.rid).where(resource.c.last_updated > self.stamp)
        ).scalars()
        return {
            rid for rid in known.union(newer) if any(map(names.are_in, bodies(connection, rid)))
        }

    def end(self, connection: Connection, names: Names) -> None:
        """Look through what besides resources says what it was about."""
        self.journal = journal_of(connection, names.are_in)
        self.async_requests = async_requests_of(connection, names.are_in)
        self.is_done = True


def all_speakers(connection: Connection, names: Names) -> set[int]:
    current = connection.execute(
        select(resource.c.rid, resource.c.body).where(resource.c.body.is_not(None))
    ).yield_per(1000)
    found = {row.rid for row in current if names.are_in(row.body.decode())}
    earlier = connection.execute(
        select(version.c.rid, version.c.body).where(version.c.body.is_not(None))
    ).yield_per(1000)
    for row in earlier:
        if row.rid not in found and names.are_in(zlib.decompress(row.body).decode()):
            found.add(row.rid)
    return found


def bodies(connection: Connection, rid: int) -> Iterator[str]:
    """The current body and the earlier ones."""
    current = connection.execute(select(resource.c.body).where(resource.c.rid == rid)).scalar()
    if current is not None:
        yield current.decode()
    for body in connection.execute(select(version.c.body).where(version.c.rid == rid)).scalars():
        if body is not None:
            yield zlib.decompress(body).decode()


def journal_of(connection: Connection, speaks: Callable[[str], bool]) -> list[str]:
    """Keys of the files whose outcome speaks of it."""
    rows = connection.execute(select(journal.c.path_sha256, journal.c.outcome)).yield_per(1000)
    return [row.path_sha256 for row in rows if speaks(row.outcome.decode())]


def async_requests_of(connection: Connection, speaks: Callable[[str], bool]) -> list[int]:
    """Keys of the requests whose address, answer or parts of one speak of it."""
    rows = connection.execute(
        select(async_request.c.pk, async_request.c.asked, async_request.c.answer)
    ).yield_per(100)
    found = {row.pk for row in rows if any(speak(text, speaks) for text in row[1:])}
    steps = connection.execute(select(async_step.c.request, async_step.c.answer)).yield_per(1000)
    return sorted(found | {row.request for row in steps if speak(row.answer, speaks)})


def speak(text: bytes | None, speaks: Callable[[str], bool]) -> bool:
    return text is not None and speaks(text.decode())
