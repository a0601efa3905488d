from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

from imaging_fhir.fhir.document_reference import document_reference
from imaging_fhir.fhir.imaging_study import imaging_study_head, imaging_study_series_head
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.person import IssuedId
from imaging_fhir.model.study import SeriesAttributes, StudyAttributes
from imaging_fhir.services.chart_card import (
    Badge,
    document_card,
    encounter_id,
    patient_card,
    series_card,
    study_card,
)
from imaging_fhir.services.document_filing import local
from imaging_fhir.services.moments import zone_of

ZONE = zone_of("+01:00")
TODAY = date(2025, 3, 12)


def series_row(**attributes: Any) -> Any:
    """A row of `series`, as filing makes it."""
    values = {"series_instance_uid": "1.2.1", "modality": "CT", "series_number": 2, **attributes}
    head = imaging_study_series_head(
        SeriesAttributes(**values), zone=ZONE, system_of=lambda issuer: None
    )
    return SimpleNamespace(
        pk=7, series_instance_uid="1.2.1", head=encode(head), number_of_instances=40, picture=None
    )


def study_row(overlay: Resource | None = None, **attributes: Any) -> Any:
    head = imaging_study_head(
        StudyAttributes(study_instance_uid="1.2", **attributes),
        subject={"reference": "Patient/p"},
        modalities=["CT"],
        zone=ZONE,
        system_of=lambda issuer: None,
        archive_endpoint=None,
    )
    return SimpleNamespace(
        head=encode(head),
        overlay=None if overlay is None else encode(overlay),
        number_of_series=1,
        number_of_instances=40,
        encounter="e",
    )


def test_a_picture_is_told_in_words_for_those_who_do_not_see_it() -> None:
    row = series_row(body_part_examined="CHEST", laterality="L", started=local("2025-03-12"))
    card = series_card(row, ZONE, "11 Mar 2025")
    assert card.picture_text == "CT, Chest, Left, series 2, 40 images, 12 Mar 2025"
    assert card.has_dark_picture
    assert not series_card(series_row(modality="XC"), ZONE, "").has_dark_picture


def test_a_series_without_a_date_has_that_of_its_study() -> None:
    study = study_card(
        study_row(started=local("2025-03-11T08:00:00+01:00")), [series_row()], ZONE, resource_id="s"
    )
    assert study.series[0].picture_text == "CT, series 2, 40 images, 11 Mar 2025"


def test_a_study_without_a_description_is_called_by_its_modalities() -> None:
    study = study_card(study_row(), [series_row()], ZONE, resource_id="s")
    assert (study.title, study.started) == ("Computed tomography", "Date not known")
    assert study.badges == (Badge(code="CT", name="Computed tomography"),)
    assert study.counts == "1 series, 40 images"


def test_the_accession_number_of_a_study_is_shown() -> None:
    row = study_row(accession_numbers=(IssuedId(value="A7", type_code="ACSN"),))
    assert study_card(row, [], ZONE, resource_id="s").accession == "A7"


def test_a_disputed_study_is_marked() -> None:
    tag = {"system": "https://imaging-fhir.org/fhir/CodeSystem/study-state", "code": "disputed"}
    disputed = study_row(overlay={"meta": {"tag": [tag]}})
    assert study_card(disputed, [], ZONE, resource_id="s").is_disputed
    assert not study_card(study_row(), [], ZONE, resource_id="s").is_disputed


def photo(**more: Any) -> Resource:
    facts = Document(media_type="image/jpeg", is_photograph=True, taken=local("2025-03-10"))
    values: dict[str, Any] = {
        "identifier": {"system": "s", "value": "v"},
        "subject": {"reference": "Patient/p"},
        "date": datetime(2025, 3, 12, tzinfo=ZONE),
        "zone": ZONE,
        "binary_url": f"{BASE_PLACEHOLDER}/Binary/b1",
        "size": 5,
        "sha1_base64": "",
        **more,
    }
    return {**document_reference(facts, **values), "id": "d"}


def test_a_photo_shows_where_and_when_it_was_taken() -> None:
    site = {"text": "Lower leg"}
    card = document_card(photo(body_site=site, laterality="R", description="Ulcer"), ZONE)
    assert (card.title, card.taken, card.place) == ("Ulcer", "10 Mar 2025", "Lower leg, Right")
    assert card.picture_text == "Photo, Ulcer, Lower leg, Right, 10 Mar 2025"
    assert (card.binary, card.badge.code) == ("b1", "photo")


def test_what_lies_on_another_server_has_no_picture_and_no_visit_here() -> None:
    elsewhere = photo(binary_url="https://other.example/fhir/Binary/b1")
    elsewhere["context"] = {"encounter": [{"reference": "https://other.example/fhir/Encounter/e"}]}
    card = document_card(elsewhere, ZONE)
    assert (card.binary, encounter_id(elsewhere)) == (None, None)


def test_the_time_of_indexing_is_not_passed_off_as_that_of_the_picture() -> None:
    undated = photo()
    del undated["context"], undated["content"][0]["attachment"]["creation"]
    card = document_card(undated, ZONE)
    assert (card.taken, card.when) == ("", "Added 12 Mar 2025, 00:00")
    assert "2025" not in card.picture_text


def test_a_file_kept_elsewhere_has_no_binary_here() -> None:
    assert document_card(photo(binary_url="https://x.example/files/1.jpg"), ZONE).binary is None
    assert document_card({"id": "d", "content": []}, ZONE).binary is None


def test_a_document_is_at_the_visit_that_it_names() -> None:
    assert document_card(photo(encounter={"reference": "Encounter/e7"}), ZONE).encounter == "e7"
    assert document_card(photo(encounter={"identifier": {"value": "7"}}), ZONE).encounter is None


def test_the_age_of_one_who_died_stands_still() -> None:
    patient = {"id": "p", "birthDate": "1950-01-01", "deceasedDateTime": "2020-06-01T10:00:00Z"}
    card = patient_card(patient, TODAY)
    assert (card.age, card.died, card.name) == ("70 y", "1 Jun 2020", "Name not known")


def test_an_old_number_is_not_in_the_banner() -> None:
    numbers = [{"value": "1", "use": "old"}, {"value": "2"}, {"system": "s"}]
    assert patient_card({"id": "p", "identifier": numbers}, TODAY).identifiers == (("ID", "2"),)


def test_the_medical_record_number_comes_first_and_no_number_twice() -> None:
    system = "http://terminology.hl7.org/CodeSystem/v2-0203"
    mrn = {"type": {"coding": [{"system": system, "code": "MR"}]}, "value": "7"}
    numbers = [{"value": "7"}, {"type": {"text": "Passport"}, "value": "P1"}, mrn]
    shown = patient_card({"id": "p", "identifier": numbers}, TODAY).identifiers
    assert shown == (("MRN", "7"), ("Passport", "P1"))
