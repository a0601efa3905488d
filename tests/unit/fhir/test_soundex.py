import pytest

from imaging_fhir.fhir.soundex import soundex


@pytest.mark.parametrize(
    ("word", "code"),
    [  # the examples of the US National Archives
        ("washington", "w252"),
        ("lee", "l000"),
        ("gutierrez", "g362"),
        ("pfister", "p236"),
        ("jackson", "j250"),
        ("tymczak", "t522"),
        ("ashcraft", "a261"),
        ("李", "李"),
    ],
)
def test_words_that_sound_alike_have_one_code(word: str, code: str) -> None:
    assert soundex(word) == code
