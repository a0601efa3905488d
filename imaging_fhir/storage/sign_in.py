"""People who may log in, their sessions, and how often somebody tried."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from imaging_fhir.model.authorization import Account
from imaging_fhir.storage.authorization import revoke_grants
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import person_account, person_session, sign_in_attempt


def add_account(transaction: Transaction, account: Account) -> bool:
    """False where there is, or was, one of that name: a name never means somebody else."""
    known = transaction.execute(
        select(person_account.c.name).where(person_account.c.name == account.name)
    ).first()
    if known is not None:
        return False
    transaction.execute(
        insert(person_account).values(
            name=account.name,
            password=account.password,
            roles=" ".join(sorted(account.roles)),
            fhir_user=account.fhir_user,
            patient=account.patient,
            created=transaction.now,
        )
    )
    return True


def find_account(connection: Connection, name: str) -> Account | None:
    row = connection.execute(
        select(person_account).where(
            person_account.c.name == name, person_account.c.password.is_not(None)
        )
    ).first()
    return account_of(row) if row is not None else None


def all_accounts(connection: Connection) -> Iterator[Account]:
    rows = connection.execute(
        select(person_account)
        .where(person_account.c.password.is_not(None))
        .order_by(person_account.c.name)
    )
    return map(account_of, rows)


def account_of(row: AnyRow) -> Account:
    return Account(
        name=row.name,
        password=row.password,
        roles=frozenset(row.roles.split()),
        fhir_user=row.fhir_user,
        patient=row.patient,
    )


def set_password(transaction: Transaction, name: str, password: str | None) -> bool:
    """None: the account is removed. Whatever was begun with the old one ends."""
    changed = transaction.execute(
        update(person_account)
        .where(person_account.c.name == name, person_account.c.password.is_not(None))
        .values(password=password)
    )
    transaction.execute(delete(person_session).where(person_session.c.account == name))
    revoke_grants(transaction, account=name)
    forget_attempts(transaction, f"account:{name}")
    return bool(changed.rowcount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    digest: bytes
    account: Account
    created: int
    seen: int
    expires: int


def add_session(transaction: Transaction, digest: bytes, name: str, *, expires: int) -> None:
    transaction.execute(
        insert(person_session).values(
            digest=digest,
            account=name,
            created=transaction.now,
            seen=transaction.now,
            expires=expires,
        )
    )


def find_session(connection: Connection, digest: bytes) -> Session | None:
    row = connection.execute(
        select(person_session.c.created.label("begun"), person_session.c.seen)
        .add_columns(person_session.c.expires, person_account)
        .join(person_account, person_account.c.name == person_session.c.account)
        .where(person_session.c.digest == digest, person_account.c.password.is_not(None))
    ).first()
    if row is None:
        return None
    return Session(
        digest=digest,
        account=account_of(row),
        created=row.begun,
        seen=row.seen,
        expires=row.expires,
    )


def touch_session(transaction: Transaction, digest: bytes) -> None:
    transaction.execute(
        update(person_session).where(person_session.c.digest == digest).values(seen=transaction.now)
    )


def end_session(transaction: Transaction, digest: bytes) -> None:
    """And what apps may do only while it lasts."""
    transaction.execute(delete(person_session).where(person_session.c.digest == digest))
    revoke_grants(transaction, session=digest)


def count_attempt(transaction: Transaction, subject: str, *, most: int, milliseconds: int) -> bool:
    """One more; False where there were too many within that time."""
    row = transaction.execute(
        select(sign_in_attempt).where(sign_in_attempt.c.subject == subject)
    ).first()
    if row is not None and row.expires <= transaction.now:
        forget_attempts(transaction, subject)
        row = None
    if row is None:
        transaction.execute(
            insert(sign_in_attempt).values(
                subject=subject, count=1, expires=transaction.now + milliseconds
            )
        )
        return True
    if row.count >= most:
        return False
    transaction.execute(
        update(sign_in_attempt)
        .where(sign_in_attempt.c.subject == subject)
        .values(count=row.count + 1)
    )
    return True


def forget_attempts(transaction: Transaction, subject: str) -> None:
    transaction.execute(delete(sign_in_attempt).where(sign_in_attempt.c.subject == subject))


def take_back_attempt(transaction: Transaction, subject: str) -> None:
    """It was a good one: many people may share an address."""
    transaction.execute(
        update(sign_in_attempt)
        .where(sign_in_attempt.c.subject == subject)
        .values(count=sign_in_attempt.c.count - 1)
    )
