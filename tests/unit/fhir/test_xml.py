"""FHIR XML: real examples there and back, and documents made to do harm."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from imaging_fhir.errors import ImagingError, InvalidRequest, InvalidResource
from imaging_fhir.fhir import xml
from imaging_fhir.fhir.xml import from_xml, to_xml
from imaging_fhir.model.codec import decode, encode, encode_sorted

NAMESPACE = 'xmlns="http://hl7.org/fhir"'
XHTML = "http://www.w3.org/1999/xhtml"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "a",
    "text": {"status": "generated", "div": f'<div xmlns="{XHTML}">A &amp; <b>B</b> <i>C</i></div>'},
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Ward"}],
    "extension": [
        {"id": "e", "url": "http://example.org/weight", "valueDecimal": 70.50},
        {"url": "http://example.org/nested", "extension": [{"url": "x", "valueInteger": 7}]},
    ],
    "active": True,
    "name": [{"family": "Ö\t<&>\"'\n", "given": ["Ada", None], "_given": [None, {"id": "g"}]}],
    "gender": "other",
    "_birthDate": {"extension": [{"url": "http://example.org/why", "valueCode": "unknown"}]},
}


def examples(folder: Path) -> list[Path]:
    return sorted([*folder.glob("fhir/r4/hfs/*.json"), *folder.glob("fhir/synthea_r4/*/*.json")])


def canonical(resource: Any) -> bytes:
    """Narratives as canonical XML: quotes and empty tags may be written otherwise."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: ElementTree.canonicalize(inner.replace("&nbsp;", "&#160;"))
                if name == "div"
                else walk(inner)
                for name, inner in value.items()
            }
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return encode_sorted(walk(resource))


def patient(inner: str) -> bytes:
    return f"<Patient {NAMESPACE}>{inner}</Patient>".encode()


def test_every_example_is_the_same_after_xml(shared_data: Path) -> None:
    found = examples(shared_data)
    for path in found:
        resource = decode(path.read_bytes())
        there_and_back = from_xml(to_xml(resource))
        assert canonical(there_and_back) == canonical(resource), path.name
        assert canonical(from_xml(to_xml(resource, is_pretty=True))) == canonical(resource)
    assert len(found) > 40


def test_ids_extensions_and_contained_resources_come_back() -> None:
    resource = decode(json.dumps(PATIENT).encode())
    assert from_xml(to_xml(resource)) == resource


def test_xml_is_written_in_r4s_order_with_urls_and_ids_as_attributes() -> None:
    resource = {
        "resourceType": "Patient",
        "birthDate": "2001-02-03",
        "active": False,
        "extension": [{"valueString": "v", "url": "http://example.org/x", "id": "e"}],
        "id": "a",
    }
    assert to_xml(resource).decode().splitlines()[1] == (
        f'<Patient {NAMESPACE}><id value="a"/>'
        '<extension id="e" url="http://example.org/x"><valueString value="v"/></extension>'
        '<active value="false"/><birthDate value="2001-02-03"/></Patient>'
    )


@pytest.mark.parametrize("digits", ["1.50", "0.0", "-0.000010", "12345678901234567890.1", "7"])
def test_decimals_keep_their_digits(digits: str) -> None:
    body = f'{{"resourceType":"Observation","valueQuantity":{{"value":{digits}}}}}'.encode()
    document = to_xml(decode(body))
    assert f'<value value="{digits}"/>'.encode() in document
    assert encode(from_xml(document)) == body


def test_pretty_breaks_lines_but_not_in_a_narrative() -> None:
    document = to_xml(decode(json.dumps(PATIENT).encode()), is_pretty=True).decode()
    assert '\n  <id value="a"/>\n' in document
    assert "<b>B</b> <i>C</i></div>\n  </text>" in document


def test_a_narrative_with_a_prefix_or_entities_is_plain_xhtml() -> None:
    div = f'<h:div xmlns:h="{XHTML}"><h:p>a<!-- b --></h:p></h:div>'
    prefixed = patient(f'<text><status value="empty"/>{div}</text>')
    assert from_xml(prefixed)["text"]["div"] == f'<div xmlns="{XHTML}"><p>a<!-- b --></p></div>'
    named = {"text": {"div": f'<div xmlns="{XHTML}">a&nbsp;b</div>'}}
    assert "a\u00a0b" in to_xml({"resourceType": "Patient", **named}).decode()


def test_comments_instructions_and_the_schemas_place_are_passed_over() -> None:
    document = f"""<?xml version="1.0" encoding="UTF-8"?><?style x?><!-- y -->
    <Patient {NAMESPACE} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
     xsi:schemaLocation="http://hl7.org/fhir a.xsd"><!-- z --><active value="true"/></Patient>"""
    assert from_xml(document.encode()) == {"resourceType": "Patient", "active": True}


