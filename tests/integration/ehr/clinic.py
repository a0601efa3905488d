"""A whole service without its doors, with an odd EHR as master."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.link import Given
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import DEFAULT_SOURCE, Settings
from imaging_fhir.storage import ehr as known_of_ehr
from imaging_fhir.storage import resources
from tests.dicom_samples import ROOT, ct_instance
from tests.house import HOSPITAL, ORDERS, VISITS, issued_by
from tests.odd_ehr import OddEhr

JANE: dict[str, Any] = {
    "name": [{"family": "Roe", "given": ["Jane"]}],
    "birthDate": "1975-03-14",
    "gender": "female",
}


@dataclass
class Clinic:
    services: Services
    ehr: OddEhr

    def send(self, content: bytes, **given: str | None) -> Outcome:
        return self.services.ingest.ingest([content], source=DEFAULT_SOURCE, given=Given(**given))

    def read(self, reference: str | None) -> Resource:
        type_, _, id_ = (reference or "").partition("/")
        found: Resource = decode(self.services.resources.read(type_, id_)[1])
        return found

    def subject(self, reference: str | None) -> str | None:
        found = self.read(reference).get("subject", {}).get("reference")
        return None if found is None else str(found)

    def versions(self, reference: str) -> int:
        type_, _, id_ = reference.partition("/")
        with self.services.database.read() as connection:
            return resources.read(connection, type_, id_).version

    def pending(self) -> dict[str, int]:
        with self.services.database.read() as connection:
            return known_of_ehr.pending(connection)

    def tasks(self, code: str) -> list[Resource]:
        """The open ones of that code."""
        found = self.services.search.search(
            "Task", [("code", code), ("status", "requested"), ("_count", "1000")], LOCAL
        )
        return [one["resource"] for one in decode(found).get("entry", [])]

    def forget(self) -> None:
        """As if the answers' time were over."""
        look_up = self.look_up
        look_up.hit_seconds = look_up.miss_seconds = 0.001
        look_up.cache.cache.close()
        look_up.cache.cache = type(look_up.cache.cache)()

    @property
    def look_up(self) -> Any:
        assert self.services.ehr is not None
        return self.services.ehr.look_up

    def work(self, *, after: int = 0) -> int:
        """One run of the background work, as if so many milliseconds had passed."""
        assert self.services.ehr is not None
        database = self.services.database
        clock = database.clock
        database.clock = lambda: clock() + after
        try:
            return self.services.ehr.pending.run()
        finally:
            database.clock = clock


def open_clinic(database_url: str, folder: Path, ehr: OddEhr, **settings: Any) -> Clinic:
    given = {"ehr_timeout": 10.0, "ehr_miss_seconds": 1, "min_free_bytes": 1, **settings}
    return Clinic(
        build_services(
            Settings(
                database_url=database_url,
                data_dir=folder,
                ehr_url=ehr.base,
                time_zone="Europe/Berlin",
                **given,
            )
        ),
        ehr,
    )


def ct(number: int = 1, **attributes: Any) -> bytes:
    """Jane Roe's CT of 14 March 2026, 10:15, with a number that the hospital issued."""
    study = f"{ROOT}.{number}"
    return ct_instance(
        **{
            "StudyInstanceUID": study,
            "SeriesInstanceUID": f"{study}.1",
            "SOPInstanceUID": f"{study}.1.1",
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            "AccessionNumber": None,
            **attributes,
        }
    )


def visit(id_: str, patient: str, *numbers: str, **more: Any) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": VISITS, "value": number} for number in numbers],
        "period": {"start": "2026-03-14T08:00:00+01:00", "end": "2026-03-14T12:00:00+01:00"},
        **more,
    }


def order(id_: str, patient: str, number: str, **more: Any) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": ORDERS, "value": number}],
        **more,
    }
