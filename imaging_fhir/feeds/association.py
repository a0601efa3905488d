"""One association, from its request to its end (PS3.8 9.2 for the acceptor; PS3.7 C.2)."""

import logging
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from imaging_fhir.dicomweb.store_response import PROCESSING_FAILURE
from imaging_fhir.feeds.command_set import (
    C_CANCEL,
    C_ECHO,
    C_STORE,
    RESPONSE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    UNRECOGNIZED_OPERATION,
    Command,
    MalformedCommand,
    Result,
    decoded,
    response,
)
from imaging_fhir.feeds.negotiation import ACCEPTED, VERIFICATION, Request, acceptance, negotiated
from imaging_fhir.feeds.storage import Sender, Storage
from imaging_fhir.feeds.upper_layer import (
    ABORT,
    INVALID_PARAMETER,
    NOT_SPECIFIED,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    UNEXPECTED_PDU,
    Connection,
    Disconnected,
    Fragment,
    ProtocolError,
    fragments,
)
from imaging_fhir.services.metrics import DIMSE_REQUESTS

MAX_COMMAND_BYTES = 64 * 1024
SERVICES = {C_STORE: "C-STORE", C_ECHO: "C-ECHO"}
logger = logging.getLogger(__name__)


class Released(Exception):
    """The peer has asked for the association's end."""


class Aborted(Exception):
    """The peer has ended it without asking."""


@dataclass(slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(slots=True)
class Association:
    """`is_busy`: a request is being received or answered."""

    connection: Connection
    storage: Storage
    sender: Sender
    contexts: Mapping[int, Context] = field(default_factory=dict)
    waiting: list[Fragment] = field(default_factory=list)  # received, the next one last
    is_busy: bool = False
    answered: int = 0

    def accept(self, request: Request) -> None:
        answers = [negotiated(proposed) for proposed in request.contexts]
        self.contexts = {
            one.context_id: Context(str(one.abstract_syntax), str(one.transfer_syntax[0]))
            for one in answers
            if one.result == ACCEPTED and one.context_id is not None
        }
        self.connection.send_encoded(acceptance(request, answers, max_pdu=self.connection.max_pdu))

    def serve(self, *, is_over: Callable[[], bool]) -> str:
        """Answer requests until there are no more; how it ended, in words for the log."""
        try:
            while not is_over():
                self.answer(*self.next_command())
                self.is_busy = False
        except Released:
            self.connection.send(RELEASE_RP, bytes(4))
            self.connection.linger()
            return "released"
        except Aborted:
            return "aborted by the peer"
        except ProtocolError as error:
            self.connection.abort(error.reason)
            self.connection.linger()
            return f"aborted: {error}"
        self.connection.abort(NOT_SPECIFIED)
        return "ended by this side"

    def next_command(self) -> tuple[int, Command]:
        """With the id of its presentation context; raise Released between two requests."""
        encoded = b""
        while True:
            one = self.next_fragment()
            self.is_busy = True
            if not one.is_command:
                raise ProtocolError(INVALID_PARAMETER, "a data set without a command")
            encoded += one.data
            if len(encoded) > MAX_COMMAND_BYTES:
                raise ProtocolError(INVALID_PARAMETER, "a command set that is too large")
            if one.is_last:
                return one.context_id, well_formed(encoded)

    def next_fragment(self) -> Fragment:
        while not self.waiting:
            pdu = self.connection.receive()
            if pdu.type == RELEASE_RQ and not self.is_busy:
                raise Released
            if pdu.type == ABORT:
                raise Aborted
            if pdu.type != P_DATA:
                raise ProtocolError(UNEXPECTED_PDU, "a PDU that is not expected now")
            self.waiting = list(fragments(pdu.body))[::-1]
        one = self.waiting.pop()
        if one.context_id not in self.contexts:
            raise ProtocolError(INVALID_PARAMETER, "a presentation context that is not accepted")
        return one

    def data_set(self, context_id: int) -> Iterator[bytes]:
        """The data set of the command that was just read, as it arrives."""
        while True:
            one = self.next_fragment()
            if one.is_command or one.context_id != context_id:
                raise ProtocolError(INVALID_PARAMETER, "something else amid a data set")
            yield one.data
            if one.is_last:
                return

    def answer(self, context_id: int, command: Command) -> None:
        if command.field == C_CANCEL:
            return  # of a request that is answered already
        if command.field & RESPONSE:
            raise ProtocolError(INVALID_PARAMETER, "a response that nobody waits for")
        data_set = self.data_set(context_id) if command.has_data_set else iter(())
        result = self.result(self.contexts[context_id], command, data_set)
        for _ in data_set:  # what was not looked at
            pass
        self.respond(context_id, response(command, result))
        self.answered += 1
        service = SERVICES.get(command.field, "other")
        DIMSE_REQUESTS.labels(service, f"{result.status:04X}").inc()

    def result(self, context: Context, command: Command, data_set: Iterator[bytes]) -> Result:
        if command.field == C_ECHO:
            known = command.sop_class_uid == VERIFICATION
            return Result(status=SUCCESS if known else SOP_CLASS_NOT_SUPPORTED)
        if command.field != C_STORE:
            return Result(status=UNRECOGNIZED_OPERATION, comment="Only C-STORE and C-ECHO.")
        try:
            return self.storage.store(command, context.transfer_syntax, data_set, self.sender)
        except (Disconnected, ProtocolError, Aborted):
            raise
        except Exception:  # a fault of ours is this instance's alone
            logger.exception("C-STORE failed")
            return Result(status=PROCESSING_FAILURE, comment="The server failed.")

    def respond(self, context_id: int, command_set: bytes) -> None:
        value = struct.pack(">LBB", len(command_set) + 2, context_id, 0b11) + command_set
        self.connection.send(P_DATA, value)


def well_formed(encoded: bytes) -> Command:
    try:
        return decoded(encoded)
    except MalformedCommand as error:
        raise ProtocolError(INVALID_PARAMETER, "a command set that is malformed") from error
