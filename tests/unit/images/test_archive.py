import io
import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from imaging_fhir.errors import ImagingError, UnreadableImage, UnsupportedImage, UploadTooLarge
from imaging_fhir.images.archive import ArchiveLimits, Member, is_archive, members
from tests.samples import SAMPLES
from tests.unit.images.test_folder import dicomdir

DATA = Path(__file__).parents[4] / "shared" / "data"
JPEG = SAMPLES["image/jpeg"]()


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as target:
        for name, data in files.items():
            target.writestr(name, data)
    content.seek(0)
    return content


def read(member: Member) -> bytes:
    with member.open() as stream:
        return stream.read()


def outcomes(stream: io.BytesIO, limits: ArchiveLimits | None = None) -> dict[str, bytes | str]:
    """Each member's bytes, or the name of the error it raises."""
    found: dict[str, bytes | str] = {}
    for member in members(stream, limits=limits):
        try:
            found[member.name] = read(member)
        except ImagingError as error:
            found[member.name] = type(error).__name__
    return found


def test_an_archive_is_told_by_content() -> None:
    assert is_archive(archive({"a": b""}).getvalue())
    assert is_archive(archive({}).getvalue())
    assert not any(is_archive(sample()) for sample in SAMPLES.values())


def test_every_file_comes_out_as_it_went_in() -> None:
    files = {f"folder/{number}.dcm": random.Random(number).randbytes(20_000) for number in range(3)}
    assert outcomes(archive(files)) == files
    assert outcomes(archive(files, zipfile.ZIP_STORED)) == files


def test_folders_junk_and_a_dicomdir_are_left_out() -> None:
    names = ["a/", "__MACOSX/._1.jpg", "a/.DS_Store", "a/Thumbs.db", "a/desktop.ini", "a/1.jpg"]
    stream = archive({**dict.fromkeys(names, JPEG), "DICOMDIR": dicomdir()})
    assert list(outcomes(stream)) == ["a/1.jpg"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\windows\\win.ini", "windows/win.ini"),
        ("a/./b\x1b[31m.jpg", "a/b[31m.jpg"),
        ("..", "unnamed"),
        ("x" * 400, "x" * 255),
    ],
)
def test_a_name_that_leads_elsewhere_leads_nowhere(name: str, shown: str) -> None:
    assert outcomes(archive({name: JPEG})) == {shown: JPEG}


def test_the_archives_in_an_archive_are_opened() -> None:
    inner = archive({"1.jpg": JPEG}).getvalue()
    assert outcomes(archive({"inner.zip": inner, "2.jpg": JPEG})) == {
        "inner.zip/1.jpg": JPEG,
        "2.jpg": JPEG,
    }


def test_archives_are_opened_only_so_deep() -> None:
    content = archive({"1.jpg": JPEG}).getvalue()
    for _ in range(5):
        content = archive({"z": content}).getvalue()
    found = outcomes(io.BytesIO(content), ArchiveLimits(depth=3))
    assert found == {"z/z/z/z": "UnsupportedImage"}


def test_a_damaged_archive_in_an_archive_spoils_no_other_member() -> None:
    found = outcomes(archive({"broken.zip": b"PK\x03\x04 and no more", "1.jpg": JPEG}))
    assert found == {"broken.zip": "UnreadableImage", "1.jpg": JPEG}


def test_too_many_entries_refuse_the_archive() -> None:
    stream = archive({str(number): b"" for number in range(11)})
    with pytest.raises(UploadTooLarge):
        list(members(stream, limits=ArchiveLimits(entries=10)))


def test_the_entries_of_archives_in_archives_count_together() -> None:
    inner = archive({str(number): JPEG for number in range(4)}).getvalue()
    stream = archive({"a.zip": inner, "b.zip": inner, "c.jpg": JPEG})
    found = outcomes(stream, ArchiveLimits(entries=9))
    assert found["b.zip"] == "UploadTooLarge"
    assert found["c.jpg"] == JPEG


def test_a_member_that_says_it_is_too_large_is_not_unpacked() -> None:
    stream = archive({"large": bytes(5000), "small": JPEG})
    assert outcomes(stream, ArchiveLimits(member_bytes=4000)) == {
        "large": "UploadTooLarge",
        "small": JPEG,
    }


