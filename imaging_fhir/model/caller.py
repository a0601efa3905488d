"""Who asks, and what they were granted."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Context = Literal["patient", "user", "system"]
EVERY_TYPE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One SMART scope, `patient/ImagingStudy.rs?modality=CT` (SMART App Launch 2.2, Scopes)."""

    context: Context
    resource_type: str  # or EVERY_TYPE
    permissions: frozenset[str]  # of c r u d s
    parameters: tuple[tuple[str, str], ...] = ()  # only what they find; all of them must hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as far as it is known.

    Without authentication it is an address alone. `patient` and `encounter` are the ids of the
    launch context; `purposes` are codes of v3-ActReason that the caller stated.
    """

    address: str = "local"
    internal: bool = False  # the command line, and the service itself: nothing is closed to them
    issuer: str = ""  # who vouches for the rest; none: nobody does
    subject: str = ""  # the person or client, as the issuer calls them
    client_id: str = ""
    fhir_user: str = ""  # `Practitioner/1`
    roles: frozenset[str] = frozenset()
    scopes: tuple[Scope, ...] = ()
    patient: str = ""
    encounter: str = ""
    purposes: frozenset[str] = frozenset()
    token_id: str = ""  # of the access token or the session; never the token itself
    expires: int = 0  # seconds since 1970; 0: never
    patients: frozenset[str] | None = None  # ids: with `studies`, all that `system/` may see
    studies: frozenset[str] | None = None  # Study Instance UIDs; None, both: no such limit

    @property
    def is_anonymous(self) -> bool:
        """Nobody vouches for it."""
        return not self.internal and not self.issuer


LOCAL = Caller(internal=True)
CALLER: ContextVar[Caller] = ContextVar("caller", default=LOCAL)  # of the request at hand
