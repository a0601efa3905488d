"""Who may be given access tokens by the built-in authorization server: clients, people, grants."""

from dataclasses import dataclass, field
from typing import Any

AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An app or a back end, in the words of RFC 7591; `secret` is a digest."""

    id: str
    name: str
    auth_method: str = "none"  # or client_secret_basic, private_key_jwt
    grant_types: tuple[str, ...] = (AUTHORIZATION_CODE, REFRESH_TOKEN)
    redirect_uris: tuple[str, ...] = ()
    scope: str = ""
    launch_uri: str = ""  # where it is opened from the chart
    jwks_uri: str = ""
    jwks: dict[str, Any] | None = None
    is_self_registered: bool = False  # nobody of the site looked at it
    secret: bytes | None = field(default=None, repr=False)

    @property
    def is_public(self) -> bool:
        return self.auth_method == "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may log in."""

    name: str
    password: str = field(repr=False)  # argon2
    roles: frozenset[str]
    fhir_user: str = ""  # Practitioner/1
    patient: str = ""  # the own record, of the role patient


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchContext:
    """What is at hand where an app is opened: ids, and further references."""

    patient: str = ""
    encounter: str = ""
    references: tuple[str, ...] = ()  # ImagingStudy/1: fhirContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a person has let a client do; `scope` is what was granted, in the words it asked in."""

    id: str
    client: str
    account: str
    scope: str
    context: LaunchContext = LaunchContext()
    nonce: str = ""
    authenticated: int = 0  # when the person logged in, in seconds since 1970
    session: bytes | None = None  # with which it ends
