import pytest

from imaging_fhir.fhir.narrative import xhtml_fault

OPEN = '<div xmlns="http://www.w3.org/1999/xhtml">'


@pytest.mark.parametrize(
    "inner",
    [
        "text",
        "<p>a<br/>b &nbsp; &lt;</p>",
        '<img src="#a" alt="x"/>',
        '<a href="https://a.example/x:y">a</a>',
        '<table><tr><td style="color: red" colspan="2">a</td></tr></table>',
        "<!-- a comment --><p/>x",
        '<div class="a"><ul><li>a</li></ul></div>',
    ],
)
def test_plain_formatting_is_allowed(inner: str) -> None:
    assert xhtml_fault(f"{OPEN}{inner}</div>") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<div>a</div>",
        "<p>a</p>",
        f"{OPEN}</div>",
        f"{OPEN} &nbsp; </div>".replace("&nbsp;", " "),
        f"{OPEN}a",
        f"{OPEN}<b>a</div>",
        f"{OPEN}<b>a</i></div>",
        f"{OPEN}a</div>b",
        f"{OPEN}a</div>{OPEN}b</div>",
        f"{OPEN}<script>a</script></div>",
        f"{OPEN}<SCRIPT>a</SCRIPT></div>",
        f"{OPEN}<svg/>a</div>",
        f'{OPEN}<p xmlns="http://www.w3.org/2000/svg">a</p></div>',
        f"{OPEN}a &unknown; b</div>",
        f"{OPEN}a & b</div>",
        f"{OPEN}<br>a</div>",
        f"{OPEN}<p title=a>a</p></div>",
        f'<!DOCTYPE d [<!ENTITY x "{"y" * 99}">]>{OPEN}&x;</div>',
        f"{OPEN}<form>a</form></div>",
        f"{OPEN}<iframe>a</iframe></div>",
        f'{OPEN}<p onclick="x()">a</p></div>',
        f'{OPEN}<a href="javascript:x()">a</a></div>',
        f'{OPEN}<a href=" java\tscript:x()">a</a></div>',
        f'{OPEN}<a href="&#106;avascript:x()">a</a></div>',
        f'{OPEN}<img src="data:text/html,x"/></div>',
        f'<?xml version="1.0"?>{OPEN}a</div>',
        f"<!DOCTYPE a>{OPEN}a</div>",
        f"{OPEN}<![CDATA[a]]></div>",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert xhtml_fault(text)
