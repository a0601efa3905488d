import pytest

from imaging_fhir.images.dicom_charset import charset_of, clean

# PS3.5 annexes H to K, and the ISO 8859 parts
EXAMPLES = [
    (b"ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (b"ISO_IR 101", b"W\xb3os", "Włos"),
    (b"ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    (b"ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea", "قباني"),
    (b"ISO_IR 138", b"\xf9\xf8\xe5\xef", "שרון"),
    (b"ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),  # noqa: RUF001  # PS3.5's own
    (b"ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
    (b"\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "洪^吉洞"),
    (b"ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
    (b"GBK", "王^小东".encode("gbk"), "王^小东"),
]


@pytest.mark.parametrize(("named", "value", "expected"), EXAMPLES)
def test_text_is_decoded_by_the_character_set_that_the_file_names(
    named: bytes, value: bytes, expected: str
) -> None:
    assert charset_of(named).decode(value, b"\\^=") == (expected, None)


@pytest.mark.parametrize("named", [b"ISO-IR 100", b"iso_ir 100 ", b"ISO IR 100", b"ISO_IR_100"])
def test_a_misspelled_character_set_is_understood_and_noted(named: bytes) -> None:
    charset = charset_of(named)
    assert charset.decode(b"J\xe9r\xf4me") == ("Jérôme", None)
    assert charset.complaint


@pytest.mark.parametrize(
    ("value", "expected"), [(b"J\xe9r\xf4me", "Jérôme"), ("Jérôme".encode(), "Jérôme")]
)
@pytest.mark.parametrize("named", [b"", b"ISO_IR 999", b"utf9"])
def test_with_no_known_character_set_utf_8_or_latin_1_is_guessed_and_noted(
    named: bytes, value: bytes, expected: str
) -> None:
    assert charset_of(named).decode(value) == (
        expected,
        "is not in the character set that the file names",
    )


def test_what_does_not_decode_is_replaced_and_noted() -> None:
    text, complaint = charset_of(b"ISO_IR 192").decode(b"J\xe9r")
    assert text == "J\ufffdr"
    assert complaint


def test_an_unknown_escape_sequence_is_noted() -> None:
    text, complaint = charset_of(b"\\ISO 2022 IR 87").decode(b"A\x1b%ZB")
    assert text.startswith("A")
    assert complaint == "has an unknown escape sequence"


def test_an_escape_sequence_ends_at_a_delimiter() -> None:
    charset = charset_of(b"ISO 2022 IR 6\\ISO 2022 IR 126")
    assert charset.decode(b"\x1b-F\xc4\\A", b"\\") == ("Δ\\A", None)


def test_control_characters_are_removed_and_line_ends_kept() -> None:
    assert clean("a\0b\x1b\x7fc\r\n\td") == "abc\r\n\td"
