"""The built-in authorization server: who gets which token for what, and what ends it.

Forms of OAuth 2.0 are in `web.authorization_server`; what is said here is what holds whatever the
form: a code and a refresh token count once, and whoever comes with one again ends all of its grant.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from imaging_fhir.errors import Unauthenticated
from imaging_fhir.model.authorization import Account, Client, Granted, LaunchContext
from imaging_fhir.services.client_keys import ClientKeys
from imaging_fhir.services.signing_keys import SigningKeys
from imaging_fhir.smart import issued
from imaging_fhir.smart.access_token import Claims, Expected, Key, unverified, verified
from imaging_fhir.smart.client import origins
from imaging_fhir.smart.client_assertion import verified_assertion
from imaging_fhir.smart.roles import granted_to_person, words
from imaging_fhir.smart.scope import parse_scope
from imaging_fhir.storage import authorization as kept
from imaging_fhir.storage.authorization import CODE, LAUNCH, REFRESH, Fault, Ticket
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.sign_in import find_account

CODE_SECONDS = 60
LAUNCH_SECONDS = 300
OFFLINE_SECONDS = 90 * 86_400  # since it was last used
ONLINE_SECONDS = 12 * 3600
ORIGINS_SECONDS = 5.0
OFFLINE, ONLINE = "offline_access", "online_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a code is bound to."""

    redirect_uri: str
    code_challenge: str


