"""Our DICOM JSON against pydicom's, element by element, over the shared sample files.

What may differ, and why:
- group lengths are left out (PS3.18 F.2.2), SpecificCharacterSet is that of the JSON;
- long values and pixel data are BulkDataURI (the threshold is ours);
- padding spaces, which are not significant, are not kept;
- a value that its VR does not allow is absent here, where pydicom repeats it or gives up;
- an empty sequence has no Value (F.2.5), where pydicom writes an empty list.
"""

import csv
import json
import logging
import math
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from imaging_fhir.images.dicom_elements import ElementReader
from imaging_fhir.images.dicom_stream import start_of_file
from imaging_fhir.images.dicom_warnings import ReadWarnings
from imaging_fhir.model.codec import encode
from tests.dicom_samples import ct_instance

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
PIXEL_DATA = {"7FE00008", "7FE00009", "7FE00010"}

# pydicom refuses the whole element for a malformed value in it, and leaves it out
LEFT_OUT_BY_PYDICOM = {
    "dicom/dcmjs/structured_report.dcm": {"0040A730"},
    "dicom/pydicom-data/bad_sequence.dcm": {"00080018", "0020000D", "0020000E", "00200010"},
    "dicom/pydicom/badVR.dcm": {"00280008", "300C0002"},
    "dicom/pydicom/rtdose.dcm": {"300C0002"},
    "dicom/pydicom/rtdose_1frame.dcm": {"300C0002"},
    "dicom/pydicom/rtdose_expb.dcm": {"300C0002"},
    "dicom/pydicom/rtdose_expb_1frame.dcm": {"300C0002"},
    "dicom/pydicom/rtdose_rle.dcm": {"300C0002"},
    "dicom/pydicom/rtdose_rle_1frame.dcm": {"300C0002"},
}
NOT_AT_A_DATA_SET = {"dicom/pydicom/no_meta.dcm"}  # a stray byte before the first element


def shared_files() -> list[str]:
    if not DATA.is_dir():
        return []
    with (DATA / "MANIFEST.tsv").open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["path"] for row in rows if row["kind"].startswith("dicom")]


GROUPS = sorted({"/".join(path.split("/")[:2]) for path in shared_files()})


def ours(data: bytes) -> dict[str, Any]:
    start = start_of_file(BytesIO(data))
    elements = ElementReader(start, ReadWarnings()).read(start)
    found: dict[str, Any] = json.loads(encode(elements))
    return {tag: element for tag, element in found.items() if tag not in PIXEL_DATA}


def pydicoms(data: bytes) -> dict[str, Any]:
    logging.disable()  # pydicom reports every element it drops
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)
            return read.to_json_dict(suppress_invalid_tags=True)
    finally:
        logging.disable(logging.NOTSET)


def differences(mine: dict[str, Any], other: dict[str, Any], path: str = "") -> Iterator[str]:
    other = {tag: element for tag, element in other.items() if tag[4:] != "0000"}
    yield from (f"{path}{tag} only in one" for tag in sorted(mine.keys() ^ other.keys()))
    for tag in mine.keys() & other.keys():
        yield from element_differences(mine[tag], other[tag], path + tag)


def element_differences(mine: dict[str, Any], other: dict[str, Any], path: str) -> Iterator[str]:
    if mine["vr"] != other["vr"]:
        yield f"{path}: {mine['vr']} is not {other['vr']}"
    elif "BulkDataURI" in mine:
        assert mine["BulkDataURI"] == f"bulkdata/{path}"
        if len(other.get("InlineBinary", "")) <= 1024 and len(other.get("Value", "")) < 2**15:
            yield f"{path}: a short value is bulk data"
    elif mine.get("InlineBinary") != other.get("InlineBinary"):
        yield f"{path}: other bytes"
    elif mine["vr"] == "SQ":
        yield from item_differences(mine.get("Value", []), other.get("Value", []), path)
    elif not path.endswith("00080005"):
        yield from value_differences(mine.get("Value", []), other.get("Value", []), path)


def item_differences(mine: list[Any], other: list[Any], path: str) -> Iterator[str]:
    if len(mine) != len(other):
        yield f"{path}: {len(mine)} items, not {len(other)}"
    for number, (item, other_item) in enumerate(zip(mine, other, strict=False)):
        yield from differences(item, other_item, f"{path}/{number}/")


def value_differences(mine: list[Any], other: list[Any], path: str) -> Iterator[str]:
    trimmed = [significant(value) for value in other]
    if not any(value not in (None, {}, "") for value in trimmed):
        trimmed = []
    same = len(mine) == len(trimmed) and all(map(is_same, map(significant, mine), trimmed))
    if not same:
        yield f"{path}: {mine} is not {other}"


def significant(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: significant(part) for key, part in value.items() if part}
    return value.strip(" \0") or None if isinstance(value, str) else value


def is_same(value: Any, other: Any) -> bool:
    if isinstance(value, float) or isinstance(other, float):
        return math.isclose(value, other, rel_tol=1e-12)
    return bool(value == other or (value is None and not other))


def test_a_sample_is_converted_as_by_pydicom() -> None:
    data = ct_instance(PatientComments="two\r\nlines", SliceThickness="1.25", WindowCenter=[40, 1])
    assert ours(data)["00180050"] == {"vr": "DS", "Value": [1.25]}
    assert list(differences(ours(data), pydicoms(data))) == []


@pytest.mark.skipif(not GROUPS, reason="the shared sample files are not here")
@pytest.mark.parametrize("group", GROUPS or ["none"])
def test_shared_files_are_converted_as_by_pydicom(group: str) -> None:
    compared = 0
    for path in shared_files():
        if path.startswith(f"{group}/") and path not in NOT_AT_A_DATA_SET:
            data = (DATA / path).read_bytes()
            found = set(differences(ours(data), pydicoms(data)))
            allowed = {f"{tag} only in one" for tag in LEFT_OUT_BY_PYDICOM.get(path, ())}
            assert found == allowed, path
            compared += 1
    assert compared
