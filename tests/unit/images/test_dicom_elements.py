import json
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.images.dicom_charset import DEFAULT
from imaging_fhir.images.dicom_elements import (
    MAX_DEPTH,
    MAX_REMEMBERED,
    ElementReader,
    remembered,
)
from imaging_fhir.images.dicom_stream import start_of_file
from imaging_fhir.images.dicom_warnings import ReadWarnings
from imaging_fhir.model.codec import encode
from tests.dicom_samples import ct_instance, deflated

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"

ITEM = b"\xfe\xff\x00\xe0"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
UNDEFINED = b"\xff\xff\xff\xff"
CHARSET = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"


def explicit(tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    return head + (struct.pack("<HL", 0, size) if long else struct.pack("<H", size)) + value


def file(body: bytes, syntax: str = ExplicitVRLittleEndian) -> bytes:
    meta = explicit(0x00020010, b"UI", syntax.encode().ljust(len(syntax) + len(syntax) % 2, b"\0"))
    return bytes(128) + b"DICM" + meta + body


def read(data: bytes) -> tuple[dict[str, Any], ReadWarnings, ElementReader]:
    start = start_of_file(BytesIO(data))
    warnings = ReadWarnings()
    reader = ElementReader(start, warnings)
    return json.loads(encode(reader.read(start))), warnings, reader


def said(warnings: ReadWarnings) -> dict[str, str]:
    return {warning.keyword: warning.message for warning in warnings.as_tuple()}


def test_a_large_value_is_named_by_its_path_and_not_loaded() -> None:
    icon = {"PixelData": bytes(5000), "BitsAllocated": 16}
    found, _, _ = read(
        ct_instance(
            IconImageSequence=[icon],
            RedPaletteColorLookupTableData=bytes(2000),
            ContentSequence=[{"TextValue": "short"}, {"TextValue": "x" * 70_000}],
        )
    )
    assert found["00281201"] == {"vr": "OW", "BulkDataURI": "bulkdata/00281201"}
    assert found["00880200"]["Value"][0]["7FE00010"]["BulkDataURI"] == (
        "bulkdata/00880200/0/7FE00010"
    )
    assert found["0040A730"]["Value"][1]["0040A160"] == {
        "vr": "UT",
        "BulkDataURI": "bulkdata/0040A730/1/0040A160",
    }


def test_a_short_binary_value_is_inline() -> None:
    found, _, _ = read(ct_instance(RedPaletteColorLookupTableData=b"\x01\x02"))
    assert found["00281201"] == {"vr": "OW", "InlineBinary": "AQI="}


def test_empty_attributes_and_sequences_have_no_value() -> None:
    found, _, _ = read(ct_instance(PatientComments="", ContentSequence=[]))
    assert found["00104000"] == {"vr": "LT"}
    assert found["0040A730"] == {"vr": "SQ"}


def test_group_lengths_are_left_out() -> None:
    body = explicit(0x00080000, b"UL", b"\x12\0\0\0") + CHARSET
    assert list(read(file(body))[0]) == ["00080005"]


def test_an_item_may_have_a_character_set_of_its_own() -> None:
    inner = explicit(0x00080005, b"CS", b"ISO_IR 144") + explicit(0x00080104, b"LO", b"\xbb\xee")
    item = ITEM + struct.pack("<L", len(inner)) + inner
    after = explicit(0x00100020, b"LO", b"\xe9\xe8")
    found, _, _ = read(file(CHARSET + explicit(0x00081032, b"SQ", item) + after))
    assert found["00081032"]["Value"][0]["00080104"]["Value"] == ["\u041b\u044e"]
    assert found["00100020"]["Value"] == ["éè"]


def test_undefined_lengths_end_at_their_delimiters() -> None:
    inner = explicit(0x00080104, b"LO", b"in")
    item = ITEM + UNDEFINED + inner + ITEM_END
    sequence = explicit(0x00081032, b"SQ", item * 2 + SEQUENCE_END, length=0xFFFFFFFF)
    found, warnings, _ = read(file(sequence + explicit(0x00100020, b"LO", b"after ")))
    assert len(found["00081032"]["Value"]) == 2
    assert found["00100020"]["Value"] == ["after"]
    assert said(warnings) == {}


def test_a_missing_item_delimiter_ends_the_sequence_too() -> None:
    item = ITEM + UNDEFINED + explicit(0x00080104, b"LO", b"in")
    sequence = explicit(0x00081032, b"SQ", item + SEQUENCE_END, length=0xFFFFFFFF)
    found, _, _ = read(file(sequence + explicit(0x00100020, b"LO", b"after ")))
    assert found["00100020"]["Value"] == ["after"]


def test_unknown_vr_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    inner = struct.pack("<HHL", 0x0008, 0x0104, 2) + b"in"
    item = ITEM + struct.pack("<L", len(inner)) + inner
    body = explicit(0x00081032, b"UN", item + SEQUENCE_END, length=0xFFFFFFFF)
    assert read(file(body))[0]["00081032"] == {
        "vr": "SQ",
        "Value": [{"00080104": {"vr": "LO", "Value": ["in"]}}],
    }


def test_an_unknown_vr_of_a_public_tag_is_looked_up() -> None:
    body = explicit(0x00100020, b"UN", b"4711")
    assert read(file(body))[0]["00100020"] == {"vr": "LO", "Value": ["4711"]}


def test_a_private_element_in_implicit_vr_is_unknown_unless_its_creator_is_known() -> None:
    def private(creator: bytes) -> bytes:
        head = struct.pack("<HHL", 0x0009, 0x0010, len(creator)) + creator
        return head + struct.pack("<HHL", 0x0009, 0x1001, 4) + b"ABCD"

    unknown, _, _ = read(file(private(b"NOBODY"), ImplicitVRLittleEndian))
    assert unknown["00090010"] == {"vr": "LO", "Value": ["NOBODY"]}
    assert unknown["00091001"] == {"vr": "UN", "InlineBinary": "QUJDRA=="}
    known, _, _ = read(file(private(b"GEMS_IDEN_01"), ImplicitVRLittleEndian))
    assert known["00091001"] == {"vr": "LO", "Value": ["ABCD"]}


def test_us_or_ss_follows_pixel_representation() -> None:
    body = struct.pack("<HHLH", 0x0028, 0x0103, 2, 1) + struct.pack("<HHLh", 0x0028, 0x0106, 2, -5)
    found, _, _ = read(file(body, ImplicitVRLittleEndian))
    assert found["00280106"] == {"vr": "SS", "Value": [-5]}


def test_fragments_in_an_item_are_passed_over() -> None:
    fragments = ITEM + b"\0\0\0\0" + ITEM + b"\x04\0\0\0abcd" + SEQUENCE_END
    inner = explicit(0x7FE00010, b"OB", fragments, length=0xFFFFFFFF)
    item = ITEM + struct.pack("<L", len(inner)) + inner
    found, _, reader = read(
        file(explicit(0x00880200, b"SQ", item) + explicit(0x00880904, b"LO", b"on"))
    )
    assert found["00880904"]["Value"] == ["on"]
    assert not reader.has_pixel_data


def test_a_claimed_length_beyond_the_file_is_noted() -> None:
    found, warnings, _ = read(file(CHARSET + explicit(0x00100020, b"LO", b"47", length=200)))
    assert found["00100020"]["Value"] == ["47"]
    assert said(warnings) == {"PatientID": "ends in the middle of an element"}


def test_deep_nesting_stops_with_a_warning() -> None:
    opening = explicit(0x0040A730, b"SQ", ITEM + UNDEFINED, length=0xFFFFFFFF)
    found, warnings, _ = read(file(CHARSET + opening * 5000))
    assert "nested deeper than" in said(warnings)["ContentSequence"]
    depth = 0
    while "0040A730" in found and "Value" in found["0040A730"]:
        found, depth = found["0040A730"]["Value"][0], depth + 1
    assert depth == MAX_DEPTH


def test_many_items_are_all_in_the_json() -> None:
    steps = [{"CodeMeaning": f"step {number}"} for number in range(100)]
    found, _, _ = read(ct_instance(ContentSequence=steps))
    meanings = [item["00080104"]["Value"][0] for item in found["0040A730"]["Value"]]
    assert meanings == [f"step {number}" for number in range(100)]


def test_a_long_list_of_numbers_is_all_in_the_json() -> None:
    found, _, _ = read(ct_instance(ContourData=[str(number) for number in range(500)]))
    assert found["30060050"]["Value"] == list(range(500))


def test_many_frames_with_many_attributes_are_all_in_the_json() -> None:
    position = struct.pack("<2H", 0x0020, 0x9113) + b"SQ\0\0" + UNDEFINED + SEQUENCE_END
    frame = b"".join(explicit(0x00090000 | n, b"LO", b"x ") for n in range(0x1001, 0x1009))
    item = ITEM + struct.pack("<L", len(frame + position)) + frame + position
    groups = explicit(0x52009230, b"SQ", item * 12_000)
    found, warnings, _ = read(file(groups + explicit(0x54000100, b"SQ", b"")))
    assert len(found["52009230"]["Value"]) == 12_000
    assert all(len(frame) == 9 for frame in found["52009230"]["Value"])
    assert list(found) == ["52009230", "54000100"]
    assert said(warnings) == {}


def test_elements_beyond_the_limit_are_left_out_with_a_warning() -> None:
    found, warnings, _ = read(file(CHARSET + explicit(0x0040A730, b"SQ", EMPTY_ITEMS)))
    assert list(found) == ["00080005", "0040A730"]
    assert said(warnings) == {"ContentSequence": "is beyond the number of elements that are read"}


def test_elements_out_of_order_are_put_in_order() -> None:
    found, _, _ = read(file(explicit(0x00100020, b"LO", b"4711") + CHARSET))
    assert list(found) == ["00080005", "00100020"]


def test_empty_pixel_data_is_no_pixel_data() -> None:
    _, _, reader = read(file(CHARSET + explicit(0x7FE00010, b"OW", b"")))
    assert not reader.has_pixel_data


def nested(value: bytes, levels: int) -> bytes:
    for _ in range(levels):
        value = explicit(0x0040A730, b"SQ", ITEM + struct.pack("<L", len(value)) + value)
    return value


EMPTY_ITEMS = (ITEM + b"\0\0\0\0") * 2_000_000


def empty_elements() -> bytes:
    return b"".join(
        struct.pack("<HH2sH", 9 + 2 * (number >> 16), number & 0xFFFF, b"LO", 0)
        for number in range(1, 600_000)
    )


def items_of_numbers() -> bytes:
    numbers = explicit(0x00281201, b"US", bytes(60_000))
    return explicit(0x0040A730, b"SQ", (ITEM + struct.pack("<L", len(numbers)) + numbers) * 500)


def deflated_file(body: bytes) -> bytes:
    return file(deflated(body), DeflatedExplicitVRLittleEndian)


def long_meta_value() -> bytes:
    return file(b"")[:132] + explicit(0x00020010, b"OB", b"", length=0xFFFFFFF0) + CHARSET


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a value of 4 GB": lambda: file(explicit(0x00100020, b"UT", b"x", length=0xFFFFFFFE)),
    "a sequence of 4 GB": lambda: file(explicit(0x0040A730, b"SQ", ITEM, length=0xFFFFFFFE)),
    "an item of 4 GB": lambda: file(explicit(0x0040A730, b"SQ", ITEM + b"\xfe\xff\xff\xff")),
    "a meta value of 4 GB": long_meta_value,
    "sequences in sequences": lambda: file(nested(bytes(60_000), 500)),
    "empty items": lambda: file(explicit(0x0040A730, b"SQ", EMPTY_ITEMS)),
    "empty elements": lambda: file(empty_elements()),
    "numbers": lambda: file(items_of_numbers()),
    "a deflate bomb": lambda: deflated_file(CHARSET + bytes(100_000_000)),
    "a deflate bomb of items": lambda: deflated_file(explicit(0x0040A730, b"SQ", EMPTY_ITEMS)),
}