@dataclass(slots=True, kw_only=True)
class Authorization:
    database: Database
    keys: SigningKeys
    client_keys: ClientKeys
    root: str  # our public address, and the issuer's name
    known_origins: frozenset[str] = frozenset()
    origins_until: float = field(default=0.0)

    @property
    def issuer(self) -> str:
        return self.root

    @property
    def base(self) -> str:
        return f"{self.root}/fhir"

    @property
    def token_url(self) -> str:
        return f"{self.root}/auth/token"

    # what the resource server asks

    def public_keys(self) -> Sequence[Key]:
        return self.keys.public()

    def is_revoked(self, claims: Claims) -> bool:
        with self.database.read() as connection:
            if kept.is_spent(connection, kept.TOKEN, str(claims.get("jti", ""))):
                return True
            grant = claims.get(issued.GRANT)
            if isinstance(grant, str):
                return kept.find_grant(connection, grant) is None
            return kept.find_client(connection, str(claims.get("client_id", ""))) is None

    # clients

    def client(self, client_id: str) -> Client | None:
        with self.database.read() as connection:
            return kept.find_client(connection, client_id)

    def clients(self) -> list[Client]:
        with self.database.read() as connection:
            return list(kept.all_clients(connection))

    def origins(self) -> frozenset[str]:
        """Of the pages of registered apps, which may call from a browser."""
        if time.monotonic() >= self.origins_until:
            found = (origins(client) for client in self.clients())
            self.known_origins = frozenset[str]().union(*found)
            self.origins_until = time.monotonic() + ORIGINS_SECONDS
        return self.known_origins

    def has_secret(self, client: Client, secret: str) -> bool:
        return client.secret is not None and compare_digest(client.secret, digest(secret))

    def require_assertion(self, client: Client, assertion: str) -> None:
        """Once; raise Unauthenticated, IssuerUnavailable."""
        shown = self.client_keys.checked(
            client,
            lambda keys: verified_assertion(
                assertion, client.id, keys, self.token_url, now=time.time()
            ),
        )
        name = sha256(f"{shown.client_id} {shown.token_id}".encode()).hexdigest()
        expires = int(shown.expires + 120) * 1000
        if not self.database.write(
            lambda transaction: kept.spend(transaction, kept.ASSERTION, name, expires=expires)
        ):
            raise Unauthenticated("This assertion was used before.", error="invalid_token")

    # codes

    def code(self, granted: Granted, asked: Asked, *, launch: bytes | None = None) -> str | None:
        """A new one, bound to what was asked; None where the launch was used meanwhile."""
        code = new_secret()
        body = {"redirect_uri": asked.redirect_uri, "code_challenge": asked.code_challenge}

        def unit(transaction: Transaction) -> str | None:
            kept.forget_outdated(transaction)
            if launch is not None:
                used = kept.use_ticket(transaction, launch, LAUNCH)
                if isinstance(used, Fault):
                    return None
            now = transaction.now
            seconds = CODE_SECONDS + issued.ACCESS_SECONDS
            kept.add_grant(transaction, granted, expires=now + seconds * 1000)
            ticket = Ticket(
                digest=digest(code),
                kind=CODE,
                grant=granted.id,
                body=body,
                expires=now + CODE_SECONDS * 1000,
            )
            kept.add_ticket(transaction, ticket)
            return code

        return self.database.write(unit)

    def use_code(self, code: str, client_id: str) -> tuple[Granted, Asked] | None:
        def unit(transaction: Transaction) -> tuple[Granted, Asked] | None:
            connection = transaction.connection
            of = kept.family_of(connection, digest(code))
            granted = kept.find_grant(connection, of) if of else None
            if granted is None or granted.client != client_id:
                return None
            found = kept.use_ticket(transaction, digest(code), CODE)
            return (granted, Asked(**found.body)) if isinstance(found, Ticket) else None

        return self.database.write(unit)

    # tokens

    def person_tokens(
        self, granted: Granted, scope: str, *, may_refresh: bool
    ) -> dict[str, Any] | None:
        """The answer of the token end point; None where the person may not log in any more."""
        account = self.account(granted.account)
        if account is None:
            return None
        now = int(time.time())
        left = within_roles(scope, account)
        claims = {
            **self.common(now),
            **issued.access_claims(granted, left, now=now),
            "fhirUser": self.fhir_user(account),
            "roles": sorted(account.roles),
            "fhirContext": fhir_context(granted.context),
        }
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": self.sign({k: v for k, v in claims.items() if v}, issued.AT_JWT),
            "expires_in": issued.ACCESS_SECONDS,
            "scope": left,
        }
        answer |= context_of(granted.context)
        if "openid" in words(left):
            answer["id_token"] = self.id_token(granted, account, left, now)
        if may_refresh and {OFFLINE, ONLINE} & set(words(granted.scope)):
            answer["refresh_token"] = self.refresh_token(granted)
        return answer

    def system_tokens(self, client: Client, scope: str) -> dict[str, Any]:
        now = int(time.time())
        claims = self.common(now) | issued.system_claims(client.id, scope, now=now)
        return {
            "token_type": "Bearer",
            "access_token": self.sign(claims, issued.AT_JWT),
            "expires_in": issued.SYSTEM_SECONDS,
            "scope": scope,
        }

    def common(self, now: int) -> dict[str, Any]:
        return {"iss": self.issuer, "aud": self.base, "iat": now, "jti": new_secret()}

    def id_token(self, granted: Granted, account: Account, scope: str, now: int) -> str:
        asked = {"fhirUser", "profile"} & set(words(scope))
        told = self.fhir_user(account) if asked else ""
        claims = {"iss": self.issuer, "iat": now, **issued.id_claims(granted, told, now=now)}
        return self.sign(claims, "JWT")

    def sign(self, claims: dict[str, Any], type_: str) -> str:
        return issued.signed(claims, self.keys.signing(), type_)

    def fhir_user(self, account: Account) -> str:
        named = account.fhir_user or (account.patient and f"Patient/{account.patient}")
        return f"{self.base}/{named}" if named else ""

    def account(self, name: str) -> Account | None:
        with self.database.read() as connection:
            return find_account(connection, name)

    # refresh tokens

    def refresh_token(self, granted: Granted) -> str:
        token = new_secret()
        is_offline = OFFLINE in words(granted.scope)
        seconds = OFFLINE_SECONDS if is_offline else ONLINE_SECONDS

        def unit(transaction: Transaction) -> None:
            expires = transaction.now + seconds * 1000
            ticket = Ticket(
                digest=digest(token), kind=REFRESH, grant=granted.id, body={}, expires=expires
            )
            kept.add_ticket(transaction, ticket)
            kept.extend_grant(
                transaction, granted.id, expires=expires + issued.ACCESS_SECONDS * 1000
            )

        self.database.write(unit)
        return token

    def look_at_refresh(self, token: str, client_id: str) -> Granted | None:
        """Not used up yet; one that was used ends its grant."""

        def unit(transaction: Transaction) -> Granted | None:
            connection = transaction.connection
            of = kept.family_of(connection, digest(token))
            granted = kept.find_grant(connection, of) if of else None
            if granted is None or granted.client != client_id:
                return None
            found = kept.look_at_ticket(connection, digest(token), REFRESH, now=transaction.now)
            if found is Fault.USED:
                kept.end_family(transaction, digest(token))
            return granted if isinstance(found, Ticket) else None

        return self.database.write(unit)

    def use_refresh(self, token: str) -> bool:
        """False where somebody else did meanwhile, upon which its grant is over."""
        found = self.database.write(
            lambda transaction: kept.use_ticket(transaction, digest(token), REFRESH)
        )
        return isinstance(found, Ticket)

    # introspection and revocation

    def claims(self, token: str) -> Claims | None:
        """Of an access token of ours that counts."""
        expected = Expected(
            issuer=self.issuer,
            audiences=frozenset({self.base}),
            algorithms=frozenset({issued.ALGORITHM}),
            requires_at_jwt=True,
        )
        try:
            found = verified(unverified(token), self.public_keys(), expected, now=time.time())
        except Unauthenticated:
            return None
        return None if self.is_revoked(found) else found

    def grant_of_refresh(self, token: str) -> Granted | None:
        """Of a refresh token that counts; it is not used up."""
        with self.database.read() as connection:
            found = kept.look_at_ticket(
                connection, digest(token), REFRESH, now=self.database.clock()
            )
            if isinstance(found, Fault) or found.grant is None:
                return None
            return kept.find_grant(connection, found.grant)

    def revoke(self, token: str, client_id: str) -> None:
        """A token of this client; with a refresh token all of its grant. Unknown ones are over."""
        claims = self.claims(token)
        if claims is not None and claims.get("client_id") == client_id:
            expires = int(claims["exp"]) * 1000 + 300_000
            self.database.write(
                lambda unit: kept.spend(unit, kept.TOKEN, str(claims["jti"]), expires=expires)
            )
        granted = self.grant_of_refresh(token)
        if granted is not None and granted.client == client_id:
            self.revoke_grant(granted.id, granted.account)

    def revoke_grant(self, grant_id: str, account: str) -> None:
        self.database.write(lambda unit: kept.revoke_grants(unit, id=grant_id, account=account))

    def grants(self, account: str) -> list[Granted]:
        with self.database.read() as connection:
            return kept.grants_of(connection, account, now=self.database.clock())

    # launches

    def launch(self, context: LaunchContext, *, client_id: str, account: str = "") -> str:
        """A value that opens the app with this at hand, for once; `account`: only theirs."""
        value = new_secret()
        body = {
            "client": client_id,
            "account": account,
            "patient": context.patient,
            "encounter": context.encounter,
            "references": context.references,
        }

        def unit(transaction: Transaction) -> None:
            kept.forget_outdated(transaction)
            expires = transaction.now + LAUNCH_SECONDS * 1000
            kept.add_ticket(
                transaction, Ticket(digest=digest(value), kind=LAUNCH, body=body, expires=expires)
            )

        self.database.write(unit)
        return value

    def launched(self, value: str, *, client_id: str, account: str) -> LaunchContext | None:
        """What was at hand, for this app and person."""
        with self.database.read() as connection:
            found = kept.look_at_ticket(
                connection, digest(value), LAUNCH, now=self.database.clock()
            )
        if isinstance(found, Fault) or found.body["client"] != client_id:
            return None
        if found.body["account"] not in ("", account):
            return None
        return LaunchContext(
            patient=found.body["patient"],
            encounter=found.body["encounter"],
            references=tuple(found.body["references"]),
        )


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Of what nobody can guess, so that it need not be slow."""
    return sha256(secret.encode()).digest()


def within_roles(scope: str, account: Account) -> str:
    """What of it the person still may do: roles can change while an app has its token."""
    return " ".join(granted_to_person(scope, scope, account.roles))


def context_of(context: LaunchContext) -> dict[str, Any]:
    named = {
        "patient": context.patient,
        "encounter": context.encounter,
        "fhirContext": fhir_context(context),
    }
    return {name: value for name, value in named.items() if value}


def fhir_context(context: LaunchContext) -> list[dict[str, str]]:
    return [{"reference": reference} for reference in context.references]


def needs_patient(scope: str) -> bool:
    scopes = map(parse_scope, words(scope))
    is_of_one = any(one is not None and one.context == "patient" for one in scopes)
    return is_of_one or "launch/patient" in words(scope)


def kept_context(scope: str, context: LaunchContext) -> LaunchContext:
    """Of what was at hand, what the scopes that were granted let the app know."""
    named = set(words(scope))
    if not needs_patient(scope) and not named & {"launch", "launch/encounter"}:
        return LaunchContext()
    if not named & {"launch", "launch/encounter"}:
        context = replace(context, encounter="")
    if not named & {"launch", "launch/imagingstudy"}:
        context = replace(context, references=())
    return context
