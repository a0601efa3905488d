"""Addresses in what is served and in what is sent: ours, and those of the EHR that is the master.

Stored are neither: our own have a placeholder, references to what is copied from the EHR are
`Type/id`. So both can change without a rewrite, and searches need know one form only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from imaging_fhir.model.codec import with_base
from imaging_fhir.model.link import Given
from imaging_fhir.model.reference import COPIED, ID, at_home
from imaging_fhir.storage import ehr
from imaging_fhir.storage.database import Database


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """`ehr_base` is empty where there is no EHR; `absolute` is a setting (docs/ehr.md)."""

    database: Database
    base: str
    ehr_base: str = ""
    absolute: bool = False

    def served(self, body: bytes) -> bytes:
        """Stored bytes as clients read them."""
        body = with_base(body, self.base)
        return self.with_ehr(body) if self.absolute and self.ehr_base else body

    def at_home(self, text: str) -> str:
        """A reference that was sent, as it is stored."""
        return at_home(text.removeprefix(f"{self.base}/"), self.ehr_base)

    def given(self, said: Mapping[str, str | None]) -> Given:
        """What a sender says beside a file, references as they are stored."""
        return Given(
            **{
                name: self.at_home(text) if text and name in ("patient", "encounter") else text
                for name, text in said.items()
            }
        )

    def with_ehr(self, body: bytes) -> bytes:
        """References and `fullUrl`s of what is the EHR's lead there.

        What was made here leads here, and so does a reference to a version: the EHR's are others.
        In JSON a quotation mark inside of a text is escaped: nothing else looks like that.
        """
        named = {(found[2], found[3]) for found in self.pattern.finditer(body)}
        if not named:
            return body
        with self.database.read() as connection:
            own = ehr.made_here(connection, {(one.decode(), id_.decode()) for one, id_ in named})
        ours = {(type_.encode(), id_.encode()) for type_, id_ in own}
        base = self.ehr_base.encode()

        def change(found: re.Match[bytes]) -> bytes:
            if (found[2], found[3]) in ours:
                return found[0]
            return b'"%s":"%s/%s/%s"' % (found[1], base, found[2], found[3])

        return self.pattern.sub(change, body)

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        types = "|".join(COPIED)
        prefix = re.escape(f"{self.base}/")
        return re.compile(rf'"(reference|fullUrl)":"(?:{prefix})?({types})/({ID})"'.encode())
