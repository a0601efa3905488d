"""What the built-in authorization server keeps: clients, keys, grants, and tickets used once.

A ticket is a code, a refresh token or a launch. It is looked up by its digest, and used up in the
transaction that finds it good: of two who come with it at the same time one gets something.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from imaging_fhir.model.authorization import Client, Granted, LaunchContext
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import (
    oauth_client,
    oauth_grant,
    oauth_key,
    oauth_spent,
    oauth_ticket,
    person_session,
    sign_in_attempt,
)

CODE, REFRESH, LAUNCH = "code", "refresh", "launch"
TOKEN, ASSERTION = "token", "assertion"
OUTDATED = (oauth_ticket, oauth_spent, person_session, sign_in_attempt, oauth_grant)


class Fault(Enum):
    """Why a ticket opens nothing."""

    UNKNOWN = "unknown"
    USED = "used"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    digest: bytes
    kind: str
    expires: int
    grant: str | None = None
    body: dict[str, Any]


# clients


def put_client(transaction: Transaction, client: Client) -> None:
    body = asdict(client)
    for name in ("id", "secret"):
        del body[name]
    remove_client(transaction, client.id)
    transaction.execute(
        insert(oauth_client).values(
            id=client.id, body=json.dumps(body), secret=client.secret, created=transaction.now
        )
    )


def remove_client(transaction: Transaction, client_id: str) -> bool:
    """And all that it was granted."""
    removed = transaction.execute(delete(oauth_client).where(oauth_client.c.id == client_id))
    revoke_grants(transaction, client=client_id)
    return bool(removed.rowcount)


def find_client(connection: Connection, client_id: str) -> Client | None:
    row = connection.execute(select(oauth_client).where(oauth_client.c.id == client_id)).first()
    return client_of(row) if row is not None else None


def all_clients(connection: Connection) -> Iterator[Client]:
    for row in connection.execute(select(oauth_client).order_by(oauth_client.c.id)):
        yield client_of(row)


def client_of(row: AnyRow) -> Client:
    body = json.loads(row.body)
    for name in ("grant_types", "redirect_uris"):
        body[name] = tuple(body[name])
    secret = bytes(row.secret) if row.secret is not None else None
    return Client(id=row.id, secret=secret, **body)


# keys


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    id: str
    public: str
    private: str | None
    expires: int | None


def keys(connection: Connection, *, now: int) -> list[KeyRow]:
    """Those that tokens may still be signed with, the newest first."""
    rows = connection.execute(
        select(oauth_key)
        .where(or_(oauth_key.c.expires.is_(None), oauth_key.c.expires > now))
        .order_by(oauth_key.c.created.desc(), oauth_key.c.id)
    )
    return [
        KeyRow(id=row.id, public=row.public, private=row.private, expires=row.expires)
        for row in rows
    ]


def add_key(
    transaction: Transaction, key_id: str, public: str, private: str, *, kept_milliseconds: int
) -> None:
    """The others sign no more, and are published for as long as their tokens may live."""
    now = transaction.now
    transaction.execute(
        delete(oauth_key).where(oauth_key.c.expires.is_not(None), oauth_key.c.expires <= now)
    )
    transaction.execute(
        update(oauth_key)
        .where(oauth_key.c.expires.is_(None))
        .values(private=None, expires=now + kept_milliseconds)
    )
    transaction.execute(
        insert(oauth_key).values(
            id=key_id, public=public, private=private, created=now, expires=None
        )
    )


# grants


def add_grant(transaction: Transaction, granted: Granted, *, expires: int) -> None:
    body = {
        "scope": granted.scope,
        "context": asdict(granted.context),
        "nonce": granted.nonce,
        "authenticated": granted.authenticated,
    }
    transaction.execute(
        insert(oauth_grant).values(
            id=granted.id,
            client=granted.client,
            account=granted.account,
            session=granted.session,
            body=json.dumps(body),
            created=transaction.now,
            expires=expires,
        )
    )


def extend_grant(transaction: Transaction, grant_id: str, *, expires: int) -> None:
    transaction.execute(
        update(oauth_grant)
        .where(oauth_grant.c.id == grant_id, oauth_grant.c.expires < expires)
        .values(expires=expires)
    )


def find_grant(connection: Connection, grant_id: str) -> Granted | None:
    """One that counts: nobody took it back, and the session that it ends with is there."""
    row = connection.execute(
        select(oauth_grant).where(oauth_grant.c.id == grant_id, oauth_grant.c.revoked.is_(False))
    ).first()
    return granted_of(row) if row is not None else None


def grants_of(connection: Connection, account: str, *, now: int) -> list[Granted]:
    rows = connection.execute(
        select(oauth_grant)
        .where(
            oauth_grant.c.account == account,
            oauth_grant.c.revoked.is_(False),
            oauth_grant.c.expires > now,
        )
        .order_by(oauth_grant.c.created.desc())
    )
    return [granted_of(row) for row in rows]


def granted_of(row: AnyRow) -> Granted:
    body = json.loads(row.body)
    context = body["context"]
    context["references"] = tuple(context["references"])
    return Granted(
        id=row.id,
        client=row.client,
        account=row.account,
        scope=body["scope"],
        context=LaunchContext(**context),
        nonce=body["nonce"],
        authenticated=body["authenticated"],
        session=bytes(row.session) if row.session is not None else None,
    )


def revoke_grants(transaction: Transaction, **of: object) -> None:
    """Those whose columns have these values: `id`, `client`, `account`, `session`."""
    wanted = [oauth_grant.c[name] == value for name, value in of.items()]
    transaction.execute(update(oauth_grant).where(*wanted).values(revoked=True))


# tickets


def add_ticket(transaction: Transaction, ticket: Ticket) -> None:
    transaction.execute(
        insert(oauth_ticket).values(
            digest=ticket.digest,
            kind=ticket.kind,
            grant_id=ticket.grant,
            body=json.dumps(ticket.body),
            expires=ticket.expires,
        )
    )


def look_at_ticket(connection: Connection, digest: bytes, kind: str, *, now: int) -> Ticket | Fault:
    row = connection.execute(
        select(oauth_ticket).where(oauth_ticket.c.digest == digest, oauth_ticket.c.kind == kind)
    ).first()
    if row is None:
        return Fault.UNKNOWN
    if row.used:
        return Fault.USED
    if row.expires <= now:
        return Fault.OVER
    return ticket_of(row)


def ticket_of(row: AnyRow) -> Ticket:
    return Ticket(
        digest=bytes(row.digest),
        kind=row.kind,
        grant=row.grant_id,
        body=json.loads(row.body),
        expires=row.expires,
    )


def use_ticket(transaction: Transaction, digest: bytes, kind: str) -> Ticket | Fault:
    """Once; whoever comes with it again ends all that came of it."""
    found = look_at_ticket(transaction.connection, digest, kind, now=transaction.now)
    if isinstance(found, Ticket):
        transaction.execute(
            update(oauth_ticket).where(oauth_ticket.c.digest == digest).values(used=True)
        )
    elif found is Fault.USED:
        end_family(transaction, digest)
    return found


def end_family(transaction: Transaction, digest: bytes) -> None:
    grant = family_of(transaction.connection, digest)
    if grant is not None:
        revoke_grants(transaction, id=grant)


def family_of(connection: Connection, digest: bytes) -> str | None:
    """The grant that a ticket is of, used or not."""
    found: str | None = connection.execute(
        select(oauth_ticket.c.grant_id).where(oauth_ticket.c.digest == digest)
    ).scalar()
    return found


# what is spent


def spend(transaction: Transaction, kind: str, id_: str, *, expires: int) -> bool:
    """False where it was spent before."""
    if is_spent(transaction.connection, kind, id_):
        return False
    transaction.execute(insert(oauth_spent).values(kind=kind, id=id_, expires=expires))
    return True


def is_spent(connection: Connection, kind: str, id_: str) -> bool:
    found = connection.execute(
        select(oauth_spent.c.id).where(oauth_spent.c.kind == kind, oauth_spent.c.id == id_)
    ).first()
    return found is not None


def forget_outdated(transaction: Transaction) -> None:
    for table in OUTDATED:
        transaction.execute(delete(table).where(table.c.expires <= transaction.now))
