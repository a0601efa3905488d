"""Narrative.div: the XHTML that R4 allows (narrative.html: txt-1, txt-2)."""

from html.parser import HTMLParser

TAGS = frozenset(
    """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2
    h3 h4 h5 h6 hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th
    thead tr tt ul var
    """.split()  # noqa: SIM905
)
EMPTY_TAGS = frozenset({"br", "col", "hr", "img"})
ATTRIBUTES = frozenset(
    """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign
    char charoff charset cite class colspan compact coords dir frame headers height href hreflang
    hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span src start style
    summary tabindex title type valign value vspace width xml:lang xmlns
    """.split()  # noqa: SIM905
)
SCHEMES = ("http:", "https:", "mailto:", "tel:", "data:image/", "#")
XHTML = "http://www.w3.org/1999/xhtml"


def xhtml_fault(text: str) -> str | None:
    """What is wrong with a div, or None; scripts, styles, forms and foreign markup are refused."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.fault or reader.fault_at_end()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.fault: str | None = None
        self.began = False
        self.has_content = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.open and (tag != "div" or self.began):
            self._refuse("must be one <div>")
        if tag not in TAGS:
            self._refuse("has an element that R4 does not allow")
        if not self.began and ("xmlns", XHTML) not in attrs:
            self._refuse(f'must be <div xmlns="{XHTML}">')
        for name, value in attrs:
            self._check_attribute(name, value or "")
        self.began = True
        self.has_content = self.has_content or tag == "img"
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY_TAGS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in EMPTY_TAGS:
            return
        if not self.open or self.open.pop() != tag:
            self._refuse("is not well formed: its tags do not match")

    def handle_data(self, data: str) -> None:
        if not data.strip():
            return
        self.has_content = True
        if not self.open:
            self._refuse("has text outside its <div>")

    def handle_decl(self, decl: str) -> None:
        self._refuse("must not have a declaration")

    def handle_pi(self, data: str) -> None:
        self._refuse("must not have a processing instruction")

    def unknown_decl(self, data: str) -> None:
        self._refuse("must not have a declaration")

    def _check_attribute(self, name: str, value: str) -> None:
        if name not in ATTRIBUTES:
            self._refuse("has an attribute that R4 does not allow")
        scheme = "".join(value.split()).lower()
        if name in ("href", "src") and ":" in scheme and not scheme.startswith(SCHEMES):
            self._refuse("has an address that a browser would run or load")

    def _refuse(self, fault: str) -> None:
        self.fault = self.fault or fault

    def fault_at_end(self) -> str | None:
        if not self.began:
            return f'must be <div xmlns="{XHTML}">'
        if self.open:
            return "is not well formed: a tag is not closed"
        return None if self.has_content else "has no content"
