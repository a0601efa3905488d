"""Every DICOM file of ../shared/data, sent by C-STORE into a store without its UID."""

import subprocess
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
import pytest
from flask.testing import FlaskClient
from pydicom import Dataset
from pydicom.encaps import generate_fragments
from pydicom.errors import InvalidDicomError

from imaging_fhir.app import app_of
from imaging_fhir.feeds.dimse import DimseServer
from imaging_fhir.images.dicom_values import is_uid
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.dimse import SITE, TITLE, associated, door, split

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
PROPOSED = {  # by storescu, which has no option for the other syntaxes
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.4.102": "-xn",
    "1.2.840.10008.1.2.5": "-xr",
}

NOT_SENT = {  # by DCMTK, which finds the file damaged or the SOP class unknown
    *("MR_truncated.dcm", "SC_rgb_jpeg.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"),
    *("explicit_VR-UN.dcm", "rtdose_rle.dcm", "rtdose_rle_1frame.dcm", "rtplan_truncated.dcm"),
    *("sparse-labelmap-noppv.dcm", "sparse-labelmap-ppv5.dcm", "seg_image_sm_control_labelmap.dcm"),
    *("seg_image_sm_control_labelmap_palette_color.dcm",),
}
REWRITTEN = {"ctbrain1.dcm", "ctbrain2.dcm", "dx_image.dcm"}  # DCMTK pads an odd value in them
TRAILING_PADDING = 0xFFFCFFFC  # which DCMTK does not send


@dataclass(frozen=True)
class File:
    path: Path
    sop_class: str
    uids: tuple[str, str, str]  # study, series, instance
    syntax: str


@pytest.fixture(scope="module")
def files(shared_data: Path) -> list[File]:
    found = [file_of(path) for path in sorted(shared_data.rglob("*")) if path.is_file()]
    return [one for one in found if one is not None]


def file_of(path: Path) -> File | None:
    """None of what is not DICOM, or cannot be filed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(path, stop_before_pixels=True)
            sop_class, instance, study, series = (str(read[uid].value) for uid in UIDS)
            if not all(map(is_uid, (instance, study, series))):
                return None
            syntax = str(read.file_meta.TransferSyntaxUID)
            return File(path, sop_class, (study, series, instance), syntax)
    except (AttributeError, InvalidDicomError, KeyError):
        return None


def rounds(files: list[File]) -> Iterator[list[File]]:
    """All of them, no UID twice in a round."""
    seen: Counter[str] = Counter()
    found: dict[int, list[File]] = defaultdict(list)
    for file in files:
        found[seen[file.uids[2]]].append(file)
        seen[file.uids[2]] += 1
    yield from found.values()


@contextmanager
def empty_service(template: Path) -> Iterator[tuple[DimseServer, FlaskClient]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "imaging.db").write_bytes(template.read_bytes())
        settings = Settings(data_dir=folder, min_free_bytes=0)
        services = build_services(settings)
        stack.callback(services.close)
        server = stack.enter_context(door(services.ingest, site=SITE))
        yield server, app_of(services).test_client()


def retrieved(client: FlaskClient, file: File) -> bytes | None:
    """By WADO-RS; None where it is not there."""
    study, series, instance = file.uids
    address = f"/dicomweb/studies/{study}/series/{series}/instances/{instance}"
    answer = client.get(address, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.status_code in (200, 404), (file.path, answer.data)
    return answer.data if answer.status_code == 200 else None


def test_every_data_set_comes_back_byte_for_byte(files: list[File], sqlite_template: Path) -> None:
    assert len(files) > 450
    for sent in rounds(files):
        with empty_service(sqlite_template) as (server, client):
            for file in sent:
                content = file.path.read_bytes()
                with associated(server, (file.sop_class, [file.syntax])) as one:
                    status = one.store(content)
                assert status == 0, file.path
                found = retrieved(client, file)
                assert found is not None, file.path
                assert split(found)[1] == split(content)[1], file.path


def test_dcmtk_sends_equal_data_sets(files: list[File], sqlite_template: Path, dcmtk: Path) -> None:
    proposed = [file for file in files if file.syntax in PROPOSED]
    assert len({file.syntax for file in proposed}) >= 12
    missing, unequal = set(), set()
    for sent in rounds(proposed):
        with empty_service(sqlite_template) as (server, client):
            send_by_dcmtk(dcmtk, server, sent)
            for file in sent:
                found = retrieved(client, file)
                if found is None:
                    missing.add(file.path.name)
                elif not is_equal(file, found):
                    unequal.add(file.path.name)
    assert missing == NOT_SENT
    assert unequal == REWRITTEN


def send_by_dcmtk(dcmtk: Path, server: DimseServer, files: list[File]) -> None:
    """An association for each transfer syntax; a file that cannot be sent is passed over."""
    for syntax, option in PROPOSED.items():
        paths = [file.path for file in files if file.syntax == syntax]
        options = [option, "-R", "-nh", "-aet", TITLE, "-aec", "IMAGING_FHIR"]
        if paths:
            subprocess.run(
                [dcmtk / "storescu", *options, "127.0.0.1", str(server.port), *paths],
                capture_output=True,
                check=False,
            )


def is_equal(file: File, stored: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sent, kept = pydicom.dcmread(file.path), pydicom.dcmread(BytesIO(stored))
        assert kept.file_meta.TransferSyntaxUID == file.syntax, file.path
        return pixels(sent) == pixels(kept) and attributes(sent) == attributes(kept)


def pixels(read: Dataset) -> list[bytes]:
    """The fragments of encapsulated pixel data, else all of it as one."""
    if "PixelData" not in read:
        return []
    if read["PixelData"].is_undefined_length:
        return list(generate_fragments(read.PixelData))
    return [read.PixelData]


def attributes(read: Dataset) -> Dataset:
    """All elements but those that are about the encoding alone, and the pixels."""
    for element in list(read):
        if element.tag.element == 0 or element.tag == TRAILING_PADDING:
            del read[element.tag]
    read.pop("PixelData", None)
    return read
