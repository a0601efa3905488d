"""What was done here, by whom, to what: one event of the audit trail."""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

from imaging_fhir.model.caller import Caller

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"  # valueset-audit-event-outcome
ACTIONS: Mapping[str, str] = {  # of each kind of event, as valueset-audit-event-action has it
    "read": "R",
    "vread": "R",
    "history": "R",
    "retrieve": "R",
    "view": "R",
    "search": "E",
    "create": "C",
    "update": "U",
    "delete": "D",
    "move": "U",
    "correct": "U",
    "operation": "E",
    "batch": "E",
    "export": "R",
    "erase": "D",
    "login": "E",
    "logout": "E",
    "refusal": "E",
    "break-the-glass": "E",
    "retention": "D",
}
READS = frozenset({"read", "vread", "history", "retrieve", "view", "search", "export"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who did it, as far as it was known."""

    name: str
    fhir_user: str = ""
    issuer: str = ""
    subject: str = ""
    client_id: str = ""
    roles: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The same agent is always written the same."""
        fields = (self.name, self.fhir_user, self.issuer, self.subject, self.client_id, self.roles)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str) -> "Agent":
        name, fhir_user, issuer, subject, client_id, roles = json.loads(text)
        return cls(
            name=name,
            fhir_user=fhir_user,
            issuer=issuer,
            subject=subject,
            client_id=client_id,
            roles=tuple(roles),
        )


@lru_cache(maxsize=1024)
def agent_of(caller: Caller) -> Agent:
    name = caller.subject or caller.client_id
    if not name:
        name = "imaging_fhir" if caller.internal else f"Caller at {caller.address}"
    return Agent(
        name=name,
        fhir_user=caller.fhir_user,
        issuer=caller.issuer,
        subject=caller.subject,
        client_id=caller.client_id,
        roles=tuple(sorted(caller.roles)),
    )


@lru_cache(maxsize=1024)
def agent_text(caller: Caller) -> str:
    return agent_of(caller).text


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`entity` and `mentions` are references, `Type/id`; `patient` is the id of whose it is.

    `query` is what was asked for, where that is more than one resource by its name.
    """

    id: str
    recorded: int  # milliseconds since 1970 UTC
    kind: str  # of ACTIONS
    agent: str  # Agent.text
    outcome: str = SUCCESS
    status: int = 0  # of HTTP; 0: there is none
    address: str = ""  # of the network, from where it was asked
    request: str = ""  # X-Request-Id
    purposes: tuple[str, ...] = ()  # codes of v3-ActReason
    patient: str | None = None
    entity: str | None = None
    mentions: tuple[str, ...] = ()
    query: str | None = None
    activity: str = ""  # of a correction

    @property
    def names(self) -> tuple[str, ...]:
        """All that erasing somebody may take out of it."""
        patient = f"Patient/{self.patient}" if self.patient else None
        return tuple(name for name in (patient, self.entity, *self.mentions) if name)


@dataclass(slots=True, kw_only=True)
class Origin:
    """The request at hand: who asked, and whether the trail has what became of it."""

    caller: Caller
    request: str = ""  # X-Request-Id
    events: int = 0  # committed

    def note(self) -> None:
        self.events += 1


ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)
