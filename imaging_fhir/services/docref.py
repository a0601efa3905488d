"""A patient's documents for those who ask by US Core or IPA (DocumentReference/$docref).

https://hl7.org/fhir/us/core/STU7/OperationDefinition-docref.html
"""

from datetime import UTC

from imaging_fhir.fhir.bundle import Found, searchset
from imaging_fhir.fhir.parameters import Given, refused, text, texts, truth
from imaging_fhir.fhir.primitives import CHECKS
from imaging_fhir.fhir.search_limits import TooManyCriteria
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.search import Restrictions
from imaging_fhir.services.everything import (
    Period,
    after_of,
    care_dates,
    count_of,
    page_links,
    period_of,
)
from imaging_fhir.services.search import Search
from imaging_fhir.storage import compartment, search
from imaging_fhir.storage.compartment import CompartmentQuery
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.same_person import same_person

TYPE = "DocumentReference"
ADDRESS = f"{TYPE}/$docref"
MOST_TYPES = 50  # each is searched for by itself
SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\,$"})


class DocRef:
    def __init__(self, search: Search) -> None:
        self.search = search
        self.resources = search.resources

    def docref(self, given: Given, caller: Caller, *, within: Connection | None = None) -> bytes:
        """A searchset, empty where nothing is known of the patient; raise InvalidRequest."""
        patient = patient_of(given)
        period = period_of(given, self.resources.zone or UTC)
        self.search.access.require_patient(caller, patient, "rs")
        restrictions = self.search.access.restrictions(caller)
        has_more = False
        with (
            self.resources.database.read(within) as connection,
            search.limited(connection, self.search.settings.search_seconds),
        ):
            if truth(given, "on-demand"):
                rows: list[StoredResource] = []
            elif period is None:
                rows = self.latest(connection, patient, given, restrictions)
            else:
                rows, has_more = self.of_period(connection, patient, period, given, restrictions)
            found = [
                Found(reference=one.reference, body=self.resources.body(connection, one))
                for one in rows
            ]
        links = page_links(ADDRESS, given, rows[-1].rid if has_more else None)
        return b"".join(searchset(found, base=BASE_PLACEHOLDER, links=links))

    def latest(
        self, connection: Connection, patient: str, given: Given, restrictions: Restrictions
    ) -> list[StoredResource]:
        """The newest document, or where types are named the newest of each."""
        found: dict[int, StoredResource] = {}
        types = [[one] for one in texts(given, "type")]
        if len(types) > MOST_TYPES:
            raise TooManyCriteria(
                f"type may be there at most {MOST_TYPES} times where no dates are.",
                expression="http.type",
            )
        for listed in types or [[]]:
            parameters = [
                ("patient", f"Patient/{patient}"),
                *criteria(given, listed),
                ("_sort", "-date"),
                ("_count", "1"),
            ]
            query = self.search.parsed(TYPE, parameters, strict=True)
            page = search.search(connection, query, restrictions=restrictions)
            found |= {one.rid: one for one in page.matches}
        return list(found.values())

    def of_period(
        self,
        connection: Connection,
        patient: str,
        period: Period,
        given: Given,
        restrictions: Restrictions,
    ) -> tuple[list[StoredResource], bool]:
        parsed = self.search.parsed(TYPE, criteria(given, texts(given, "type")), strict=True)
        query = CompartmentQuery(
            owner_type="Patient",
            owner_ids=tuple(same_person(connection, [patient])[patient]),
            members={TYPE: "patient"},
            count=count_of(given, self.search.settings),
            after=after_of(given) or 0,
            period=period,
            dates={TYPE: care_dates(TYPE)},
            criteria=parsed.criteria,
        )
        return compartment.members(connection, query, restrictions)


def patient_of(given: Given) -> str:
    """Its id; raise InvalidRequest rather than search without it."""
    said = (text(given, "patient") or "").removeprefix("Patient/")
    if CHECKS["id"](said):
        raise refused("patient", "it must be the id of a Patient")
    return said


def criteria(given: Given, types: list[str]) -> list[tuple[str, str]]:
    """Current documents of one of the types, and of one of the profiles."""
    listed = {"type": types, "_profile": texts(given, "profile")}
    alternatives = [
        (name, ",".join(one.translate(SPECIAL) for one in values))
        for name, values in listed.items()
        if values
    ]
    return [("status", "current"), *alternatives]
