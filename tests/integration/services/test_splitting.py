"""A study that holds two people's images is split, and may be put together again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.errors import ImagingError, InvalidResource, ResourceConflict, VersionConflict
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.correction import Corrected
from imaging_fhir.model.link import Decision
from imaging_fhir.services.check import Check
from imaging_fhir.services.composition import new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.services.merging import Merging
from imaging_fhir.services.splitting import Part, Splitting
from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, House, build_house, issued_by

STUDY = "1.2.9"
REST = f"ImagingStudy/{STUDY}"
JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14", "gender": "female"}
HERS = ("1.2.9.1.1", "1.2.9.1.2")  # series 1
HIS = ("1.2.9.2.1", "1.2.9.2.2")  # series 2, taken under her name


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """At the end of each test all that is said twice must agree."""
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711", **JANE)
    house.patient("john", "9", name=[{"family": "Doe"}], gender="male")
    house.patient("joan", "5", name=[{"family": "Roe"}])
    for uid in (*HERS, *HIS):
        assert send(house, uid).status == 201
    yield house
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run(deep=True)]
    of_house = ("dangling-reference", "orphan-bytes")  # it has no Endpoint, and no clean-up
    assert [one for one in found if one[0] not in of_house] == []
    house.close()


@pytest.fixture
def corrections(house: House) -> Corrections:
    return Corrections(house.database, house.relinking, new_id=new_id)


@pytest.fixture
def splitting(corrections: Corrections) -> Splitting:
    return Splitting(corrections=corrections)


def send(house: House, uid: str, **attributes: Any) -> Outcome:
    """An instance whose UID says in which series it is."""
    return house.send(image(uid, **attributes))


def image(uid: str, **attributes: Any) -> bytes:
    series = uid.rpartition(".")[0]
    return ct_instance(
        **{
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": series,
            "SeriesNumber": series.rpartition(".")[2],
            "SOPInstanceUID": uid,
            "InstanceNumber": uid.rpartition(".")[2],
            **attributes,
        }
    )


def split(
    splitting: Splitting,
    *series: str,
    instances: tuple[str, ...] = (),
    patient: str = "john",
    if_match: str | None = None,
) -> Corrected:
    return splitting.split(
        REST,
        Part(series=series, instances=instances),
        Decision(patient=f"Patient/{patient}"),
        reason="Two were examined one after the other.",
        caller=LOCAL,
        if_match=if_match,
    )


def undo(by: Splitting | Corrections | Merging, done: Corrected) -> Corrected:
    provenance_id = (done.provenance or "").partition("/")[2]
    return by.database.write(lambda one: by.undo(one, provenance_id, None, LOCAL))


def instances(house: House, reference: str) -> list[str]:
    found = house.read(reference)
    uids = [one["uid"] for series in found["series"] for one in series["instance"]]
    assert found["numberOfInstances"] == len(uids)
    assert found["numberOfSeries"] == len(found["series"])
    for series in found["series"]:
        assert series["numberOfInstances"] == len(series["instance"])
    return uids


def test_a_series_becomes_another_patients_study_with_uids_of_its_own(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, "1.2.9.2")
    part = house.read(done.result)
    assert part["subject"]["reference"] == "Patient/john"
    assert part["identifier"][0]["value"] == f"urn:oid:{part['id']}"
    uids = [part["id"], part["series"][0]["uid"], *instances(house, done.result)]
    assert len(set(uids)) == 4
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    assert part["series"][0]["number"] == 2
    assert house.subject(REST) == "Patient/jane"
    assert instances(house, REST) == list(HERS)
    before = house.versions(REST)[1]
    assert before["numberOfInstances"] == 4
    told = house.read(done.provenance)
    assert told["target"] == [{"reference": done.result}, {"reference": REST}]
    assert told["activity"]["coding"][0]["code"] == "split"
    assert told["entity"][0]["what"]["reference"].startswith(f"{REST}/_history/")


def test_what_comes_later_of_the_series_follows_it_and_a_resend_is_known(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, "1.2.9.2")
    again = send(house, HIS[0])
    assert (again.status, again.location) == (200, done.result)
    later = send(house, "1.2.9.2.3")
    assert (later.status, later.location) == (201, done.result)
    again = send(house, "1.2.9.2.3")
    assert (again.status, again.location) == (200, done.result)
    hers = send(house, "1.2.9.1.3")
    assert (hers.status, hers.location) == (201, REST)
    assert len(instances(house, done.result)) == 3
    assert instances(house, REST) == [*HERS, "1.2.9.1.3"]


def test_what_comes_later_naming_the_other_patient_follows_too(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, "1.2.9.2")
    attributes = {"PatientID": "9", "PatientName": "Doe", "PatientSex": "M", "PatientBirthDate": ""}
    later = send(house, "1.2.9.2.3", **attributes)
    assert (later.status, later.location) == (201, done.result)


def test_what_comes_later_naming_a_third_person_is_held(house: House, splitting: Splitting) -> None:
    split(splitting, "1.2.9.2")
    later = send(house, "1.2.9.2.3", PatientID="5", PatientBirthDate="")
    assert (later.status, later.filed and later.filed.rule) == (202, "study-of-another-patient")


def test_other_bytes_under_the_uid_of_a_moved_image_are_a_conflict(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, "1.2.9.2")
    other = send(house, HIS[0], PixelData=b"\1\2" * 16)
    assert (other.status, other.filed and other.filed.rule) == (202, "sop-instance-uid-conflict")
    assert len(instances(house, done.result)) == 2


def test_of_a_series_in_two_studies_what_comes_later_is_held_until_somebody_says(
    house: House, splitting: Splitting, corrections: Corrections
) -> None:
    done = split(splitting, instances=(HIS[1],))
    assert instances(house, REST) == [*HERS, HIS[0]]
    again = send(house, HIS[1])
    assert (again.status, again.location) == (200, done.result)
    later, another = send(house, "1.2.9.2.3"), send(house, "1.2.9.2.4")
    assert (later.status, later.filed and later.filed.rule) == (202, "series-in-two-studies")
    assert another.location == later.location
    house.patient("jane", "4711", **JANE, active=True)
    assert instances(house, REST) == [*HERS, HIS[0]]
    link = corrections.link(
        later.location or "", Decision(patient="Patient/jane"), reason=None, caller=LOCAL
    )
    assert link.result == REST
    assert instances(house, REST) == [*HERS, HIS[0], "1.2.9.2.3", "1.2.9.2.4"]


def test_such_a_held_image_may_go_to_the_other_patient(
    house: House, splitting: Splitting, corrections: Corrections
) -> None:
    done = split(splitting, instances=(HIS[1],))
    later = send(house, "1.2.9.2.3")
    link = corrections.link(
        later.location or "", Decision(patient="Patient/john"), reason=None, caller=LOCAL
    )
    assert link.result == done.result
    assert len(instances(house, done.result)) == 2
    assert send(house, "1.2.9.2.3").location == done.result


def test_a_split_is_undone_with_what_came_since(house: House, splitting: Splitting) -> None:
    before = house.read(REST)
    done = split(splitting, "1.2.9.2")
    send(house, "1.2.9.2.3")
    held = send(house, "1.2.9.2.4", PatientID="5", PatientBirthDate="")
    assert undo(splitting, done).result == REST
    assert instances(house, REST) == [*HERS, *HIS, "1.2.9.2.3"]
    with pytest.raises(ImagingError, match="deleted"):
        house.read(done.result)
    assert [one["subject"]["reference"] for one in house.versions(done.result)] == ["Patient/john"]
    assert house.read(held.location)["status"] == "requested"
    assert send(house, "1.2.9.2.4", PatientID="5", PatientBirthDate="").location == held.location
    after = house.read(REST)
    changes = {"meta", "series", "numberOfInstances"}
    assert {k: v for k, v in after.items() if k not in changes} == {
        k: v for k, v in before.items() if k not in changes
    }
    with pytest.raises(ResourceConflict, match="undone already"):
        undo(splitting, done)
    again = split(splitting, "1.2.9.2")
    assert again.result != done.result


def test_a_held_image_of_a_series_in_two_studies_is_filed_when_the_split_is_undone(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, instances=(HIS[1],))
    later = send(house, "1.2.9.2.3")
    undo(splitting, done)
    assert instances(house, REST) == [*HERS, *HIS, "1.2.9.2.3"]
    assert house.read(later.location)["status"] == "completed"


def test_no_news_puts_the_part_back(
    house: House, splitting: Splitting, corrections: Corrections
) -> None:
    done = split(splitting, "1.2.9.2")
    house.patient("jane", "4711", **JANE, active=True)
    house.patient("john", "9", gender="male", active=True)
    merging = Merging(house.database, house.relinking, new_id=new_id)
    merged = merging.merge("john", "joan", reason=None, caller=LOCAL)
    assert house.subject(done.result) == "Patient/joan"
    undo(merging, merged)
    assert house.subject(done.result) == "Patient/john"
    assert instances(house, REST) == list(HERS)


def test_what_was_corrected_since_is_undone_first(
    house: House, splitting: Splitting, corrections: Corrections
) -> None:
    done = split(splitting, "1.2.9.2")
    moved = corrections.link(
        done.result, Decision(patient="Patient/joan"), reason=None, caller=LOCAL
    )
    with pytest.raises(ResourceConflict, match="corrected again since"):
        undo(splitting, done)
    undo(corrections, moved)
    rest = corrections.link(REST, Decision(patient="Patient/joan"), reason=None, caller=LOCAL)
    with pytest.raises(ResourceConflict, match="corrected again since"):
        undo(splitting, done)
    undo(corrections, rest)
    assert undo(splitting, done).result == REST


def test_the_first_named_leaves_and_the_rest_is_whose_it_names(
    house: House, splitting: Splitting, corrections: Corrections
) -> None:
    held = send(house, "1.2.9.3.1", PatientID="5", PatientBirthDate="", PatientSex="")
    corrections.link(
        held.location or "", Decision(patient="Patient/jane"), reason=None, caller=LOCAL
    )
    split(splitting, "1.2.9.1", "1.2.9.2")
    assert instances(house, REST) == ["1.2.9.3.1"]
    house.patient("joan", "5", active=True)
    house.patient("jane", "4711", **JANE, active=True)
    assert house.subject(REST) == "Patient/jane"


@pytest.mark.parametrize(
    ("part", "expression"),
    [
        (Part(series=("1.2.9.7",)), "http.series"),
        (Part(instances=("1.2.9.2",)), "http.instance"),
        (Part(series=("1.2.9.1", "1.2.9.2")), "http.series"),
    ],
)
def test_what_is_not_there_or_is_all_of_it_is_refused(
    house: House, splitting: Splitting, part: Part, expression: str
) -> None:
    with pytest.raises(InvalidResource) as caught:
        splitting.split(REST, part, Decision(patient="Patient/john"), reason=None, caller=LOCAL)
    assert caught.value.expression == expression
    assert instances(house, REST) == [*HERS, *HIS]


def test_who_was_slower_is_told(house: House, splitting: Splitting) -> None:
    version = house.read(REST)["meta"]["versionId"]
    split(splitting, instances=(HIS[1],), if_match=f'W/"{version}"')
    with pytest.raises(VersionConflict):
        split(splitting, "1.2.9.2", if_match=f'W/"{version}"')


def split_again(house: House, splitting: Splitting, first: Corrected, at: int) -> Corrected:
    """That image of the part to a third Patient."""
    (series,) = house.read(first.result)["series"]
    return splitting.split(
        first.result,
        Part(instances=(series["instance"][at]["uid"],)),
        Decision(patient="Patient/joan"),
        reason=None,
        caller=LOCAL,
    )


def test_a_part_is_split_again_and_each_image_is_known_under_all_its_uids(
    house: House, splitting: Splitting
) -> None:
    first = split(splitting, "1.2.9.2")
    (series,) = house.read(first.result)["series"]
    second = split_again(house, splitting, first, 1)
    assert house.subject(second.result) == "Patient/joan"
    assert len(instances(house, first.result)) == len(instances(house, second.result)) == 1
    assert instances(house, REST) == list(HERS)
    assert [send(house, uid).location for uid in HIS] == [first.result, second.result]
    sent_back = house.send(image(HIS[1], **uids_of(first, series, 1)))
    assert sent_back.filed is not None
    assert (sent_back.status, sent_back.filed.rule) == (202, "sop-instance-uid-conflict")
    assert len(instances(house, second.result)) == 1
    later = send(house, "1.2.9.2.3")
    assert (later.status, later.filed and later.filed.rule) == (202, "series-in-two-studies")


def uids_of(part: Corrected, series: dict[str, Any], at: int) -> dict[str, str]:
    """As who has kept the image from the part sends it."""
    return {
        "StudyInstanceUID": part.result.rpartition("/")[2],
        "SeriesInstanceUID": series["uid"],
        "SOPInstanceUID": series["instance"][at]["uid"],
    }


def test_two_splits_are_undone_in_turn(house: House, splitting: Splitting) -> None:
    first = split(splitting, "1.2.9.2")
    before = house.read(first.result)["series"]
    second = split_again(house, splitting, first, 1)
    with pytest.raises(ResourceConflict, match="corrected again since"):
        undo(splitting, first)
    assert undo(splitting, second).result == first.result
    assert house.read(first.result)["series"] == before
    assert [send(house, uid).location for uid in HIS] == [first.result] * 2
    later = send(house, "1.2.9.2.3")
    assert (later.status, later.location) == (201, first.result)
    assert undo(splitting, first).result == REST
    assert instances(house, REST) == [*HERS, *HIS, "1.2.9.2.3"]


def test_what_came_for_the_second_part_goes_back_through_both(
    house: House, splitting: Splitting
) -> None:
    send(house, "1.2.9.3.1")
    first = split(splitting, "1.2.9.2", "1.2.9.3")
    part = house.read(first.result)
    second = splitting.split(
        first.result,
        Part(series=(part["series"][1]["uid"],)),
        Decision(patient="Patient/joan"),
        reason=None,
        caller=LOCAL,
    )
    later = send(house, "1.2.9.3.2")
    assert (later.status, later.location) == (201, second.result)
    undo(splitting, second)
    assert send(house, "1.2.9.3.2").location == first.result
    assert len(instances(house, first.result)) == 4
    undo(splitting, first)
    assert send(house, "1.2.9.3.2").status == 200
    assert instances(house, REST) == [*HERS, *HIS, "1.2.9.3.1", "1.2.9.3.2"]


def test_a_part_of_a_part_stays_where_the_part_is_erased(
    house: House, splitting: Splitting
) -> None:
    first = split(splitting, "1.2.9.2")
    second = split_again(house, splitting, first, 1)
    Erase(database=house.database, store=house.store).study(first.result.partition("/")[2])
    assert send(house, HIS[0]).status == 409
    again = send(house, HIS[1])
    assert (again.status, again.location) == (200, second.result)


def test_a_moved_image_that_is_sent_in_another_series_is_a_conflict(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, "1.2.9.2")
    other = send(house, HIS[0], SeriesInstanceUID="1.2.9.8")
    assert (other.status, other.filed and other.filed.rule) == (202, "sop-instance-uid-conflict")
    assert len(instances(house, done.result)) == 2


def test_a_held_image_of_a_part_comes_back_under_its_own_uids(
    house: House, splitting: Splitting, corrections: Corrections
) -> None:
    done = split(splitting, "1.2.9.2")
    held = send(house, "1.2.9.2.3", PatientID="5", PatientBirthDate="", PatientSex="")
    undo(splitting, done)
    filed = corrections.link(
        held.location or "", Decision(patient="Patient/jane"), reason=None, caller=LOCAL
    )
    assert filed.result == REST
    assert instances(house, REST) == [*HERS, *HIS, "1.2.9.2.3"]


def test_the_rest_of_a_series_may_go_elsewhere_and_then_nobody_can_tell(
    house: House, splitting: Splitting
) -> None:
    first = split(splitting, instances=(HIS[0],))
    second = split(splitting, "1.2.9.2", patient="joan")
    assert [send(house, uid).location for uid in HIS] == [first.result, second.result]
    assert send(house, "1.2.9.2.3").status == 202


def test_what_was_split_off_and_erased_comes_back_nowhere(
    house: House, splitting: Splitting
) -> None:
    done = split(splitting, "1.2.9.2")
    erase = Erase(database=house.database, store=house.store)
    erase.study(done.result.partition("/")[2])
    assert [send(house, uid).status for uid in (HIS[0], "1.2.9.2.3")] == [409, 409]
    assert send(house, "1.2.9.1.3").status == 201
    assert instances(house, REST) == [*HERS, "1.2.9.1.3"]
