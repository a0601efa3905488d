import csv
import json
import random
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
)

from imaging_fhir.errors import ImagingError, UnreadableImage, UnsupportedImage
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.study import DicomInstance
from tests.dicom_samples import (
    INSTANCE,
    SERIES,
    STUDY,
    ct_instance,
    data_set,
    deflated,
    dicom_file,
    pdf_instance,
    report_instance,
)

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
]
CT = {"SOPClassUID": CTImageStorage, "Modality": "CT"}
READER = DicomReader()


def read(file: bytes) -> DicomInstance:
    return READER.read(BytesIO(file))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_each_transfer_syntax_says_the_same(syntax: str) -> None:
    file = ct_instance(transfer_syntax=syntax)
    plain, found = read(ct_instance()), read(file)
    assert READER.recognises(file[:4096])
    assert found.instance.transfer_syntax_uid == syntax
    assert (found.study, found.series, found.person) == (plain.study, plain.series, plain.person)
    assert (found.warnings, found.instance.has_pixel_data) == ((), True)
    assert found.study.study_instance_uid == STUDY
    assert found.series.series_instance_uid == SERIES
    assert found.instance.sop_instance_uid == INSTANCE


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_a_bare_data_set_is_recognised_and_read(syntax: str) -> None:
    file = dicom_file(data_set(CT), transfer_syntax=syntax, file_meta=False)
    assert READER.recognises(file[:4096])
    found = read(file)
    assert found.study == read(ct_instance()).study
    assert [warning.keyword for warning in found.warnings] == ["TransferSyntaxUID"]


def test_a_tiff_preamble_does_not_hide_a_dicom_file() -> None:
    file = b"II*\x00\x08\x00\x00\x00" + ct_instance()[8:]
    assert READER.recognises(file[:4096])


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "not-a-uid", "../../etc", "1" * 65])
def test_an_object_that_cannot_be_identified_is_refused_by_keyword(
    keyword: str, value: str | None
) -> None:
    file = dicom_file(data_set({**CT, keyword: value}), file_meta=False)
    with pytest.raises(UnreadableImage, match=keyword) as caught:
        read(file)
    assert caught.value.expression == keyword


def test_a_uid_with_leading_zeros_is_taken_and_noted() -> None:
    found = read(ct_instance(StudyInstanceUID="1.02.3"))
    assert found.study.study_instance_uid == "1.02.3"
    assert [warning.keyword for warning in found.warnings] == ["StudyInstanceUID"]


def test_class_and_instance_are_taken_from_the_file_meta_where_they_are_missing() -> None:
    whole = ct_instance()
    class_uid = b"\x08\x00\x16\x00UI\x1a\x00" + CTImageStorage.encode().ljust(26, b"\0")
    instance_uid = b"\x08\x00\x18\x00UI" + (len(INSTANCE) + 1).to_bytes(2, "little")
    without = whole.replace(class_uid, b"").replace(
        instance_uid + INSTANCE.encode() + b"\0", b"", 1
    )
    found = read(without)
    assert found.instance.sop_class_uid == CTImageStorage
    assert found.instance.sop_instance_uid == INSTANCE
    assert {warning.keyword for warning in found.warnings} == {"SOPClassUID", "SOPInstanceUID"}


def test_a_dicomdir_is_told_apart_from_images() -> None:
    record = {"DirectoryRecordType": "PATIENT"}
    with pytest.raises(UnsupportedImage, match="DICOMDIR"):
        read(dicom_file(data_set({"SOPClassUID": MediaStorageDirectoryStorage})))
    with pytest.raises(UnsupportedImage, match="DICOMDIR"):
        read(dicom_file(data_set({**CT, "DirectoryRecordSequence": [record]})))


def test_absent_or_truncated_pixel_data_changes_no_fact() -> None:
    whole = ct_instance(rows=64, columns=64)
    cut = read(whole[:-4000])
    assert (cut.study, cut.series, cut.instance) == (
        read(whole).study,
        read(whole).series,
        read(whole).instance,
    )
    assert not read(ct_instance(PixelData=None)).instance.has_pixel_data


def test_pixel_data_is_named_and_never_read() -> None:
    stream = BytesIO(ct_instance(rows=512, columns=512))
    found = READER.read(stream)
    assert stream.tell() < 2000
    assert json.loads(found.dicom_json)["7FE00010"] == {
        "vr": "OW",
        "BulkDataURI": "bulkdata/7FE00010",
    }


def test_the_json_leaves_out_file_meta_and_names_utf_8() -> None:
    file = ct_instance(SpecificCharacterSet="ISO_IR 100", PatientName="Zoë")
    found = json.loads(read(file).dicom_json)
    assert min(found) == "00080005"
    assert found["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Zoë"}]}


def sequences(levels: int) -> dict[str, Any]:
    item: dict[str, Any] = {"CodeMeaning": "innermost"}
    for _ in range(levels):
        item = {"ContentSequence": [item]}
    return item


SAMPLES = {
    "explicit": ct_instance(
        SpecificCharacterSet=["ISO 2022 IR 6", "ISO 2022 IR 87"],
        IssuerOfAdmissionIDSequence=[{"LocalNamespaceEntityID": "HOSP"}],
        **sequences(5),
    ),
    "implicit": ct_instance(transfer_syntax=ImplicitVRLittleEndian, **sequences(5)),
    "big endian": ct_instance(transfer_syntax=ExplicitVRBigEndian, **sequences(5)),
    "deflated": ct_instance(transfer_syntax=DeflatedExplicitVRLittleEndian),
    "report": report_instance(**sequences(5)),
    "document": pdf_instance(),
}


