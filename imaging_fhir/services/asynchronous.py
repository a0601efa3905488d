"""Requests that are answered later (FHIR R4 async.html): kept first, done in the background.

R4 describes the kick-off, the polling and the cancelling, and as a result only files of bulk data.
The answer to an interaction is as R5 has it (https://hl7.org/fhir/R5/async-bundle.html): a Bundle
`batch-response` whose one entry has the status and the resource that it would have been answered
at once, so that a 404 of the request is not taken for a status address that is gone.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import BinaryIO

from imaging_fhir.errors import (
    ImagingError,
    ResourceNotFound,
    StorageUnavailable,
    TooManyRequests,
)
from imaging_fhir.fhir.operation_outcome import outcome_of_error
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.once import Steps, in_steps
from imaging_fhir.storage import async_requests, blobs, leases
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction
from imaging_fhir.storage.ports import BlobStore, StagedBlob

LEASE_SECONDS = 20  # a worker that was killed is missed for so long; one that lives renews
PAUSE = 5_000  # milliseconds until it is tried again, twice as long each time
LAST_ATTEMPT = 6
NEVER_ENDED = ImagingError("The request was begun again and again, and never came to an end.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came: its address and headers by the names of WSGI, and its bytes."""

    environ: Mapping[str, str]
    caller: Caller
    body: BinaryIO | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    status: int
    body: bytes  # a FHIR resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a request has come: its Bundle, once it is done, or words for what is going on."""

    answer: bytes | None
    progress: str
    expires: int  # milliseconds since 1970


Perform = Callable[[Asked], Answered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asynchronous:
    database: Database
    store: BlobStore
    access: AccessPolicy
    new_id: Callable[[], str]
    most_waiting: int
    kept_milliseconds: int

    def require_room(self, connection: Connection) -> None:
        """Raise TooManyRequests where enough wait already."""
        if async_requests.waiting(connection) >= self.most_waiting:
            raise TooManyRequests("Too many requests wait to be answered; try again later.")

    def accept(self, environ: Mapping[str, str], caller: Caller, staged: StagedBlob | None) -> str:
        """The id to ask for it by; it will be done now, whatever happens to this process."""
        request_id = self.new_id()

        def add(transaction: Transaction, body: int | None) -> None:
            self.require_room(transaction.connection)
            new = async_requests.New(
                id=request_id, caller=encode(caller), asked=encode(environ), body=body
            )
            async_requests.add(transaction, new)

        if staged is None:
            self.database.write(partial(add, body=None))
        else:
            blobs.keep(self.database, staged, add)
        return request_id

    def status(self, request_id: str, caller: Caller) -> Status:
        """Raise ResourceNotFound, AccessDenied."""
        with self.database.read() as connection:
            row = self.find(connection, request_id, caller)
            done = async_requests.steps_done(connection, row.pk)
        begun = "in progress" if row.attempts else "waiting"
        return Status(
            answer=row.answer,
            progress=f"{begun}, {done} done" if done else begun,
            expires=row.created + self.kept_milliseconds,
        )

    def cancel(self, request_id: str, caller: Caller) -> None:
        """What is not done by now will not be; raise ResourceNotFound, AccessDenied."""

        def unit(transaction: Transaction) -> int | None:
            row = self.find(transaction.connection, request_id, caller)
            async_requests.remove(transaction, row.pk)
            body: int | None = row.body
            return body

        self.remove_bytes(self.database.write(unit))

    def find(self, connection: Connection, request_id: str, caller: Caller) -> AnyRow:
        since = self.database.clock() - self.kept_milliseconds
        row = async_requests.find(connection, request_id, since=since)
        if row is None:
            raise ResourceNotFound("There is no request of this id, or no longer.")
        self.access.require_owner(caller, decode_as(Caller, row.caller))
        return row

    def work(self, perform: Perform) -> bool:
        """Do one request that is due; False when there is none."""
        with self.database.read() as connection:
            due = async_requests.next_due(connection, self.database.clock())
        if due is None:
            return False
        try:
            with leases.held(self.database, f"async-{due}", seconds=LEASE_SECONDS):
                self.run(due, perform)
        except StorageUnavailable:  # another is at it
            self.database.write(partial(async_requests.postpone, request=due, pause=PAUSE))
        return True

    def run(self, request: int, perform: Perform) -> None:
        row = self.database.write(partial(async_requests.begin, request=request, pause=PAUSE))
        if row is None:
            return
        answered = failed(NEVER_ENDED)
        if row.attempts <= LAST_ATTEMPT:
            with self.database.read() as connection:
                steps = Steps(request, async_requests.steps(connection, request))
            answered = self.performed(row, steps, perform)
            if steps.is_over:
                return
        if is_transient(answered) and row.attempts < LAST_ATTEMPT:
            pause = PAUSE * 2**row.attempts
            self.database.write(partial(async_requests.postpone, request=request, pause=pause))
            return
        answer = bundle_of(answered)
        self.database.write(partial(async_requests.complete, request=request, answer=answer))
        self.remove_bytes(row.body)

    def performed(self, row: AnyRow, steps: Steps, perform: Perform) -> Answered:
        with ExitStack() as stack:
            with self.database.read() as connection:
                blob = None if row.body is None else blobs.find(connection, row.body)
            body = None if blob is None else stack.enter_context(self.store.open(blob))
            asked = Asked(
                environ=decode_as(dict[str, str], row.asked),
                caller=decode_as(Caller, row.caller),
                body=body,
                size=0 if blob is None else blob.size,
            )
            stack.enter_context(in_steps(steps))
            return perform(asked)

    def remove_bytes(self, body: int | None) -> None:
        """They may say of whom it was; where a backup is running, the clean-up removes them."""
        if body is None:
            return
        with suppress(StorageUnavailable):
            for dead in self.database.write(partial(blobs.mark_dead, pks=[body])):
                self.store.remove(dead)

    def forget_outdated(self) -> None:
        before = self.database.clock() - self.kept_milliseconds
        self.database.write(partial(async_requests.remove_older, before=before))


def failed(error: ImagingError) -> Answered:
    return Answered(status=error.status, body=encode(outcome_of_error(error)))


def is_transient(answered: Answered) -> bool:
    return answered.status == StorageUnavailable.status and b'"transient"' in answered.body


def bundle_of(answered: Answered) -> bytes:
    """The resource stays the bytes that it is."""
    status = encode(f"{answered.status} {HTTPStatus(answered.status).phrase}")
    if answered.status < HTTPStatus.BAD_REQUEST:
        entry = b'"resource":%b,"response":{"status":%b}' % (answered.body, status)
    else:
        entry = b'"response":{"status":%b,"outcome":%b}' % (status, answered.body)
    return b'{"resourceType":"Bundle","type":"batch-response","entry":[{%b}]}' % entry
