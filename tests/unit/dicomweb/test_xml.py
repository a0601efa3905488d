"""The Native DICOM Model says what DICOM JSON says, and a data set in bytes as well."""

from io import BytesIO

import pytest
from lxml import etree
from pydicom import dcmread

from imaging_fhir.dicomweb.data_set import encoded
from imaging_fhir.dicomweb.part10 import file_head
from imaging_fhir.dicomweb.xml import NAMESPACE, from_xml, to_xml
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.codec import decode
from imaging_fhir.model.study import DicomJson
from tests.dicom_samples import ct_instance, photo_instance, report_instance

SAMPLES = {
    "ct": ct_instance(
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        SpecificCharacterSet="ISO_IR 192",
        ImageType=["ORIGINAL", "", "AXIAL"],
        SliceThickness="1.50",
        PixelSpacing=["0.50", "0.5"],
        ReferencedImageSequence=[{"ReferencedSOPInstanceUID": "1.2"}, {}],
        FrameIncrementPointer=0x00181063,
        WindowCenter=None,
        PatientComments=" two\r\nlines & <tags>",
        DiffusionBValue=1.25,
    ),
    "photo": photo_instance(PatientName="^^^Dr", StudyDescription=""),
    "report": report_instance(),
}


def json_of(content: bytes) -> DicomJson:
    found: DicomJson = decode(DicomReader().read(BytesIO(content)).dicom_json)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_there_and_back_is_the_same(name: str) -> None:
    data_set = json_of(SAMPLES[name])
    assert from_xml(to_xml(data_set)) == data_set


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_of_a_data_set_say_what_it_says(name: str) -> None:
    data_set = json_of(SAMPLES[name])
    said = {tag: one for tag, one in data_set.items() if "BulkDataURI" not in one}
    said["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    head = file_head(
        sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid="1.2.840.10008.1.2.1"
    )
    content = head + encoded(said, lambda uri: b"")
    assert json_of(content) == dict(sorted(said.items()))
    assert len(dcmread(BytesIO(content))) == len(said)


def test_a_private_attribute_has_its_creator() -> None:
    data_set: DicomJson = {
        "00090010": {"vr": "LO", "Value": ["ACME"]},
        "00091001": {"vr": "LO", "Value": ["x"]},
    }
    document = to_xml(data_set)
    [attribute] = etree.fromstring(document)
    assert dict(attribute.items()) == {"tag": "00090001", "vr": "LO", "privateCreator": "ACME"}
    assert from_xml(document) == data_set


def test_a_name_is_in_its_parts() -> None:
    name = {"vr": "PN", "Value": [{"Alphabetic": "Roe^Jane^^Dr"}]}
    [attribute] = etree.fromstring(to_xml({"00100010": name}))
    assert attribute.get("keyword") == "PatientName"
    parts = [(part.tag, part.text) for part in attribute[0][0]]
    assert parts == [
        (f"{{{NAMESPACE}}}FamilyName", "Roe"),
        (f"{{{NAMESPACE}}}GivenName", "Jane"),
        (f"{{{NAMESPACE}}}NamePrefix", "Dr"),
    ]


def test_what_xml_cannot_say_is_marked() -> None:
    document = to_xml({"00081030": {"vr": "LO", "Value": ["a\x01b"]}})
    assert from_xml(document)["00081030"]["Value"] == ["a\ufffdb"]