def read_or_refuse(file: bytes) -> DicomInstance | ImagingError:
    """As `read_image`: what is raised that is no ImagingError becomes UnreadableImage."""
    try:
        return read(file)
    except ImagingError as error:
        return error
    except Exception as error:
        return UnreadableImage(f"The file is damaged: {type(error).__name__}.")


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_bytes_are_read_or_refused_in_bounded_time(name: str) -> None:
    chance = random.Random(7)
    started = time.process_time()
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(SAMPLES[name])
        for position in chance.sample(range(128, len(damaged)), k=chance.choice((1, 4, 16))):
            damaged[position] = chance.choice((0, 255, chance.randrange(256)))
        found = read_or_refuse(bytes(damaged))
        outcomes.add(type(found))
        if isinstance(found, DicomInstance):
            json.loads(found.dicom_json)
    assert DicomInstance in outcomes
    assert outcomes & {UnreadableImage, UnsupportedImage}
    assert time.process_time() - started < 15


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_anywhere_is_read_or_refused(name: str) -> None:
    for end in range(0, len(SAMPLES[name]), 64):
        found = read_or_refuse(SAMPLES[name][:end])
        assert isinstance(found, DicomInstance | UnreadableImage)


def test_a_truncated_header_is_noted() -> None:
    whole = ct_instance()
    found = read(whole[: whole.index(b"\x28\x00\x02\x00")] + b"\x28\x00\x02")
    assert [warning.keyword for warning in found.warnings] == ["DataSet"]


def test_a_corrupt_deflated_data_set_is_refused() -> None:
    whole = ct_instance(transfer_syntax=DeflatedExplicitVRLittleEndian)
    body = whole[: whole.index(b"1.2.840.10008.1.2.1.99") + 22]
    assert isinstance(read_or_refuse(body + b"\xff" * 200), UnreadableImage)
    assert isinstance(read_or_refuse(body + deflated(b"")), UnreadableImage)


REFUSED = {
    "dicom/pdf2dcm/CT_small_no_UID.dcm": "no SeriesInstanceUID",
    "dicom/pydicom-data/HTJ2KLossless_08_RGB.dcm": "no StudyInstanceUID",
    "dicom/pydicom-data/HTJ2K_08_RGB.dcm": "no StudyInstanceUID",
    "dicom/pydicom-data/JLSL_16_15_1_1F.dcm": "no StudyInstanceUID",
    "dicom/pydicom-data/JLSN_RGB_ILV0.dcm": "no SOPInstanceUID",
    "dicom/pydicom-data/bad_sequence.dcm": "SOPInstanceUID is not a UID",
    "dicom/pydicom/JPEGLSNearLossless_08.dcm": "no StudyInstanceUID",
    "dicom/pydicom/JPEGLSNearLossless_16.dcm": "no StudyInstanceUID",
    "dicom/pydicom/SC_rgb_jls_lossy_line.dcm": "no StudyInstanceUID",
    "dicom/pydicom/SC_rgb_jls_lossy_sample.dcm": "no StudyInstanceUID",
    "dicom/pydicom/UN_sequence.dcm": "no StudyInstanceUID",
    "dicom/pydicom/chrSQEncoding.dcm": "no StudyInstanceUID",
    "dicom/pydicom/chrSQEncoding1.dcm": "no StudyInstanceUID",
    "dicom/pydicom/empty_charset_LEI.dcm": "no SOPInstanceUID",
    "dicom/pydicom/meta_missing_tsyntax.dcm": "no SOPInstanceUID",
    "dicom/pydicom/nested_priv_SQ.dcm": "no SOPInstanceUID",
    "dicom/pydicom/no_meta.dcm": "no SOPInstanceUID",
    "dicom/pydicom/no_meta_group_length.dcm": "no StudyInstanceUID",
    "dicom/pydicom/priv_SQ.dcm": "no StudyInstanceUID",
}


def shared_files() -> list[dict[str, str]]:
    if not DATA.is_dir():
        return []
    with (DATA / "MANIFEST.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


needs_shared_files = pytest.mark.skipif(
    not shared_files(), reason="the shared sample files are not here"
)


@needs_shared_files
def test_every_shared_file_with_its_uids_is_read_and_the_others_are_refused_by_name() -> None:
    refused = {}
    for row in shared_files():
        if not row["kind"].startswith("dicom"):
            continue
        found = read_or_refuse((DATA / row["path"]).read_bytes())
        if isinstance(found, ImagingError):
            refused[row["path"]] = str(found)
            continue
        assert found.study.study_instance_uid == row["study_uid"], row["path"]
        assert found.instance.sop_instance_uid == row["sop_instance_uid"], row["path"]
        assert found.series.modality == (row["modality"] or "OT"), row["path"]
        json.loads(found.dicom_json)
    directories = {path for path in refused if "/DICOMDIR" in path}
    assert all("DICOMDIR" in refused.pop(path) for path in directories)
    assert refused.keys() == REFUSED.keys()
    assert all(REFUSED[path] in message for path, message in refused.items())


@needs_shared_files
def test_dicom_is_recognised_among_all_shared_files_and_nothing_else_is() -> None:
    for row in shared_files():
        with (DATA / row["path"]).open("rb") as file:
            recognised = READER.recognises(file.read(4096))
        starts_amiss = row["path"] == "dicom/pydicom/no_meta.dcm"  # a stray byte comes first
        assert recognised == (row["kind"].startswith("dicom") and not starts_amiss), row["path"]
