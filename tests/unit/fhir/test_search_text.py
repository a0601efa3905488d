"""`_text` and `_content`: what words a resource has, and what asks for them."""

import pytest

from imaging_fhir.fhir.search_index import index_entries, study_entries
from imaging_fhir.fhir.search_text import words_value
from imaging_fhir.model.search import AllWords, PhraseValue, TextEntry, WordsValue
from imaging_fhir.model.words import LONGEST_TEXT, MOST_WORDS, words_in, words_of_texts


def phrase(*words: str, begins: bool = False) -> PhraseValue:
    return PhraseValue(words=words, begins=begins)


def all_of(*parts: PhraseValue | WordsValue, without: tuple[PhraseValue, ...] = ()) -> AllWords:
    return AllWords(parts=parts, without=without)


@pytest.mark.parametrize(
    ("text", "alternatives"),
    [
        ("Arm", [all_of(phrase("warm"))]),
        ("left arm", [all_of(phrase("wleft"), phrase("warm"))]),
        ("left AND arm", [all_of(phrase("wleft"), phrase("warm"))]),
        ('"left arm"', [all_of(phrase("wleft", "warm"))]),
        ("X-ray", [all_of(phrase("wx", "wray"))]),
        ("brok*", [all_of(phrase("wbrok", begins=True))]),
        ("left or arm", [all_of(phrase("wleft")), all_of(phrase("warm"))]),
        ("arm not right", [all_of(phrase("warm"), without=(phrase("wright"),))]),
        ("arm AND NOT right", [all_of(phrase("warm"), without=(phrase("wright"),))]),
        ("not right arm", [all_of(phrase("warm"), without=(phrase("wright"),))]),
        (
            "(bone OR liver) and metastases",
            [
                all_of(
                    WordsValue(alternatives=(all_of(phrase("wbone")), all_of(phrase("wliver")))),
                    phrase("wmetastases"),
                )
            ],
        ),
    ],
)
def test_words_are_asked_for_as_search_engines_know_it(
    text: str, alternatives: list[AllWords]
) -> None:
    assert words_value(text) == WordsValue(alternatives=tuple(alternatives))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not arm",
        "arm or not leg",
        "(arm",
        "arm)",
        "arm or",
        "or arm",
        '"arm',
        '"',
        "and",
        "!!",
        "arm not",
        "()",
        "(" * 11 + "arm" + ")" * 11,
        "arm " * 51,
    ],
)
def test_what_asks_for_nothing_or_for_nearly_everything_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\."):
        words_value(text)


def test_a_word_is_folded_and_of_ascii_alone() -> None:
    assert words_in("Zoë's ŁÓDŹ 1e5_x") == ["wzoe", "ws", "wlodz", "w1e5", "wx"]
    assert words_in("Жан") == ["wx436xx430xx43dx"]
    assert all(word.isascii() and word.isalnum() for word in words_in("胸部 CT ١٢ ½ हिन्दी"))


def test_the_words_of_a_resource_are_bounded() -> None:
    assert len(words_of_texts(["a b " * MOST_WORDS]).split()) == MOST_WORDS
    assert len(words_of_texts(["\u4e00" * 100_000 + " "] * 10_000)) <= LONGEST_TEXT


def test_all_that_is_said_to_people_counts_and_the_narrative_apart() -> None:
    content = {
        "resourceType": "DocumentReference",
        "id": "secret-id",
        "text": {"status": "additional", "div": "<div>Bite<b>wing</b> of &lt;7&gt;</div>"},
        "description": "Left shoe",
        "subject": {"reference": "Patient/hidden", "display": "Zoë"},
        "date": "2024-05-01T10:00:00Z",
        "content": [{"attachment": {"url": "http://nowhere/x", "data": "AAAA", "title": "Shot"}}],
        "extension": [{"url": "http://nowhere", "valueString": "Extra"}],
    }
    found = {e.parameter: e.words for e in index_entries("DocumentReference", content)
             if isinstance(e, TextEntry)}  # fmt: skip
    assert found == {
        "_text": "wbite wwing wof w7 x",
        "_content": ("wadditional x wbite wwing wof w7 x wleft wshoe x wzoe x wshot x wextra x"),
    }


def test_a_series_of_a_study_is_an_entry_of_its_own() -> None:
    series = [{"uid": "1.2", "description": "Axial"}, {"uid": "1.3", "description": "Coronal"}]
    words = [
        entry.words
        for entry in study_entries({"description": "Skull"}, [*series, series[0]])
        if isinstance(entry, TextEntry)
    ]
    assert words == ["wskull x", "waxial x", "wcoronal x"]
