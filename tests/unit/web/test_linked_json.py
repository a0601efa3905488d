import re

import pytest

from imaging_fhir.model.codec import encode, pretty
from imaging_fhir.web.linked_json import MOST_CHARACTERS, Addresses, linked_json

ADDRESSES = Addresses("https://images.example/site/fhir")


def shown(value: object) -> str:
    return str(linked_json(pretty(encode(value)).decode(), ADDRESSES)[0])


@pytest.mark.parametrize(
    ("address", "href"),
    [
        ("Patient/p", "/site/fhir/Patient/p"),
        ("Patient/p/_history/2", "/site/fhir/Patient/p/_history/2"),
        ("https://images.example/site/fhir/Binary/b", "/site/fhir/Binary/b"),
        ("https://images.example/site/dicomweb/studies/1.2", "/site/dicomweb/studies/1.2"),
        ("https://images.example/site/fhir?_page=x", "/site/fhir?_page=x"),
        ("https://elsewhere.example/fhir/Patient/p", "https://elsewhere.example/fhir/Patient/p"),
        ("https://images.example.evil/fhir", "https://images.example.evil/fhir"),
        ("Nothing/p", ""),
        ("#contained", ""),
        ("urn:uuid:1", ""),
        ("javascript:alert(1)", ""),
        ("//elsewhere.example", ""),
    ],
)
def test_an_address_leads_where_it_should(address: str, href: str) -> None:
    assert ADDRESSES.link(address) == href


def test_no_address_of_ours_leads_to_another_host() -> None:
    assert (
        Addresses("https://images.example/fhir").link("https://images.example//evil.example") == ""
    )


def test_a_reference_can_be_followed() -> None:
    assert '"<a href="/site/fhir/Patient/p">Patient/p</a>"' in shown({"reference": "Patient/p"})


def test_of_a_list_each_address_can_be_followed() -> None:
    assert shown({"url": ["Patient/a", "Patient/b"]}).count("<a href=") == 2


def test_what_is_no_address_is_none() -> None:
    assert "<a" not in shown({"system": "http://loinc.org", "display": "Patient/p"})


def test_an_address_elsewhere_is_not_told_where_it_is_followed_from() -> None:
    assert 'rel="noreferrer noopener"' in shown({"url": "https://elsewhere.example/"})


def test_markup_in_values_and_names_is_none() -> None:
    text = shown({'<b a="1">': '</pre><script>"\\', "url": 'https://h/"><script>'})
    assert re.findall(r"<(?!span class=\"name\"|/span|a href|/a)", text) == []


def test_a_very_long_text_ends_at_a_line() -> None:
    text = pretty(encode(["x" * 98] * 10_000)).decode()
    markup, is_cut = linked_json(text, ADDRESSES)
    assert is_cut
    assert len(markup) < 2 * MOST_CHARACTERS
    assert markup.endswith(",")
