"""Who acts in a history of images: a house in this process, or a whole service in another one."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select

from imaging_fhir.errors import ImagingError
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.correction import Corrected
from imaging_fhir.model.link import Decision
from imaging_fhir.services.composition import build_services, new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.held_parts import HeldParts
from imaging_fhir.services.ingest import Ingest, Outcome
from imaging_fhir.services.merging import MATCH_AGAIN, Merging
from imaging_fhir.services.splitting import Part, Splitting
from imaging_fhir.services.study_parts import JOB
from imaging_fhir.settings import DEFAULT_SOURCE, Settings
from imaging_fhir.storage import jobs
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import job
from tests.house import House, put


class Actor(Protocol):
    def put(self, content: Resource, /) -> object: ...

    def send(self, content: bytes) -> Outcome: ...

    def link(self, reference: str, decision: Decision) -> Corrected: ...

    def split(self, reference: str, part: Part, decision: Decision) -> Corrected: ...

    def merge(self, source_id: str, target_id: str) -> Corrected: ...

    def undo(self, by: str, provenance: str) -> Corrected: ...

    def work(self) -> None: ...

    def read(self, reference: str, /) -> Resource: ...


@dataclass(frozen=True, kw_only=True)
class Acting:
    database: Database
    ingest: Ingest
    corrections: Corrections
    splitting: Splitting
    merging: Merging
    held_parts: HeldParts
    put: Callable[[Resource], object]
    read: Callable[[str], Resource]
    close: Callable[[], None]

    def send(self, content: bytes) -> Outcome:
        return self.ingest.ingest([content], source=DEFAULT_SOURCE)

    def link(self, reference: str, decision: Decision) -> Corrected:
        return self.corrections.link(reference, decision, reason=None, caller=LOCAL)

    def split(self, reference: str, part: Part, decision: Decision) -> Corrected:
        return self.splitting.split(reference, part, decision, reason=None, caller=LOCAL)

    def merge(self, source_id: str, target_id: str) -> Corrected:
        return self.merging.merge(source_id, target_id, reason=None, caller=LOCAL)

    def undo(self, by: str, provenance: str) -> Corrected:
        """`by` is corrections, splitting or merging."""
        provenance_id = provenance.partition("/")[2]

        def unit(transaction: Transaction) -> Corrected:
            done: Corrected = getattr(self, by).undo(transaction, provenance_id, None, LOCAL)
            return done

        return self.database.write(unit)

    def work(self) -> None:
        """What the background does of matching again, and of held parts that are compared."""
        for kind, do in ((MATCH_AGAIN, self.merging.match_again), (JOB, self.held_parts.settle)):
            with self.database.read() as connection:
                query = select(job.c.pk, job.c.subject, job.c.attempts).where(job.c.kind == kind)
                due = connection.execute(query).all()
            for pk, subject, attempts in due:
                self.database.write(partial(jobs.take, pk=pk, attempts=attempts))
                while do(int(subject)) is not None:
                    pass
                self.database.write(partial(jobs.finish, pk=pk, attempts=attempts + 1))


def at_house(house: House) -> Acting:
    corrections = Corrections(house.database, house.relinking, new_id=new_id)
    return Acting(
        database=house.database,
        ingest=house.ingest,
        corrections=corrections,
        splitting=Splitting(corrections=corrections),
        merging=Merging(house.database, house.relinking, new_id=new_id),
        held_parts=HeldParts(database=house.database, store=house.store, relinking=house.relinking),
        put=house.put,
        read=house.read,
        close=house.close,
    )


def at_service(database_url: str, folder: Path) -> Acting:
    """All that a server process has, but for its threads."""
    services = build_services(
        Settings(database_url=database_url, blob_url=f"file://{folder}/blobs")
    )

    def read(reference: str) -> Resource:
        resource_type, _, resource_id = reference.partition("/")
        found: Resource = decode(services.resources.read(resource_type, resource_id)[1])
        return found

    return Acting(
        database=services.database,
        ingest=services.ingest,
        corrections=services.corrections,
        splitting=services.splitting,
        merging=services.merging,
        held_parts=services.background.held_parts,
        put=partial(put, services.database, services.merging.relinking),
        read=read,
        close=services.close,
    )


def serve(pipe: Connection) -> None:
    """Act as one is told to over the pipe, one database after the other."""
    acting: Acting | None = None
    while True:
        try:
            name, given = pipe.recv()
        except EOFError:
            return
        try:
            if name == "open":
                acting, answer = at_service(*given), None
            else:
                answer = getattr(acting, name)(*given)
        except ImagingError as error:
            pipe.send(error)
        except Exception:
            pipe.send(AssertionError(traceback.format_exc()))
        else:
            pipe.send((answer,))


@dataclass(frozen=True)
class Elsewhere:
    """An actor in another process."""

    pipe: Connection

    def asked(self, name: str, *given: Any) -> Any:
        self.pipe.send((name, given))
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer[0]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given: self.asked(name, *given)


@contextmanager
def another_process() -> Iterator[Elsewhere]:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,))
    process.start()
    there.close()
    try:
        yield Elsewhere(here)
    finally:
        here.close()
        process.join()
