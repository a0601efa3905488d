"""Changes from the outbox become events of the subscriptions that they fulfil.

A change is judged by the search itself, on the resource as it is by then, through what the
creator of the subscription may see. What a subscription is told keeps the order of the changes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from imaging_fhir.errors import InvalidResource, SearchTooCostly
from imaging_fhir.fhir.subscription import Wanted
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.change import Change, told
from imaging_fhir.model.codec import decode, decode_as
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.subscriptions import Subscriptions
from imaging_fhir.storage import outbox, search, subscriptions
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction

LONGEST_SETTLING = 12  # times as long as a study that still grows is waited for
Matches = dict[int, list[AnyRow]]  # changes by the rid of the subscription, in their order
logger = logging.getLogger(__name__)


class Overtaken(Exception):
    """A subscription was written meanwhile: it is to be judged by what it asks now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifying:
    database: Database
    subscriptions: Subscriptions
    access: AccessPolicy
    settle_milliseconds: int
    search_seconds: float

    def work(self) -> bool:
        """Deal with some changes; False where there are none."""
        with self.database.read() as connection:
            rows = outbox.ripe(
                connection,
                now=self.database.clock(),
                settle=self.settle_milliseconds,
                longest=self.settle_milliseconds * LONGEST_SETTLING,
            )
            if not rows:
                return False
            subscribed = subscriptions.listed(connection, watching=True)
            matches = {one.rid: self.matched(connection, one, rows) for one in subscribed}
        try:
            self.database.write(lambda transaction: tell(transaction, rows, subscribed, matches))
        except Overtaken:
            return True  # all of it once more
        return True

    def matched(
        self, connection: Connection, subscribed: AnyRow, rows: Sequence[AnyRow]
    ) -> list[AnyRow]:
        """The changes that this subscription is to hear of."""
        try:
            asked = self.subscriptions.wanted(decode(subscribed.body))
            candidates = [row for row in rows if is_about(asked, row, since=subscribed.since)]
            if not candidates:
                return []
            query = self.subscriptions.whole_query(asked)
        except InvalidResource:
            logger.warning("Subscription/%s cannot be read any more", subscribed.id)
            return []
        restrictions = self.access.restrictions(decode_as(Caller, subscribed.caller))
        rids = sorted({row.rid for row in candidates})
        try:
            with search.limited(connection, self.search_seconds):
                found = search.matching(connection, query, rids, restrictions=restrictions)
        except SearchTooCostly:
            logger.warning("Subscription/%s takes too long to judge", subscribed.id)
            raise
        return [row for row in candidates if row.rid in found]


def is_about(asked: Wanted, row: AnyRow, *, since: int) -> bool:
    changes = told(row.changes)
    return bool(row.type == asked.resource_type and changes & asked.changes and row.last > since)


def tell(
    transaction: Transaction,
    rows: Sequence[AnyRow],
    subscribed: Sequence[AnyRow],
    matches: Matches,
) -> None:
    """Events instead of the changes, those that no other process has dealt with; raise Overtaken.

    A change that was added to meanwhile waits for its next turn.
    """
    today = subscriptions.listed(transaction.connection, watching=True)
    versions = {one.rid: one.version for one in today}
    if any(versions.get(one.rid, one.version) != one.version for one in subscribed):
        raise Overtaken
    taken = outbox.take(transaction, rows)
    for rid, changes in matches.items():
        for row in changes:
            if row.pk in taken and rid in versions:
                is_new = bool(row.changes & Change.CREATED)
                subscriptions.add_event(transaction, rid, row, is_new=is_new)
