"""People who log in with a browser: accounts, sessions, and how often one may try."""

import hmac
import re
from dataclasses import dataclass

from imaging_fhir.errors import InvalidRequest, TooManyRequests
from imaging_fhir.model.authorization import Account
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.authorization import digest, new_secret
from imaging_fhir.smart.passwords import hashed, is_right
from imaging_fhir.smart.roles import scopes_of_roles
from imaging_fhir.storage import sign_in
from imaging_fhir.storage.authorization import forget_outdated
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.sign_in import Session
from imaging_fhir.trust import RESOURCE_ID, ROLES

MINUTE = 60_000  # milliseconds
IDLE, LONGEST = 30 * MINUTE, 12 * 60 * MINUTE
SEEN_EVERY = MINUTE  # it is written no more often
ATTEMPTS = {"account": 10, "address": 50}  # within
WINDOW = 15 * MINUTE
NAME = re.compile(r"[a-z0-9][a-z0-9._@\-]{0,63}", re.ASCII)
FHIR_USER = re.compile(r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/(.*)")


@dataclass(slots=True, kw_only=True)
class Sessions:
    database: Database
    issuer: str

    def caller(self, cookie: str, address: str) -> Caller | None:
        session = self.session(cookie)
        if session is None:
            return None
        account = session.account
        own = f"Patient/{account.patient}" if account.patient else ""
        return Caller(
            address=address,
            issuer=self.issuer,
            subject=account.name,
            fhir_user=account.fhir_user or own,
            roles=account.roles,
            scopes=scopes_of_roles(account.roles),
            patient=account.patient,
            token_id=session.digest.hex()[:32],
            expires=session.expires // 1000,
        )

    def session(self, cookie: str) -> Session | None:
        """One that was used within half an hour, and began within twelve; used by this."""
        now = self.database.clock()
        with self.database.read() as connection:
            found = sign_in.find_session(connection, digest(cookie))
        if found is None or now >= min(found.expires, found.seen + IDLE):
            return None
        if now - found.seen >= SEEN_EVERY:
            self.database.write(lambda unit: sign_in.touch_session(unit, found.digest))
        return found

    def log_in(self, name: str, password: str, address: str, *, former: str = "") -> str | None:
        """The cookie of a new session, in place of a former one; None where it does not match.

        Raise TooManyRequests. An attempt counts before it is looked at: who tries many at a time
        gets no more of them.
        """
        name = name.strip().lower()[:64]
        subjects = {"account": f"account:{name}", "address": f"address:{address}"}
        if not self.database.write(lambda unit: may_try(unit, subjects)):
            raise TooManyRequests(
                "There were too many attempts: try again in a quarter of an hour."
            )
        with self.database.read() as connection:
            account = sign_in.find_account(connection, name)
        if not is_right(account.password if account else None, password) or account is None:
            return None
        cookie = new_secret()

        def unit(transaction: Transaction) -> bool:
            forget_outdated(transaction)
            found = sign_in.find_account(transaction.connection, name)
            if found != account:  # changed or removed meanwhile
                return False
            if former:
                sign_in.end_session(transaction, digest(former))
            sign_in.forget_attempts(transaction, subjects["account"])
            sign_in.take_back_attempt(transaction, subjects["address"])
            expires = transaction.now + LONGEST
            sign_in.add_session(transaction, digest(cookie), name, expires=expires)
            return True

        return cookie if self.database.write(unit) else None

    def log_out(self, cookie: str) -> None:
        self.database.write(lambda unit: sign_in.end_session(unit, digest(cookie)))

    def add_account(
        self,
        name: str,
        password: str,
        roles: frozenset[str],
        *,
        fhir_user: str = "",
        patient: str = "",
    ) -> None:
        """Raise InvalidRequest."""
        if not NAME.fullmatch(name):
            raise InvalidRequest("A name has small letters, digits and . _ @ -.")
        require_roles(roles, patient)
        match = FHIR_USER.fullmatch(fhir_user)
        if fhir_user and (match is None or not RESOURCE_ID.fullmatch(match[1])):
            raise InvalidRequest("The FHIR user is like Practitioner/1.")
        account = Account(
            name=name,
            password=hashed(password),
            roles=roles,
            fhir_user=fhir_user,
            patient=patient,
        )
        if not self.database.write(lambda unit: sign_in.add_account(unit, account)):
            raise InvalidRequest(f"There is, or was, somebody called {name}.")

    def set_password(self, name: str, password: str | None) -> None:
        """None removes the account; raise InvalidRequest."""
        kept = None if password is None else hashed(password)
        if not self.database.write(lambda unit: sign_in.set_password(unit, name, kept)):
            raise InvalidRequest(f"There is nobody called {name}.")

    def accounts(self) -> list[Account]:
        with self.database.read() as connection:
            return list(sign_in.all_accounts(connection))


def may_try(transaction: Transaction, subjects: dict[str, str]) -> bool:
    return all(
        sign_in.count_attempt(transaction, subject, most=ATTEMPTS[kind], milliseconds=WINDOW)
        for kind, subject in subjects.items()
    )


def require_roles(roles: frozenset[str], patient: str) -> None:
    if not roles or not roles <= ROLES:
        raise InvalidRequest(f"Roles are of {', '.join(sorted(ROLES))}.")
    if ("patient" in roles) != bool(patient):
        raise InvalidRequest("The role patient goes with the id of the own Patient.")
    if patient and not RESOURCE_ID.fullmatch(patient):
        raise InvalidRequest("The id of the Patient is none.")


def form_token(cookie: str) -> str:
    """What a form of this browser brings along, so that no other page can have it sent."""
    return hmac.digest(cookie.encode(), b"form", "sha256").hex()


def is_form_token(cookie: str, token: str) -> bool:
    return bool(cookie) and hmac.compare_digest(form_token(cookie), token)
