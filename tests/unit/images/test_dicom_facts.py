from io import BytesIO
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.person import IssuedId, Issuer, NameComponents, PersonName
from imaging_fhir.model.study import (
    CodedConcept,
    DicomInstance,
    Equipment,
    LocalDateTime,
    PersonReference,
    ReadWarning,
    Specimen,
)
from imaging_fhir.policy import is_placeholder
from tests.dicom_samples import (
    ct_instance,
    data_set,
    dicom_file,
    pdf_instance,
    photo_instance,
    report_instance,
    with_raw_element,
)

HOSPITAL = Issuer(
    local_namespace_entity_id="HOSP", universal_entity_id="1.2.3", universal_entity_id_type="ISO"
)
HOSPITAL_ITEM = {
    "LocalNamespaceEntityID": "HOSP",
    "UniversalEntityID": "1.2.3",
    "UniversalEntityIDType": "ISO",
}
CHEST_CT = {"CodeValue": "P5-08000", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Chest CT"}
CHEST_CT_CONCEPT = CodedConcept(
    code_value="P5-08000", coding_scheme_designator="SRT", code_meaning="Chest CT"
)
KNEE = {"CodeValue": "72696002", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Knee"}
KNEE_CONCEPT = CodedConcept(
    code_value="72696002", coding_scheme_designator="SCT", code_meaning="Knee"
)
RIGHT = {"FrameLaterality": "R"}
CT = {"SOPClassUID": CTImageStorage, "Modality": "CT"}


def read(**attributes: Any) -> DicomInstance:
    return DicomReader().read(BytesIO(ct_instance(**attributes)))


def warned(instance: DicomInstance) -> set[str]:
    return {warning.keyword for warning in instance.warnings}


def test_a_sound_file_has_no_warnings() -> None:
    assert read().warnings == ()


def test_a_patient_id_carries_its_issuer_and_qualifiers() -> None:
    qualifiers = [{"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}]
    person = read(IssuerOfPatientID="HOSP", IssuerOfPatientIDQualifiersSequence=qualifiers).person
    assert person.identifiers == (IssuedId(value="4711", issuer=HOSPITAL, type_code="MR"),)


def test_other_patient_ids_follow_but_not_those_of_tags_and_labels() -> None:
    others = [
        {"PatientID": "N1", "IssuerOfPatientID": "NATIONAL", "TypeOfPatientID": "TEXT"},
        {"PatientID": "R1", "IssuerOfPatientID": "HOSP", "TypeOfPatientID": "RFID"},
        {"PatientID": "B1", "IssuerOfPatientID": "HOSP", "TypeOfPatientID": "BARCODE"},
    ]
    person = read(OtherPatientIDsSequence=others).person
    assert [(one.value, one.type_code) for one in person.identifiers] == [
        ("4711", "MR"),
        ("N1", None),
    ]
    assert person.identifiers[1].issuer == Issuer(local_namespace_entity_id="NATIONAL")


def test_other_patient_ids_without_issuers_say_nothing() -> None:
    person = read(OtherPatientIDs=["X1", "X2"]).person
    assert [one.value for one in person.identifiers] == ["4711"]


def test_other_names_follow_the_patients_name() -> None:
    names = read(
        PatientName="Roe^Jane^Q", OtherPatientNames=["Doe^Jane", "Roe^Jane^Q"]
    ).person.names
    assert names == (
        PersonName(alphabetic=NameComponents(family="Roe", given=("Jane", "Q"))),
        PersonName(alphabetic=NameComponents(family="Doe", given=("Jane",))),
    )


def test_a_name_has_its_ideographic_and_phonetic_groups() -> None:
    (name,) = read(
        SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"
    ).person.names
    assert name.ideographic == NameComponents(family="山田", given=("太郎",))
    assert name.phonetic == NameComponents(family="やまだ", given=("たろう",))


@pytest.mark.parametrize(
    ("sex", "gender"), [("M", "male"), ("F", "female"), ("O", "other"), ("U", None), (None, None)]
)
def test_sex_is_gender_or_unsaid(sex: str | None, gender: str | None) -> None:
    instance = read(PatientSex=sex)
    assert instance.person.gender == gender
    assert instance.warnings == ()


def test_an_unknown_sex_code_is_noted() -> None:
    instance = read(PatientSex="W")
    assert instance.person.gender is None
    assert warned(instance) == {"PatientSex"}


def test_a_birth_date_keeps_its_precision() -> None:
    assert read(PatientBirthDate="1975").person.birth_date == "1975"


def test_a_warning_never_repeats_what_identifies_a_patient() -> None:
    instance = read(PatientBirthDate="19751399", PatientID="Z" * 70, PatientName="Q" * 70)
    assert warned(instance) == {"PatientBirthDate", "PatientID", "PatientName"}
    assert all(
        value not in warning.message
        for warning in instance.warnings
        for value in ("19751399", "ZZ", "QQ")
    )
    assert instance.person.birth_date is None


@pytest.mark.parametrize(
    "value", ["0", "000", "-", "ANONYMOUS", "anonymized", "Unknown", "NONE", "TEST", "n/a", "no id"]
)
def test_a_placeholder_names_nobody(value: str) -> None:
    assert read(PatientID=value).person.is_placeholder


@pytest.mark.parametrize("value", ["4711", "1", "TEST1234", "A0"])
def test_any_other_number_names_somebody(value: str) -> None:
    assert not is_placeholder(value)


def test_no_patient_id_at_all_names_nobody() -> None:
    person = read(PatientID=None).person
    assert person.identifiers == ()
    assert person.is_placeholder


def test_a_placeholder_beside_a_usable_identifier_names_somebody() -> None:
    others = [{"PatientID": "N1", "IssuerOfPatientID": "NATIONAL"}]
    assert not read(PatientID="ANONYMOUS", OtherPatientIDsSequence=others).person.is_placeholder


def test_a_visit_is_an_admission_and_an_episode_with_their_issuers() -> None:
    visit = read(
        AdmissionID="V1",
        IssuerOfAdmissionIDSequence=[HOSPITAL_ITEM],
        ServiceEpisodeID="E1",
        IssuerOfServiceEpisodeIDSequence=[{"LocalNamespaceEntityID": "CLINIC"}],
    ).visit
    assert visit.admission_id == IssuedId(value="V1", issuer=HOSPITAL, type_code="VN")
    assert visit.service_episode_id == IssuedId(
        value="E1", issuer=Issuer(local_namespace_entity_id="CLINIC")
    )


def test_numbers_of_requests_follow_the_studys_own() -> None:
    study = read(
        AccessionNumber="A1",
        IssuerOfAccessionNumberSequence=[HOSPITAL_ITEM],
        RequestAttributesSequence=[{"AccessionNumber": "A2"}, {"AccessionNumber": "A1"}],
        ReferencedRequestSequence=[
            {
                "AccessionNumber": "A3",
                "PlacerOrderNumberImagingServiceRequest": "P1",
                "OrderPlacerIdentifierSequence": [HOSPITAL_ITEM],
                "FillerOrderNumberImagingServiceRequest": "F1",
                "OrderFillerIdentifierSequence": [HOSPITAL_ITEM],
            }
        ],
    ).study
    assert study.accession_numbers == (
        IssuedId(value="A1", issuer=HOSPITAL, type_code="ACSN"),
        IssuedId(value="A2", type_code="ACSN"),
        IssuedId(value="A3", type_code="ACSN"),
    )
    assert study.placer_order_numbers == (IssuedId(value="P1", issuer=HOSPITAL, type_code="PLAC"),)
    assert study.filler_order_numbers == (IssuedId(value="F1", issuer=HOSPITAL, type_code="FILL"),)


def test_a_study_starts_at_its_date_and_time() -> None:
    study = read(StudyDate="20260314", StudyTime="101500.25").study
    assert study.started == LocalDateTime(date="2026-03-14", time="10:15:00.25")


@pytest.mark.parametrize("value", ["20220230", "202203XX", "01/02/2022"])
def test_a_malformed_study_date_is_left_out_and_noted(value: str) -> None:
    instance = read(StudyDate=value)
    assert instance.study.started is None
    assert ReadWarning(keyword="StudyDate", message="is not a date") in instance.warnings


def test_a_malformed_time_leaves_the_date() -> None:
    instance = read(StudyTime="2561")
    assert instance.study.started == LocalDateTime(date="2026-03-14")
    assert warned(instance) == {"StudyTime"}


def test_a_leap_second_is_noted() -> None:
    instance = read(StudyTime="235960")
    assert instance.study.started == LocalDateTime(date="2026-03-14", time="23:59:59")
    assert warned(instance) == {"StudyTime"}


def test_an_old_date_is_read_without_a_warning_of_its_own() -> None:
    assert read(StudyDate="2022.01.05").study.started == LocalDateTime(
        date="2022-01-05", time="10:15:00"
    )


def test_physicians_are_paired_with_their_codes_only_when_counts_agree() -> None:
    codes = [{"PersonIdentificationCodeSequence": [CHEST_CT]}]
    name = PersonName(alphabetic=NameComponents(family="Who"))
    paired = read(ReferringPhysicianName="Who", ReferringPhysicianIdentificationSequence=codes)
    assert paired.study.referring_physicians == (
        PersonReference(name=name, identification_codes=(CHEST_CT_CONCEPT,)),
    )
    apart = read(
        NameOfPhysiciansReadingStudy=["Who", "Which"],
        PhysiciansReadingStudyIdentificationSequence=codes,
    )
    assert apart.study.physicians_reading_study == (
        PersonReference(name=name),
        PersonReference(name=PersonName(alphabetic=NameComponents(family="Which"))),
        PersonReference(identification_codes=(CHEST_CT_CONCEPT,)),
    )


def test_the_performed_procedure_comes_before_the_requested_one() -> None:
    requested = [{"RequestedProcedureCodeSequence": [KNEE]}]
    both = read(ProcedureCodeSequence=[CHEST_CT], RequestAttributesSequence=requested)
    assert both.study.procedure_codes == (CHEST_CT_CONCEPT,)
    assert read(RequestAttributesSequence=requested).study.procedure_codes == (KNEE_CONCEPT,)


def test_reasons_are_read_from_the_request() -> None:
    request = {
        "ReasonForTheRequestedProcedure": "Cough",
        "ReasonForRequestedProcedureCodeSequence": [CHEST_CT],
    }
    study = read(RequestAttributesSequence=[request]).study
    assert (study.reason, study.reason_codes) == ("Cough", (CHEST_CT_CONCEPT,))


def test_a_coding_scheme_gets_the_uid_that_the_file_declares() -> None:
    declared = [{"CodingSchemeDesignator": "99X", "CodingSchemeUID": "1.2.9"}]
    local = {"CodeValue": "1", "CodingSchemeDesignator": "99X", "CodeMeaning": "One"}
    study = read(
        CodingSchemeIdentificationSequence=declared, ProcedureCodeSequence=[local, CHEST_CT]
    ).study
    assert [code.coding_scheme_uid for code in study.procedure_codes] == ["1.2.9", None]


def test_a_code_without_a_value_is_its_meaning_and_noted() -> None:
    instance = read(ProcedureCodeSequence=[{"CodeMeaning": "Chest"}, {}])
    assert instance.study.procedure_codes == (CodedConcept(code_meaning="Chest"),)
    assert warned(instance) == {"CodeValue"}


def test_a_long_code_value_counts_as_a_code() -> None:
    code = {"LongCodeValue": "1" * 20, "CodingSchemeDesignator": "SCT", "CodeMeaning": "x"}
    (found,) = read(ProcedureCodeSequence=[code]).study.procedure_codes
    assert found.code_value == "1" * 20


def test_where_and_what_is_text() -> None:
    study = read(
        StudyDescription="Thorax", InstitutionName="St. Anna", InstitutionalDepartmentName="RAD"
    ).study
    assert (study.study_description, study.study_id) == ("Thorax", "S1")
    assert (study.institution_name, study.institutional_department_name) == ("St. Anna", "RAD")


@pytest.mark.parametrize(("value", "offset"), [("+0100", "+01:00"), ("-1200", "-12:00")])
def test_the_offset_of_the_file_is_kept(value: str, offset: str) -> None:
    assert read(TimezoneOffsetFromUTC=value).timezone_offset == offset


def test_an_offset_out_of_range_is_noted() -> None:
    instance = read(TimezoneOffsetFromUTC="+9900")
    assert instance.timezone_offset is None
    assert warned(instance) == {"TimezoneOffsetFromUTC"}


def test_a_missing_modality_is_other_and_noted() -> None:
    instance = read(Modality=None)
    assert instance.series.modality == "OT"
    assert warned(instance) == {"Modality"}


@pytest.mark.parametrize(
    ("value", "number", "warnings"),
    [
        ("7", 7, set()),
        ("-1", None, set()),
        ("99999999999", None, {"SeriesNumber"}),
        ("seven", None, {"SeriesNumber"}),
        ("1.5", None, {"SeriesNumber"}),
    ],
)
def test_a_series_number_is_an_unsigned_int_or_nothing(
    value: str, number: int | None, warnings: set[str]
) -> None:
    made = with_raw_element(data_set(CT), "SeriesNumber", value.encode())
    instance = DicomReader().read(BytesIO(dicom_file(made)))
    assert instance.series.series_number == number
    assert warned(instance) == warnings


def test_a_series_starts_at_its_own_time_else_at_the_acquisitions() -> None:
    acquired = {"AcquisitionDate": "20260301", "AcquisitionTime": "0900"}
    own = read(SeriesDate="20260302", SeriesTime="1000", **acquired)
    assert own.series.started == LocalDateTime(date="2026-03-02", time="10:00:00")
    whole = read(AcquisitionDateTime="20260303110000+0100", **acquired)
    assert whole.series.started == LocalDateTime(
        date="2026-03-03", time="11:00:00", offset="+01:00"
    )
    assert read(**acquired).series.started == LocalDateTime(date="2026-03-01", time="09:00:00")
    assert read().series.started is None


def test_a_body_part_is_a_code_and_a_word() -> None:
    series = read(AnatomicRegionSequence=[KNEE], BodyPartExamined="KNEE").series
    assert (series.anatomic_regions, series.body_part_examined) == ((KNEE_CONCEPT,), "KNEE")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImageLaterality": "L", "Laterality": "R"}, "L"),
        ({"Laterality": "B"}, "B"),
        ({"ImageLaterality": "U"}, None),
        (
            {
                "SharedFunctionalGroupsSequence": [
                    {"FrameAnatomySequence": [{"FrameLaterality": "R"}]}
                ]
            },
            "R",
        ),
    ],
)
def test_laterality_is_right_left_or_both(attributes: dict[str, Any], expected: str | None) -> None:
    assert read(**attributes).series.laterality == expected


def test_an_unknown_laterality_is_noted() -> None:
    instance = read(Laterality="X")
    assert instance.series.laterality is None
    assert warned(instance) == {"Laterality"}


def frames(*sides: str) -> list[dict[str, Any]]:
    return [
        {"FrameAnatomySequence": [{"FrameLaterality": side, "AnatomicRegionSequence": [KNEE]}]}
        for side in sides
    ]


def test_the_anatomy_of_all_frames_counts_however_many_there_are() -> None:
    series = read(PerFrameFunctionalGroupsSequence=frames(*"R" * 40)).series
    assert (series.laterality, series.anatomic_regions) == ("R", (KNEE_CONCEPT,))
    mixed = read(PerFrameFunctionalGroupsSequence=frames(*"R" * 40, "L")).series
    assert (mixed.laterality, mixed.anatomic_regions) == (None, (KNEE_CONCEPT,))


def test_performers_and_equipment_are_read() -> None:
    series = read(
        PerformingPhysicianName="Who",
        OperatorsName=["Op^One", "Op^Two"],
        Manufacturer="ACME",
        ManufacturerModelName="Scan 9",
        DeviceSerialNumber="S-9",
        StationName="CT1",
        SoftwareVersions=["1", "2"],
    ).series
    assert len(series.performing_physicians) == 1
    assert len(series.operators) == 2
    assert series.equipment == Equipment(
        manufacturer="ACME",
        manufacturer_model_name="Scan 9",
        device_serial_number="S-9",
        station_name="CT1",
        software_versions=("1", "2"),
    )


def test_specimens_are_read() -> None:
    item = {
        "SpecimenIdentifier": "SP1",
        "SpecimenUID": "1.2.3.4",
        "IssuerOfTheSpecimenIdentifierSequence": [HOSPITAL_ITEM],
        "SpecimenTypeCodeSequence": [KNEE],
        "SpecimenShortDescription": "Skin",
    }
    assert read(SpecimenDescriptionSequence=[item]).series.specimens == (
        Specimen(
            specimen_identifier=IssuedId(value="SP1", issuer=HOSPITAL),
            specimen_uid="1.2.3.4",
            specimen_type=KNEE_CONCEPT,
            short_description="Skin",
        ),
    )


def test_an_image_has_size_number_and_pixels() -> None:
    instance = read(rows=6, columns=8, InstanceNumber=3, NumberOfFrames=2).instance
    assert (instance.rows, instance.columns, instance.number_of_frames) == (6, 8, 2)
    assert instance.instance_number == 3
    assert instance.has_pixel_data
    assert instance.title == "ORIGINAL\\PRIMARY\\AXIAL"


def test_a_report_is_titled_by_its_concept() -> None:
    instance = DicomReader().read(BytesIO(report_instance())).instance
    assert instance.title == "Diagnostic imaging report"
    assert not instance.has_pixel_data


def test_an_encapsulated_document_has_a_title_and_a_type() -> None:
    instance = DicomReader().read(BytesIO(pdf_instance())).instance
    assert (instance.title, instance.encapsulated_media_type) == (
        "Discharge letter",
        "application/pdf",
    )


def test_a_photograph_is_read_with_its_modality() -> None:
    assert DicomReader().read(BytesIO(photo_instance())).series.modality == "XC"
