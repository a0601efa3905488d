"""`imaging-fhir ingest` on a folder of real, odd and hostile files of every type."""

import json
import sqlite3
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pypdfium2
import pytest
from PIL import Image

from tests.e2e.processes import MEGABYTE, Run, run

NO_IMAGE = (415, "no image type")
NO_STUDY = (422, "no StudyInstanceUID")
NO_SOP = (422, "no SOPInstanceUID")
PYDICOM = "dicom/pydicom"
REFUSED_FILES = {
    "MANIFEST.tsv": NO_IMAGE,
    "README.md": NO_IMAGE,
    "dicom/pdf2dcm/CT_small_no_UID.dcm": (422, "no SeriesInstanceUID"),
    f"{PYDICOM}/FileInfo.txt": NO_IMAGE,
    f"{PYDICOM}/JPEGLSNearLossless_08.dcm": NO_STUDY,
    f"{PYDICOM}/JPEGLSNearLossless_16.dcm": NO_STUDY,
    f"{PYDICOM}/SC_rgb_jls_lossy_line.dcm": NO_STUDY,
    f"{PYDICOM}/SC_rgb_jls_lossy_sample.dcm": NO_STUDY,
    f"{PYDICOM}/UN_sequence.dcm": NO_STUDY,
    f"{PYDICOM}/chrSQEncoding.dcm": NO_STUDY,
    f"{PYDICOM}/chrSQEncoding1.dcm": NO_STUDY,
    f"{PYDICOM}/crayons.icc": NO_IMAGE,
    f"{PYDICOM}/empty_charset_LEI.dcm": NO_SOP,
    f"{PYDICOM}/meta_missing_tsyntax.dcm": NO_SOP,
    f"{PYDICOM}/nested_priv_SQ.dcm": NO_SOP,
    f"{PYDICOM}/no_meta.dcm": NO_IMAGE,  # 18 bytes
    f"{PYDICOM}/no_meta_group_length.dcm": NO_STUDY,
    f"{PYDICOM}/priv_SQ.dcm": NO_STUDY,
    f"{PYDICOM}/test1.json": NO_IMAGE,
    f"{PYDICOM}/test_PN.json": NO_IMAGE,
    f"{PYDICOM}/zipMR.gz": NO_IMAGE,
    "dicom/pydicom-data/HTJ2KLossless_08_RGB.dcm": NO_STUDY,
    "dicom/pydicom-data/HTJ2K_08_RGB.dcm": NO_STUDY,
    "dicom/pydicom-data/JLSL_16_15_1_1F.dcm": NO_STUDY,
    "dicom/pydicom-data/JLSN_RGB_ILV0.dcm": NO_SOP,
    "dicom/pydicom-data/bad_sequence.dcm": (422, "SOPInstanceUID is not a UID"),  # a hash
    "doc/FHIR-Converter/CDA_with_Embedded_PDF.ccda": NO_IMAGE,
    "doc/FHIR-Converter/Diagnostic_Imaging_Report.ccda": NO_IMAGE,
    "doc/tika/testPDF_no_extract_no_accessibility_owner_user.pdf": (422, "password"),
    "image/exif/tika/testHEIF.heic": NO_IMAGE,
    "image/scikit-image/multipage_rgb.tif": (422, "damaged"),  # 303,169,682 samples a pixel
    "wsi/ome-types/multi-channel.ome.xml": NO_IMAGE,
}
REFUSED_FOLDERS = ("derived/large_studies", "fhir", "hl7v2", "image/heic", "model", "video")
ALLOWED_GROWTH = 400 * MEGABYTE
SECONDS = 240


@dataclass(frozen=True)
class Ingested:
    root: Path
    data_dir: Path
    run: Run
    results: dict[str, list[dict[str, Any]]]

    def statuses(self, name: str) -> list[int]:
        return [result["status"] for result in self.results.get(name, [])]


