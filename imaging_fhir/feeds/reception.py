"""Who is let in: an association is judged before it is served.

Who calls is told by the AE title together with the address or the client certificate that the
site file lists for it; a title alone proves nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imaging_fhir.feeds.association import Association
from imaging_fhir.feeds.negotiation import (
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    Rejection,
    Request,
    rejection_of,
    request_of,
)
from imaging_fhir.feeds.storage import Sender, Storage
from imaging_fhir.feeds.upper_layer import Connection, ProtocolError
from imaging_fhir.services.metrics import ASSOCIATIONS
from imaging_fhir.settings import DEFAULT_SOURCE, Settings, Site

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """`names`: those of its client certificate, which is a valid one."""

    address: str
    names: frozenset[str] = frozenset()


class Reception:
    def __init__(
        self, settings: Settings, site: Site, storage: Storage, *, is_over: Callable[[], bool]
    ) -> None:
        self.settings = settings
        self.site = site
        self.storage = storage
        self.is_over = is_over
        self.room = threading.BoundedSemaphore(settings.dimse_associations)

    def receive(
        self, connection: Connection, peer: Peer, served: Callable[[Association], object]
    ) -> None:
        """All that is said on a connection; `served` hears of an association that is let in."""
        try:
            request = request_of(connection.receive())
        except ProtocolError as error:
            ASSOCIATIONS.labels("malformed").inc()
            logger.info("association malformed: %s", error, extra={"address": peer.address})
            connection.abort(error.reason)
            connection.linger()
            return
        connection.seconds = self.settings.dimse_timeout
        sender = self.sender(request, peer)
        rejection = rejection_of(request, self.settings.dimse_titles)
        if rejection is not None or sender is None:
            rejection = rejection or CALLING_AE_TITLE_NOT_RECOGNIZED
        elif self.room.acquire(blocking=False):
            try:
                self.serve(Association(connection, self.storage, sender), request, served)
            finally:
                self.room.release()
            return
        self.reject(connection, request, peer, rejection or LOCAL_LIMIT_EXCEEDED)

    def sender(self, request: Request, peer: Peer) -> Sender | None:
        """None where nobody is known by that title and address or certificate."""
        title = request.calling_ae_title
        source = self.site.source_of_ae(title, peer.address, peer.names)
        if source is None and self.settings.dimse_callers == "any":
            source = DEFAULT_SOURCE
        return None if source is None else Sender(ae_title=title, source=source)

    def serve(
        self, association: Association, request: Request, served: Callable[[Association], object]
    ) -> None:
        began = time.monotonic()
        ASSOCIATIONS.labels("accepted").inc()
        ending = "lost"
        try:
            served(association)
            association.accept(request)
            ending = association.serve(is_over=self.is_over)
        finally:
            facts = {
                "source": association.sender.source.id,
                "answered": association.answered,
                "seconds": round(time.monotonic() - began, 1),
            }
            logger.info("association %s", ending, extra=facts)

    def reject(
        self, connection: Connection, request: Request, peer: Peer, rejection: Rejection
    ) -> None:
        ASSOCIATIONS.labels("rejected").inc()
        facts = {
            "address": peer.address,
            "calling": request.calling_ae_title,
            "called": request.called_ae_title,
        }
        logger.warning("association rejected: %s", rejection.words, extra=facts)
        connection.send_encoded(rejection.pdu())
        connection.linger()
