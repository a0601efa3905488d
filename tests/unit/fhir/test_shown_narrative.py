import pytest

from imaging_fhir.fhir.shown_narrative import shown_narrative

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def test_what_it_says_stays() -> None:
    shown = shown_narrative(
        f'<div {XHTML}><table><tr><td colspan="2">a &lt; b</td></tr></table></div>'
    )
    assert shown == '<div><table><tr><td colspan="2">a &lt; b</td></tr></table></div>'


def test_what_would_mix_with_the_page_is_left_out() -> None:
    shown = shown_narrative(f'<div {XHTML} id="json"><h2 class="bar" style="x">A</h2></div>')
    assert shown == "<div><p>A</p></div>"


def test_a_picture_is_its_words() -> None:
    assert shown_narrative(f'<div {XHTML}><img src="http://a/b.gif" alt="a b"/></div>') == (
        "<div><span>a b</span></div>"
    )


def test_a_link_says_nothing_of_where_it_is_followed_from() -> None:
    shown = shown_narrative(f'<div {XHTML}><a href="https://a/">b</a><a href="/c">d</a></div>')
    assert shown == '<div><a href="https://a/" rel="noreferrer noopener">b</a><a>d</a></div>'


@pytest.mark.parametrize(
    "div",
    [
        "<div>no namespace</div>",
        f"<div {XHTML}><script>x</script></div>",
        f'<div {XHTML} onclick="x">a</div>',
        f'<div {XHTML}><a href="javascript:x">a</a></div>',
        f"<!DOCTYPE div []><div {XHTML}>a</div>",
        f"<div {XHTML}>a",
        f"<div {XHTML}>" + "<b>" * 20_000 + "a" + "</b>" * 20_000 + "</div>",
    ],
)
def test_what_is_not_allowed_is_not_shown(div: str) -> None:
    assert shown_narrative(div) is None


def test_entities_of_html_are_read() -> None:
    assert shown_narrative(f"<div {XHTML}>a&nbsp;b</div>") is not None