@pytest.fixture(scope="module")
def ingested(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    data_dir = tmp_path_factory.mktemp("shared-data")
    done = ingest(shared_data, data_dir)
    results: dict[str, list[dict[str, Any]]] = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        name = Path(result["file"]).relative_to(shared_data)
        results.setdefault(str(name), []).append(result)
    return Ingested(shared_data, data_dir, done, results)


def ingest(root: Path, data_dir: Path, *options: str) -> Run:
    return run("ingest", root, "--json", *options, data_dir=data_dir, timeout=SECONDS)


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def is_expected_to_be_good(name: str) -> bool:
    return not name.startswith(("hostile/", "tiny/"))


def expected_refusal(name: str) -> tuple[int, str] | None:
    if name.startswith(tuple(f"{folder}/" for folder in REFUSED_FOLDERS)):
        return NO_IMAGE
    return REFUSED_FILES.get(name)


def test_every_file_is_answered_but_the_directories_of_discs(ingested: Ingested) -> None:
    unanswered = set(names(ingested.root)) - set(ingested.results)
    assert unanswered
    assert all("DICOMDIR" in Path(name).name for name in unanswered)


def test_files_are_taken_in_or_refused_for_the_expected_reason(ingested: Ingested) -> None:
    for name in filter(is_expected_to_be_good, ingested.results):
        expected = expected_refusal(name)
        for result in ingested.results[name]:
            if expected is None:
                assert result["status"] in (200, 201, 202), result
                assert result["location"], result
            else:
                assert result["status"] == expected[0], result
                assert expected[1] in result["message"], result


def test_whatever_another_program_opens_is_taken_in(ingested: Ingested) -> None:
    """Of DICOM files, those that can be identified."""
    opened = 0
    for name in filter(is_expected_to_be_good, ingested.results):
        if opens(ingested.root / name):
            opened += 1
            assert max(ingested.statuses(name)) < 300, ingested.results[name]
    assert opened > 500


def opens(path: Path) -> bool:
    return opens_as_dicom(path) or opens_as_picture(path) or opens_as_pdf(path)


def opens_as_dicom(path: Path) -> bool:
    """Whether pydicom opens it, and the three UIDs are UIDs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:
            return False
        keywords = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        uids = [str(found.get(keyword) or "") for keyword in keywords]
    return all(uid and set(uid) <= set("0123456789.") for uid in uids)


def opens_as_picture(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.open(path).close()
        except Exception:
            return False
    return True


def opens_as_pdf(path: Path) -> bool:
    try:
        pypdfium2.PdfDocument(path).close()
    except pypdfium2.PdfiumError:
        return False
    return True


def test_no_file_is_a_fault_of_the_server(ingested: Ingested) -> None:
    assert ingested.run.exit_code == 1  # some were refused
    assert "Traceback" not in ingested.run.stderr
    for results in ingested.results.values():
        assert all(result["status"] < 500 for result in results), results


def test_no_file_makes_the_processes_grow(ingested: Ingested) -> None:
    """All of them together, over an idle command's some 70 MB."""
    assert 20 * MEGABYTE < ingested.run.peak_memory < ALLOWED_GROWTH


@pytest.mark.parametrize("options", [[], ["--again"]], ids=["by the journal", "looking again"])
def test_a_second_run_changes_nothing(ingested: Ingested, options: list[str]) -> None:
    before = kept(ingested.data_dir)
    done = ingest(ingested.root, ingested.data_dir, *options)
    statuses = [json.loads(line)["status"] for line in done.stdout.splitlines()]
    first = [result["status"] for results in ingested.results.values() for result in results]
    assert sorted(statuses) == sorted(200 if status == 201 else status for status in first)
    assert kept(ingested.data_dir) == before


def kept(data_dir: Path) -> dict[str, list[Any]]:
    """Every row but what says when a command looked last, and every blob."""
    with sqlite3.connect(data_dir / "imaging.db") as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in ("journal", "commit_clock")
        ]
        content = {name: rows(connection, name) for name in tables}
    blobs = (path for path in (data_dir / "blobs").rglob("*") if path.is_file())
    content["blobs"] = sorted((path.name, path.stat().st_mtime_ns) for path in blobs)
    return content


def rows(connection: sqlite3.Connection, table: str) -> list[Any]:
    return sorted(map(repr, connection.execute(f"SELECT * FROM {table}")))  # noqa: S608