def test_a_member_that_lies_about_its_size_is_stopped() -> None:
    content = bytearray(archive({"liar": bytes(5_000_000)}).getvalue())
    for offset in (22, content.index(b"PK\x01\x02") + 24):  # its size, in both headers
        content[offset : offset + 4] = struct.pack("<I", 100)
    found = outcomes(io.BytesIO(bytes(content)), ArchiveLimits(member_bytes=4000))
    assert found["liar"] in ("UnreadableImage", "UploadTooLarge")


def test_a_member_that_grows_beyond_the_ratio_is_stopped() -> None:
    limits = ArchiveLimits(ratio=100, ratio_free_bytes=10_000)
    assert outcomes(archive({"bomb": bytes(1_000_000), "1.jpg": JPEG}), limits) == {
        "bomb": "UploadTooLarge",
        "1.jpg": JPEG,
    }


def test_the_bytes_of_all_members_count_together() -> None:
    files = {str(number): random.Random(number).randbytes(50_000) for number in range(5)}
    found = outcomes(archive(files), ArchiveLimits(total_bytes=150_000))
    assert found["0"] == files["0"]
    assert found["4"] == "UploadTooLarge"


def test_entries_that_share_bytes_are_refused() -> None:
    """A directory whose every entry is the same packed bytes: a 'better zip bomb'."""
    content = archive({"a": JPEG}).getvalue()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[start:end]
    doubled = bytearray(content[:end] + entry + content[end:])
    trailer = doubled.rindex(b"PK\x05\x06")
    doubled[trailer + 8 : trailer + 16] = struct.pack("<HHI", 2, 2, 2 * len(entry))
    shared = list(members(io.BytesIO(bytes(doubled))))
    assert len(shared) == 2
    for member in shared:
        with pytest.raises(UnreadableImage, match="shares"):
            member.open()


def test_a_link_is_no_file() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, "/etc/passwd")
    assert outcomes(content) == {"link.jpg": "UnsupportedImage"}


def test_an_encrypted_member_says_so() -> None:
    content = bytearray(archive({"secret": JPEG}).getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (member,) = members(io.BytesIO(bytes(content)))
    with pytest.raises(UnsupportedImage, match="encrypted"):
        member.open()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_member_packed_in_an_unusual_way_says_so(method: int) -> None:
    assert outcomes(archive({"1.jpg": JPEG}, method)) == {"1.jpg": "UnsupportedImage"}


def test_a_member_with_a_wrong_checksum_is_damaged() -> None:
    content = bytearray(archive({"1.jpg": JPEG}, zipfile.ZIP_STORED).getvalue())
    content[content.index(JPEG[:20]) + 300] ^= 0xFF
    assert outcomes(io.BytesIO(bytes(content))) == {"1.jpg": "UnreadableImage"}


def test_a_directory_of_absurd_length_is_not_read() -> None:
    content = bytearray(archive({"1.jpg": bytes(3_000_000)}, zipfile.ZIP_STORED).getvalue())
    trailer = content.rindex(b"PK\x05\x06")
    content[trailer + 12 : trailer + 20] = struct.pack("<II", trailer, 0)
    with pytest.raises(UploadTooLarge):
        list(members(io.BytesIO(bytes(content)), limits=ArchiveLimits(entries=10)))


def test_damaged_archives_raise_nothing_else() -> None:
    chance = random.Random(1)
    whole = archive({"1.jpg": JPEG, "in.zip": archive({"2.jpg": JPEG}).getvalue()}).getvalue()
    for _ in range(500):
        content = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randint(0, 5)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            outcomes(io.BytesIO(bytes(content)))
        except ImagingError as error:
            assert isinstance(error, UnreadableImage | UploadTooLarge)  # noqa: PT017


def test_the_hostile_archives_are_refused_or_harmless() -> None:
    paths = sorted(DATA.glob("hostile/zip/**/*.zip"))
    if not paths:
        pytest.skip("the shared data is not here")
    for path in paths:
        try:
            found = outcomes(io.BytesIO(path.read_bytes()))
        except UnreadableImage:
            continue
        assert all(isinstance(content, str) or len(content) < 1000 for content in found.values())


def test_sixty_four_bit_archives_are_read() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target, target.open("1.jpg", "w", force_zip64=True) as to:
        to.write(JPEG)
    assert outcomes(content) == {"1.jpg": JPEG}
