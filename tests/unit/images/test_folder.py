import io
from pathlib import Path

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.images.folder import image_files, is_dicomdir
from tests.dicom_samples import ct_instance


def dicomdir() -> bytes:
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.FileSetID = "TEST"
    content = io.BytesIO()
    dcmwrite(content, directory, enforce_file_format=True)
    return content.getvalue()


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A folder of two images, a DICOMDIR, hidden files and an operating system's own."""
    root = tmp_path / "disc"
    for name in ("b/2.dcm", "a/1.jpg", ".hidden/3.dcm", "a/.4.jpg", "a/Thumbs.db", "__MACOSX/5"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    (root / "DICOMDIR").write_bytes(dicomdir())
    return root


def test_the_images_of_a_folder_come_in_the_order_of_their_names(disc: Path) -> None:
    assert list(image_files([disc])) == [disc / "a/1.jpg", disc / "b/2.dcm"]


def test_a_dicomdir_that_is_named_stands_for_its_disc(disc: Path) -> None:
    assert list(image_files([disc / "DICOMDIR"])) == list(image_files([disc]))


def test_a_file_that_is_named_is_taken_even_when_hidden(disc: Path) -> None:
    assert list(image_files([disc / "a/.4.jpg"])) == [disc / "a/.4.jpg"]


def test_no_link_leads_out_of_the_folder(disc: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"content")
    (disc / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    (disc / "up").symlink_to(tmp_path)
    (disc / "in.jpg").symlink_to(disc / "a/1.jpg")
    assert list(image_files([disc])) == [disc / "in.jpg", disc / "a/1.jpg", disc / "b/2.dcm"]


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        list(image_files([tmp_path / "nowhere"]))


def test_only_a_dicomdir_is_one() -> None:
    assert is_dicomdir(dicomdir())
    assert not is_dicomdir(ct_instance())
