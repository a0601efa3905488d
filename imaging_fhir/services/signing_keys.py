"""The keys of the built-in authorization server: made at the first start, rotated by a command.

They are in the database, which all processes share, encrypted by the secret of a file that only the
service can read: neither the database, or its backup, nor the file alone signs anything.
"""

import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.smart.access_token import Key
from imaging_fhir.smart.issued import (
    ACCESS_SECONDS,
    SigningKey,
    new_key,
    private_text,
    public_text,
    read_private,
    read_public,
)
from imaging_fhir.storage import authorization
from imaging_fhir.storage.authorization import KeyRow
from imaging_fhir.storage.database import Database, Transaction

FILE = "authorization.secret"  # in the data folder
KNOWN_SECONDS = 5.0  # so long a rotation by another process may go unseen
KEPT_MILLISECONDS = (ACCESS_SECONDS + 300) * 1000


@dataclass(slots=True)
class SigningKeys:
    database: Database
    file: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: list[KeyRow] = field(default_factory=list)
    known_until: float = 0.0
    opened: dict[str, SigningKey] = field(default_factory=dict)

    def rows(self) -> list[KeyRow]:
        with self.lock:
            if time.monotonic() >= self.known_until or not self.known:
                self.known = self.read()
                self.known_until = time.monotonic() + KNOWN_SECONDS
            return self.known

    def read(self) -> list[KeyRow]:
        with self.database.read() as connection:
            found = authorization.keys(connection, now=self.database.clock())
        if any(row.private for row in found):
            return found
        self.make(only_first=True)
        with self.database.read() as connection:
            return authorization.keys(connection, now=self.database.clock())

    def rotate(self) -> str:
        """A new key signs from now on; its id."""
        made = self.make()
        with self.lock:
            self.known_until = 0.0
        return made

    def make(self, *, only_first: bool = False) -> str:
        key, password = new_key(), secret_of_file(self.file)
        private, public, key_id = private_text(key, password), public_text(key), str(key.kid)

        def unit(transaction: Transaction) -> None:
            now, connection = transaction.now, transaction.connection
            if only_first and any(row.private for row in authorization.keys(connection, now=now)):
                return  # another process was faster
            authorization.add_key(
                transaction, key_id, public, private, kept_milliseconds=KEPT_MILLISECONDS
            )

        self.database.write(unit)
        return key_id

    def signing(self) -> SigningKey:
        """Raise InvalidSetting."""
        row = next(row for row in self.rows() if row.private)
        known = self.opened.get(row.id)
        if known is None:
            known = read_private(str(row.private), secret_of_file(self.file), row.id)
            self.opened = {row.id: known}
        return known

    def public(self) -> Sequence[Key]:
        return [read_public(row.public) for row in self.rows()]

    def jwks(self) -> dict[str, Any]:
        return {"keys": [json.loads(row.public) for row in self.rows()]}


def secret_of_file(path: Path) -> str:
    """Made, for its owner alone, where there is none; raise InvalidSetting."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_file(path)
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InvalidSetting(f"{path} can be read by others: make it 0600.")
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} cannot be read: {error}") from error
    if len(found) < 32:
        raise InvalidSetting(f"{path} has no secret of 32 characters or more.")
    return found


def make_file(path: Path) -> None:
    """As a whole or not at all, whoever else makes it meanwhile."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
