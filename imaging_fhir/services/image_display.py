"""Which studies a viewer is asked to show (IHE RAD TF-2, 4.106 Invoke Image Display)."""

from collections.abc import Sequence
from dataclasses import dataclass

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.chart_image import shown_id, study_row
from imaging_fhir.services.search import Search
from imaging_fhir.settings import Site
from imaging_fhir.storage.compartment import find_visible
from imaging_fhir.storage.database import AnyRow, Connection, Database
from imaging_fhir.storage.people import resolve_patient

STUDY = "ImagingStudy"
MOST_STUDIES = 20  # that are shown together
ACCESSION = "http://terminology.hl7.org/CodeSystem/v2-0203|ACSN"


@dataclass(frozen=True, slots=True)
class Shown:
    """Studies of one Patient, by their StudyInstanceUID."""

    patient: str
    studies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageDisplay:
    database: Database
    search: Search
    site: Site

    def studies(self, uids: Sequence[str], caller: Caller) -> Shown:
        """Those of the UIDs, or of the ids that they have as ImagingStudy.

        Raise InvalidRequest for none, for too many and for those of several Patients: nobody is
        to be shown one person's images beside another's. Raise ResourceNotFound, ResourceDeleted.
        """
        if not 0 < len(uids) <= MOST_STUDIES:
            raise InvalidRequest(f"One to {MOST_STUDIES} studies can be shown together.")
        with self.database.read() as connection:
            rows = [self.row(connection, uid, caller) for uid in dict.fromkeys(uids)]
            people = {row.patient: resolve_patient(connection, row.patient) for row in rows}
        patients = {person["id"] if person else one for one, person in people.items()}
        if len(patients) > 1:
            raise InvalidRequest("The studies are those of several patients.")
        return Shown(patients.pop(), tuple(row.study_instance_uid for row in rows))

    def row(self, connection: Connection, uid: str, caller: Caller) -> AnyRow:
        """Of a study that is open to the caller; raise ResourceNotFound, ResourceDeleted."""
        restrictions = self.search.access.restrictions(caller, "r")
        if not restrictions:
            return study_row(connection, uid)
        id_ = shown_id(connection, uid)
        if find_visible(connection, STUDY, id_, restrictions) is None:
            raise ResourceNotFound(f"{STUDY}/{uid} is not known.")
        return study_row(connection, uid)

    def with_accession_numbers(self, numbers: Sequence[str], caller: Caller) -> Shown:
        """Raise as `studies` does; a number may stand for several studies of one Patient."""
        asked = ",".join(f"{ACCESSION}|{escaped(number)}" for number in numbers)
        found = self.found("ImagingStudy", [("identifier:of-type", asked)], caller)
        if not found:
            raise ResourceNotFound("No study has that accession number.")
        return self.studies([study["id"] for study in found], caller)

    def patient(self, number: str, birth_date: str, caller: Caller) -> str:
        """Id of the one Patient of that PatientID, as HL7 v2 CX writes it (`id^^^authority`).

        A bare number, which several may have, is taken where just one has. Raise InvalidRequest
        where it means several, and where the birth date (YYYYMMDD) is another than is known.
        """
        found = self.found("Patient", [("identifier", self.token(number))], caller)
        with self.database.read() as connection:
            today = [resolve_patient(connection, patient["id"]) or patient for patient in found]
        people = {patient["id"]: patient for patient in today}
        if not people:
            raise ResourceNotFound("No patient has that number.")
        if len(people) > 1:
            raise InvalidRequest(
                "Several patients have that number: name its assigning authority, "
                "as in patientID=123^^^HOSPITAL."
            )
        [patient] = people.values()
        known = patient.get("birthDate", "").replace("-", "")
        if birth_date and known and not birth_date.startswith(known):
            raise InvalidRequest("The patient of that number has another birth date.")
        return str(patient["id"])

    def token(self, number: str) -> str:
        """`system|value` of a CX, or `value` alone; raise ResourceNotFound."""
        value, *rest = number.split("^")
        authority = rest[2] if len(rest) > 2 else ""
        if not authority:
            return escaped(value)
        name, *universal = authority.split("&")
        if len(universal) > 1 and universal[1] == "ISO":
            return f"{escaped(f'urn:oid:{universal[0]}')}|{escaped(value)}"
        system = self.site.issuers.get(name)
        if system is None:
            raise ResourceNotFound("The site file maps no system to that assigning authority.")
        return f"{escaped(system)}|{escaped(value)}"

    def found(
        self, resource_type: str, asked: list[tuple[str, str]], caller: Caller
    ) -> list[Resource]:
        """What the caller may find; no more than can be shown and one."""
        parameters = [*asked, ("_count", str(MOST_STUDIES + 1))]
        bundle = decode(self.search.search(resource_type, parameters, caller, strict=True))
        return [entry["resource"] for entry in bundle.get("entry", ())]


def escaped(value: str) -> str:
    """As the value of a search parameter (search.html, 3.1.1.5.7)."""
    for special in "\\$,|":
        value = value.replace(special, f"\\{special}")
    return value
