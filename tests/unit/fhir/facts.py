"""Model values with something to say in every field: the input of the builders' tests."""

from imaging_fhir.model.document import Document
from imaging_fhir.model.person import IssuedId, Issuer, NameComponents, Person, PersonName
from imaging_fhir.model.study import (
    CodedConcept,
    Equipment,
    InstanceAttributes,
    LocalDateTime,
    PersonReference,
    SeriesAttributes,
    Specimen,
    StudyAttributes,
)

HOSPITAL = Issuer(universal_entity_id="1.2.3.4", universal_entity_id_type="ISO")
LOCAL = Issuer(local_namespace_entity_id="RIS")
GRAY = PersonName(
    alphabetic=NameComponents(family="Gray", given=("Ann", "B"), prefix=("Dr",), suffix=("MD",))
)
YAMADA = PersonName(
    alphabetic=NameComponents(family="Yamada", given=("Tarou",)),
    ideographic=NameComponents(family="山田", given=("太郎",)),
    phonetic=NameComponents(family="やまだ", given=("たろう",)),
)
STUDY = StudyAttributes(
    study_instance_uid="1.2.826.0.1.3680043.8.498.1",
    study_id="S17",
    accession_numbers=(IssuedId(value="A1", issuer=HOSPITAL), IssuedId(value="A2", issuer=LOCAL)),
    placer_order_numbers=(IssuedId(value="P1", issuer=HOSPITAL),),
    filler_order_numbers=(IssuedId(value="F1"),),
    started=LocalDateTime(date="2024-05-01", time="13:45:07.25"),
    study_description="CT of the chest",
    referring_physicians=(
        PersonReference(
            name=GRAY,
            identification_codes=(
                CodedConcept(code_value="G-1", coding_scheme_designator="99STAFF"),
            ),
        ),
    ),
    physicians_reading_study=(PersonReference(name=YAMADA),),
    procedure_codes=(
        CodedConcept(
            code_value="169069000", coding_scheme_designator="SCT", code_meaning="CT of chest"
        ),
    ),
    reason_codes=(
        CodedConcept(code_value="R05", coding_scheme_designator="I10", code_meaning="Cough"),
    ),
    reason="Cough for six weeks",
    institution_name="St. Elsewhere",
    institutional_department_name="Radiology",
)
SERIES = SeriesAttributes(
    series_instance_uid="1.2.826.0.1.3680043.8.498.1.1",
    modality="CT",
    series_number=2,
    series_description="Lung 1.0",
    started=LocalDateTime(date="2024-05-01", time="13:50:00", offset="+02:00"),
    body_part_examined="CHEST",
    laterality="B",
    performing_physicians=(PersonReference(name=GRAY),),
    operators=(PersonReference(name=YAMADA),),
    equipment=Equipment(
        manufacturer="ACME",
        manufacturer_model_name="Scan 3000",
        device_serial_number="SN-9",
        station_name="CT1",
        software_versions=("1.0", "b"),
    ),
    specimens=(
        Specimen(
            specimen_identifier=IssuedId(value="SP1"),
            specimen_uid="1.2.3",
            short_description="Left upper lobe",
        ),
    ),
)
INSTANCE = InstanceAttributes(
    sop_instance_uid="1.2.826.0.1.3680043.8.498.1.1.1",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    instance_number=0,
    title="ORIGINAL\\PRIMARY\\AXIAL",
)
PERSON = Person(
    identifiers=(IssuedId(value="123", issuer=HOSPITAL), IssuedId(value="9", type_code="SS")),
    names=(YAMADA,),
    birth_date="1970-02",
    gender="male",
)
PHOTO = Document(
    media_type="image/jpeg",
    taken=LocalDateTime(date="2024-05-01", time="09:00:00"),
    equipment=Equipment(
        manufacturer="Apple", manufacturer_model_name="iPhone 12", device_serial_number="X1"
    ),
    is_photograph=True,
)