READ_ALONE = """
import resource, sys
from imaging_fhir.errors import ImagingError
from imaging_fhir.images.dicom import DicomReader

DicomReader().read(open(sys.argv[1], "rb"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        DicomReader().read(open(path, "rb"))
    except ImagingError:
        pass
    except Exception as error:
        assert not isinstance(error, MemoryError)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def growth_of_memory(sample: Path, paths: list[Path]) -> int:
    """Kilobytes that reading these files adds to a process of its own, 700 MB at most."""
    limit = 700 * 1024**2
    done = subprocess.run(
        [sys.executable, "-c", READ_ALONE, str(sample), *map(str, paths)],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_grows_memory_by_tens_of_megabytes_at_most(
    name: str, tmp_path: Path
) -> None:
    sample, path = tmp_path / "sample.dcm", tmp_path / "hostile.dcm"
    sample.write_bytes(ct_instance())
    path.write_bytes(HOSTILE[name]())
    assert growth_of_memory(sample, [path]) < 80 * 1024


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared sample files are not here")
def test_hostile_shared_files_do_no_harm(tmp_path: Path) -> None:
    sample = tmp_path / "sample.dcm"
    sample.write_bytes(ct_instance())
    paths = [path for path in sorted((DATA / "hostile").rglob("*")) if path.is_file()]
    assert growth_of_memory(sample, paths) < 80 * 1024


def test_what_another_file_said_in_the_same_bytes_changes_nothing() -> None:
    """Neither its character set nor its warnings."""
    name = explicit(0x00080080, b"LO", b"Caf\xe9")
    bad_number = explicit(0x00280030, b"DS", b"12,5")
    latin, _, _ = read(file(CHARSET + name))
    cyrillic, _, _ = read(file(CHARSET.replace(b"100", b"144") + name))
    assert cyrillic["00080080"]["Value"] == ["Caf\u0449"]
    for _ in range(2):
        plain, warnings, _ = read(file(name + bad_number))
        assert plain["00080080"] == latin["00080080"] == {"vr": "LO", "Value": ["Café"]}
        assert set(said(warnings)) == {"InstitutionName", "PixelSpacing"}
    of_item = ITEM + struct.pack("<L", len(bad_number)) + bad_number
    of_items = explicit(0x00081110, b"SQ", of_item * 2)
    for _ in range(2):
        _, warnings, _ = read(file(of_items))
        assert said(warnings) == {"PixelSpacing": "is not a number"}


def test_what_is_remembered_of_files_is_bounded() -> None:
    numbers = (f"{number:06}".encode() for number in range(MAX_REMEMBERED + 10))
    body = b"".join(explicit(0x00181030, b"LO", number) for number in numbers)
    assert read(file(body))[0]["00181030"]["Value"] == [f"{MAX_REMEMBERED + 9:06}"]
    assert 0 < len(remembered(False, True, (DEFAULT,), False)) <= MAX_REMEMBERED
