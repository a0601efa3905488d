"""The questions that are put to the EHR, in searches that it declares."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from imaging_fhir.ehr.authentication import authentication_of
from imaging_fhir.ehr.capability import Capability, capability_of
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.ehr.searchset import (
    has_identifier,
    is_id,
    is_of_patient,
    matches,
    next_query,
    require_no_error,
)
from imaging_fhir.ehr.transport import Reply, Transport
from imaging_fhir.errors import EhrUnavailable
from imaging_fhir.model.codec import Resource
from imaging_fhir.settings import Settings

COUNT = "100"  # some EHRs refuse more
MOST_PAGES = 20
MOST_CHANGES = 1000  # pages
CAPABILITY_SECONDS = 3600.0
ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\,|$"})
Parameters = list[tuple[str, str]]
logger = logging.getLogger(__name__)


class Ehr:
    """Every method raises EhrUnavailable where the EHR gives no answer that counts."""

    def __init__(
        self,
        base: str,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base = base.rstrip("/")
        self.transport = transport
        self.clock = clock
        self.lock = threading.Lock()
        self.known: Capability | None = None
        self.renew_at = 0.0
        self.forbidden: frozenset[str] = frozenset()  # types whose search was answered with 403

    def close(self) -> None:
        self.transport.close()

    def by_identifier(
        self, resource_type: str, system: str, value: str, deadline: Deadline
    ) -> list[Resource]:
        """Those that have exactly this identifier; nothing where the EHR has no such search."""
        if not self.offers(resource_type, deadline, "identifier"):
            return []
        number = f"{system.translate(ESCAPED)}|{value.translate(ESCAPED)}"
        return [
            found
            for found in self.search(resource_type, [("identifier", number)], deadline)
            if has_identifier(found, system, value)
        ]

    def encounters(
        self, patient_id: str, first_day: str, day_after_last: str, deadline: Deadline
    ) -> list[Resource]:
        """The visits of a patient that touch those days (YYYY-MM-DD)."""
        of_patient = self.patient_parameter(patient_id, deadline)
        if of_patient is None:
            return []
        parameters = [of_patient]
        if self.offers("Encounter", deadline, "date"):
            parameters += [("date", f"ge{first_day}"), ("date", f"lt{day_after_last}")]
        return [
            found
            for found in self.search("Encounter", [*parameters, ("_count", COUNT)], deadline)
            if is_of_patient(found, patient_id, self.base)
        ]

    def patient_parameter(self, patient_id: str, deadline: Deadline) -> tuple[str, str] | None:
        if self.offers("Encounter", deadline, "patient"):
            return ("patient", patient_id)
        if self.offers("Encounter", deadline, "subject"):
            return ("subject", f"Patient/{patient_id}")
        return None

    def changed(self, resource_type: str, since: str, deadline: Deadline) -> Iterator[Resource]:
        """What was written since that instant, page by page; none without such a search."""
        if self.offers(resource_type, deadline, "_lastUpdated"):
            parameters = [("_lastUpdated", f"ge{since}"), ("_count", COUNT)]
            yield from self.search(resource_type, parameters, deadline, pages=MOST_CHANGES)

    def read(self, resource_type: str, resource_id: str, deadline: Deadline) -> Resource | None:
        """None where the EHR has none of that id (404), or no more (410)."""
        reply = self.get(f"{self.base}/{resource_type}/{resource_id}", [], deadline)
        if reply.status in (404, 410):
            return None
        content = required(reply)
        if not isinstance(content, dict):
            raise EhrUnavailable("The EHR answered a read with what is no resource.")
        require_no_error(content)
        if content.get("resourceType") != resource_type or not is_id(content.get("id")):
            raise EhrUnavailable("The EHR answered a read with another resource.")
        return content

    def search(
        self,
        resource_type: str,
        parameters: Parameters,
        deadline: Deadline,
        *,
        pages: int = MOST_PAGES,
    ) -> Iterator[Resource]:
        """Along the links to next pages, each of which is asked for once."""
        address = f"{self.base}/{resource_type}"
        seen = set()
        for _ in range(pages):
            reply = self.get(address, parameters, deadline)
            if reply.status == 403 and resource_type != "Patient":
                self.forbid(resource_type)
                return
            content = required(reply)
            yield from matches(content, resource_type)
            following = next_query(content)
            if following is None:
                return
            path, parameters = following
            address = self.at_base(path)
            if (address, *parameters) in seen:
                raise EhrUnavailable("The EHR's pages lead in a circle.")
            seen.add((address, *parameters))
        raise EhrUnavailable(f"The EHR answered a search with more than {pages} pages.")

    def at_base(self, path: str) -> str:
        """A page's address on the host that was asked: a proxy's EHR often names itself wrong."""
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}/{path.lstrip('/')}"

    def forbid(self, resource_type: str) -> None:
        """It declares the search, and refuses us: it counts as not offered for a while."""
        logger.warning("The EHR refuses us to search for %s (403).", resource_type)
        self.forbidden |= {resource_type}

    def offers(self, resource_type: str, deadline: Deadline, *parameters: str) -> bool:
        """Raise EhrUnavailable where it does not say, or has no Patients to be found."""
        declared = self.capability(deadline).declares(resource_type, *parameters)
        if not declared and (resource_type, *parameters) == ("Patient", "identifier"):
            raise EhrUnavailable("The EHR declares no search for Patient by identifier.")
        return declared and resource_type not in self.forbidden

    def capability(self, deadline: Deadline) -> Capability:
        """Read once and renewed; while that fails, what it said before counts."""
        with self.lock:
            known = self.known
            if known is not None and self.clock() < self.renew_at:
                return known
            self.renew_at = self.clock() + CAPABILITY_SECONDS / 60  # others use the known one
        try:
            found = capability_of(required(self.get(f"{self.base}/metadata", [], deadline)))
        except EhrUnavailable:
            if known is None:
                raise
            return known
        if found is None:
            raise EhrUnavailable("The EHR's /metadata is no CapabilityStatement.")
        with self.lock:
            self.known, self.renew_at = found, self.clock() + CAPABILITY_SECONDS
            self.forbidden = frozenset()
        return found

    def get(self, address: str, parameters: Parameters, deadline: Deadline) -> Reply:
        return self.transport.get(address, parameters, deadline)


def required(reply: Reply) -> object:
    """The content of a 200; raise EhrUnavailable."""
    if reply.status in (401, 403):
        raise EhrUnavailable(f"The EHR refuses us ({reply.status}).")
    if reply.status != 200:
        raise EhrUnavailable(f"The EHR answered with {reply.status}.")
    found: object = reply.json()
    return found


def open_ehr(settings: Settings) -> Ehr | None:
    """None where no EHR is configured; raise InvalidSetting."""
    if not settings.ehr_url:
        return None
    transport = Transport()
    ehr = Ehr(settings.ehr_url, transport)
    transport.authentication = authentication_of(settings, transport.fetch, ehr.base)
    return ehr
