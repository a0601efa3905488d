"""Another site file at the next start: what it changes is matched again, and nothing else moves."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from imaging_fhir.policy import Policy, Tolerance
from imaging_fhir.services.composition import build_services
from imaging_fhir.services.policy_change import DOCUMENTS, OF_ANOTHER_SITE, STUDIES, PolicyChange
from imaging_fhir.settings import Settings
from imaging_fhir.storage import jobs
from imaging_fhir.storage.schema import job
from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, House, issued_by, open_house
from tests.samples import SAMPLES

JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14"}
OTHER = "urn:oid:1.2.4"
Start = Callable[..., House]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """The service with a policy, in place of the one that ran before; background work is done."""
    opened: list[House] = []

    def start_it(**policy: Any) -> House:
        house = open_house(database_url, tmp_path, policy=Policy(**policy))
        opened.append(house)
        run(change_of(house))
        return house

    yield start_it
    for house in opened:
        house.close()


def change_of(house: House) -> PolicyChange:
    return PolicyChange(
        database=house.database,
        relinking=house.relinking,
        fingerprint=house.relinking.studies.linking.site.fingerprint,
    )


def run(change: PolicyChange) -> int:
    """Notice, and do all that follows; how many jobs that took."""
    change.database.write(change.notice)
    done = 0
    while found := pending(change):
        pk, kind, subject = found
        assert change.jobs()[kind](int(subject)) is None
        change.database.write(partial(jobs.finish, pk=pk, attempts=0))
        done += 1
    return done


def pending(change: PolicyChange) -> tuple[int, str, str] | None:
    with change.database.read() as connection:
        row = connection.execute(select(job).where(job.c.kind.in_(change.jobs()))).first()
    return None if row is None else (row.pk, row.kind, row.subject)


def ct(study: int = 1, **attributes: Any) -> bytes:
    uid = f"1.2.{study}"
    return ct_instance(
        **{
            "StudyInstanceUID": uid,
            "SeriesInstanceUID": f"{uid}.1",
            "SOPInstanceUID": f"{uid}.1.1",
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            **attributes,
        }
    )


def test_the_first_start_and_the_same_file_change_nothing(start: Start) -> None:
    house = start()
    house.send(ct())
    assert run(change_of(house)) == 0


def test_what_was_held_for_a_rule_that_was_off_is_filed(start: Start) -> None:
    house = start(off=frozenset({"patient-identifier"}))
    house.patient("jane", "4711", **JANE)
    held = house.send(ct())
    assert held.status == 202
    house = start()
    assert house.subject("ImagingStudy/1.2.1") == "Patient/jane"
    assert house.read(held.location)["status"] == "completed"


def test_what_was_held_for_a_rule_that_was_off_gets_its_provisional_patient(start: Start) -> None:
    house = start(off=frozenset({"provisional-identifier", "provisional-alone"}))
    held = [house.send(ct()), house.send(ct(2, PatientID="0"))]
    assert [one.status for one in held] == [202, 202]
    house = start()
    subjects = [house.subject(f"ImagingStudy/1.2.{study}") for study in (1, 2)]
    assert all(one and one.startswith("Patient/provisional-") for one in subjects)
    assert house.read(subjects[0])["identifier"][0]["value"] == "4711"
    assert "identifier" not in house.read(subjects[1])


def test_a_document_of_a_sender_who_is_trusted_now_is_filed(start: Start) -> None:
    house = start(trusted_sources=frozenset())
    house.patient("jane", "4711", **JANE)
    held = house.send(SAMPLES["image/jpeg"](), patient="Patient/jane")
    assert held.status == 202
    house = start()
    assert house.read(held.location)["status"] == "completed"
    assert house.send(SAMPLES["image/jpeg"](), patient="Patient/jane").status == 200


def test_a_task_says_the_rule_that_holds_now(start: Start) -> None:
    house = start(trusted_sources=frozenset())
    house.patient("jane", "4711", **JANE)
    photo = house.send(SAMPLES["image/jpeg"](), patient="Patient/jane")
    study = house.send(ct(PatientID="0"), patient="Patient/jane")
    house = start(off=frozenset({"given-patient"}))
    for task in (photo.location, study.location):
        assert house.read(task)["reasonCode"]["coding"][0]["code"] == "switched-off"
        assert house.read(task)["status"] == "requested"


def test_a_provisional_patient_gives_way_when_the_issuer_is_trusted(start: Start) -> None:
    house = start(trusted_issuers=frozenset({OTHER}))
    house.patient("jane", "4711", **JANE)
    provisional = house.send(ct())
    assert provisional.filed is not None
    house = start()
    assert house.subject("ImagingStudy/1.2.1") == "Patient/jane"
    replaced = house.read(provisional.filed.patient)["link"]
    assert replaced == [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]


def test_a_visit_is_found_when_it_may_be_near(start: Start) -> None:
    house = start()
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", "2026-03-14T11:00:00+01:00", "2026-03-14T12:00:00+01:00")
    house.send(ct())
    assert "encounter" not in house.read("ImagingStudy/1.2.1")
    house = start(tolerance=Tolerance(before_admission=60))
    assert house.read("ImagingStudy/1.2.1")["encounter"]["reference"] == "Encounter/visit"
    house = start()
    assert "encounter" not in house.read("ImagingStudy/1.2.1")


def test_an_image_that_is_filed_stays_with_its_patient_and_asks_for_no_review(
    start: Start,
) -> None:
    house = start()
    house.patient("jane", "4711", **JANE)
    house.send(ct())
    before = house.read("ImagingStudy/1.2.1")
    house = start(off=frozenset({"patient-identifier"}), trusted_issuers=frozenset({OTHER}))
    assert house.read("ImagingStudy/1.2.1") == before
    with house.database.read() as connection:
        tasks = connection.exec_driver_sql(
            "SELECT count(*) FROM resource WHERE type = 'Task'"
        ).scalar()
    assert tasks == 0


def test_it_is_done_in_batches_that_each_leave_a_job_for_the_next(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = start(off=frozenset({"patient-identifier"}))
    house.patient("jane", "4711", **JANE)
    for study in range(1, 6):
        house.send(ct(study))
    monkeypatch.setattr("imaging_fhir.services.policy_change.AT_ONCE", 2)
    monkeypatch.setattr("imaging_fhir.services.policy_change.WRITTEN", 1)
    house = start()
    assert {house.subject(f"ImagingStudy/1.2.{study}") for study in range(1, 6)} == {"Patient/jane"}


def test_a_service_that_still_has_the_old_file_leaves_it_to_the_others(
    start: Start, tmp_path: Path
) -> None:
    old = start(off=frozenset({"patient-identifier"}))
    old.patient("jane", "4711", **JANE)
    held = old.send(ct())
    url = old.database.engine.url.render_as_string(hide_password=False)
    new = open_house(url, tmp_path)
    new.database.write(change_of(new).notice)
    new.close()
    assert change_of(old).jobs()[STUDIES](0) == OF_ANOTHER_SITE
    assert old.read(held.location)["status"] == "requested"


def test_a_service_notices_at_its_start(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    settings = Settings(database_url=database_url, data_dir=tmp_path, site_file=str(path))
    for off, expected in (("", 0), ("", 0), ("period", 2)):
        path.write_text(f"[linking]\noff = [{off and repr(off)}]\n")
        services = build_services(settings)
        services.background.worker()
        with services.database.read() as connection:
            kinds = connection.execute(select(job.c.kind)).scalars().all()
        services.close()
        assert len({STUDIES, DOCUMENTS} & set(kinds)) == expected
