"""A narrative as part of a page of ours: what it says, with nothing that reaches beyond it."""

from xml.etree import ElementTree

from imaging_fhir.fhir.narrative import as_xml, xhtml_fault

KEPT_ATTRIBUTES = frozenset({"href", "title", "colspan", "rowspan", "lang", "dir", "start"})
ADDRESSES = ("https://", "http://", "#")
AS_PARAGRAPHS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})  # the outline is the page's own


def shown_narrative(div: str) -> str | None:
    """HTML to put into a page; None where the narrative is none that R4 allows.

    Classes, ids and styles would mix with the page's own, and pictures from elsewhere would tell
    others who is looked at: both are left out.
    """
    try:
        if xhtml_fault(div) is not None:
            return None
        root = ElementTree.fromstring(as_xml(div))  # noqa: S314 - a document type was refused above
        for element in root.iter():
            tame(element)
        return ElementTree.tostring(root, encoding="unicode", method="html")
    except RecursionError:  # nested deeper than any page
        return None


def tame(element: ElementTree.Element) -> None:
    tag = element.tag.rpartition("}")[2]
    if tag == "img":
        element.text, tag = element.get("alt", ""), "span"
    element.tag = "p" if tag in AS_PARAGRAPHS else tag
    kept = {name: value for name, value in element.attrib.items() if name in KEPT_ATTRIBUTES}
    if not kept.get("href", "#").lower().startswith(ADDRESSES):
        del kept["href"]
    element.attrib.clear()
    element.attrib.update(kept)
    if "href" in kept:
        element.set("rel", "noreferrer noopener")