def test_a_control_character_cannot_break_the_document() -> None:
    document = to_xml({"resourceType": "Patient", "language": "a\x00b\x1f"})
    assert from_xml(document)["language"] == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("inner", "expression", "message"),
    [
        ("\n<foo value='1'/>", "Patient.foo", "is no element of Patient (line 2)"),
        ("<name><given value='a'/><x/></name>", "Patient.name[0].x", "is no element of HumanName"),
        ("<active value='yes'/>", "Patient.active", "must be true or false"),
        ("<multipleBirthInteger value='two'/>", "Patient.multipleBirthInteger", "a number"),
        ("<active/>", "Patient.active", "has neither a value nor an extension"),
        ("<gender value='male'/><gender value='other'/>", "Patient.gender", "only once"),
        ("<gender>male</gender>", "Patient.gender", "has text"),
        ("<gender value='male' x='1'/>", "Patient.gender", "has an attribute"),
        ("<name xmlns='urn:x'/>", "Patient", "not of the namespace"),
        ("<contained/>", "Patient.contained[0]", "must be one resource"),
        ("<contained><Foo/></contained>", "Patient.contained[0]", "no R4 resource type"),
        ("<text><div value='x'/></text>", "Patient.text.div", "must be a div"),
    ],
)
def test_what_r4_does_not_have_is_refused_with_its_place(
    inner: str, expression: str, message: str
) -> None:
    with pytest.raises(InvalidResource) as raised:
        from_xml(patient(inner))
    assert raised.value.issues[0][0] == expression
    assert message in raised.value.issues[0][1]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidResource) as raised:
        from_xml(patient("<a/><b/>" * 200))
    assert [path for path, _ in raised.value.issues[:2]] == ["Patient.a", "Patient.b"]
    assert len(raised.value.issues) == 100


def test_a_resource_of_another_namespace_or_type_is_refused() -> None:
    for document in (b"<Patient/>", f"<Nothing {NAMESPACE}/>".encode()):
        with pytest.raises(InvalidResource, match="Resource"):
            from_xml(document)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (b"<Patient>\n <a></b></Patient>", "line 2, column 9"),
        (b"", "line 1, column 1"),
        (b"<Patient>&nbsp;</Patient>", "line 1, column 16"),
        ("<Patient/>".encode("utf-16"), "line 1, column 1"),
        (b"<Patient a='\xff'/>", "line 1"),
    ],
)
def test_what_does_not_parse_is_told_with_line_and_column(document: bytes, place: str) -> None:
    with pytest.raises(InvalidRequest, match=f"does not parse at {place}"):
        from_xml(document)


@pytest.mark.parametrize(
    "declarations",
    [
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY b SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;',
    ],
)
def test_a_document_type_is_refused_unread(declarations: str) -> None:
    document = (
        f'<!DOCTYPE Patient [{declarations}]><Patient {NAMESPACE}><id value="&b;"/></Patient>'
    )
    with pytest.raises(InvalidRequest, match="DTD"):
        from_xml(document.encode())


def test_depth_and_number_of_elements_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "<extension url='x'>" * 1000 + "</extension>" * 1000
    with pytest.raises(InvalidResource, match="nested too deeply"):
        from_xml(patient(deep))
    with pytest.raises(InvalidRequest, match="does not parse"):
        from_xml(patient("<extension url='x'>" * 100_000))
    monkeypatch.setattr(xml, "MAX_ELEMENTS", 1000)
    with pytest.raises(InvalidRequest, match="more than 1000 elements"):
        from_xml(patient("<name/>" * 1001))


@pytest.mark.parametrize("tag", ["Patient", "extension", "birthDate", "div"])
def test_nobody_waits_for_an_element_of_many_attributes(tag: str) -> None:
    many = " ".join(f'a{number}="1"' for number in range(10_000))
    inner = {
        "Patient": "",
        "div": f"<text><div xmlns='http://www.w3.org/1999/xhtml' {many}>x</div></text>",
    }.get(tag, f"<{tag} {many}/>")
    document = patient(inner)
    if tag == "Patient":
        document = f"<Patient {NAMESPACE} {many}/>".encode()
    with pytest.raises(InvalidResource, match="more than 50 attributes"):
        from_xml(document)


def test_an_attachment_of_more_than_ten_megabytes_is_read() -> None:
    data = "QUJD" * 3_000_000
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": data}
    assert from_xml(to_xml(binary)) == binary


def test_what_is_no_resource_of_r4_is_not_written() -> None:
    for value in ({"resourceType": "Foo"}, {"resourceType": "Patient", "foo": 1}):
        with pytest.raises(ImagingError, match="written as XML"):
            to_xml(value)
