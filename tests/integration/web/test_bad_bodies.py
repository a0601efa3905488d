"""Bodies that are no resource: told what and where, with every fault in one answer."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.web.answers import json_of

JSON = "application/fhir+json"
XML = "application/fhir+xml"
NAMESPACE = 'xmlns="http://hl7.org/fhir"'
LAUGHS = (
    "<!DOCTYPE l ["
    + '<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + f']><Patient {NAMESPACE}><language value="&a9;"/></Patient>'
)


def told(client: FlaskClient, body: bytes | str, media_type: str) -> tuple[int, dict[str, Any]]:
    answer = client.post(
        "/fhir/Patient", data=body, content_type=media_type, headers={"Accept": JSON}
    )
    assert answer.status_code < 500
    return answer.status_code, json_of(answer)


@pytest.mark.parametrize(
    ("body", "media_type", "text"),
    [
        (b'{"resourceType": "Patient",\n "active" true}', JSON, "line 2, column 11"),
        (b'{"resourceType": "Patient", "active": true, "active": false}', JSON, "'active' twice"),
        (b'{"resourceType": "Patient", "x": NaN}', JSON, "line 1, column 34"),
        (b'{"resourceType": "Patient", "x": ' + b"[" * 9000, JSON, "nested too deeply"),
        (b"\xff\xfe", JSON, "line 1, column 1"),
        (f"<Patient {NAMESPACE}>\n<active value=true/></Patient>", XML, "line 2"),
        (LAUGHS, XML, ""),
    ],
)
def test_what_does_not_parse_is_refused_with_its_place(
    client: FlaskClient, body: bytes, media_type: str, text: str
) -> None:
    status, outcome = told(client, body, media_type)
    (issue,) = outcome["issue"]
    assert status == 400
    assert text in issue["diagnostics"]
    assert "hahaha" not in issue["diagnostics"]


def test_all_faults_are_told_at_once_each_with_its_code_and_place(client: FlaskClient) -> None:
    body = b'{"resourceType": "Patient", "gender": "F", "animal": {}, "name": {}, "link": [{}]}'
    status, outcome = told(client, body, JSON)
    assert status == 422
    assert [(one["code"], one["expression"][0]) for one in outcome["issue"]] == [
        ("code-invalid", "Patient.gender"),
        ("structure", "Patient"),
        ("structure", "Patient.name"),
        ("invariant", "Patient.link[0]"),
    ]


@pytest.mark.parametrize("number", ["1e999999999", "-1e999999999", "0." + "1" * 5000, "9" * 300])
def test_a_number_beyond_reason_is_refused(client: FlaskClient, number: str) -> None:
    extension = f'{{"url": "a:b", "valueCount": {{"value": {number}, "code": "1"}}}}'
    body = f'{{"resourceType": "Patient", "extension": [{extension}]}}'
    status, outcome = told(client, body, JSON)
    assert status == 422
    assert outcome["issue"][0]["expression"] == ["Patient.extension[0].value.value"]


def test_depth_size_and_count_are_bounded(client: FlaskClient) -> None:
    deep = '{"url": "a:b", "extension": [' * 70 + '{"url": "a:b", "valueCode": "x"}' + "]}" * 70
    status, outcome = told(client, f'{{"resourceType": "Patient", "extension": [{deep}]}}', JSON)
    assert status == 400
    assert "100 levels" in outcome["issue"][0]["diagnostics"]
    status, _ = told(client, b'{"resourceType": "Patient"' + b" " * 2_000_001 + b"}", JSON)
    assert status == 413
    wrong = b'{"resourceType": "Patient", "name": [%s]}' % b",".join([b"1"] * 100_000)
    status, outcome = told(client, wrong, JSON)
    assert (status, len(outcome["issue"])) == (422, 100)
    entry = {"request": {"method": "GET", "url": "Patient/x"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 5001}
    assert client.post("/fhir", json=bundle).status_code == 400


def test_decimals_come_out_with_the_precision_they_went_in(client: FlaskClient) -> None:
    values = ["1.0", "0.10", "1.00", "3.14159265358979323846264338327950288"]
    extensions = ",".join(f'{{"url": "a:b", "valueDecimal": {value}}}' for value in values)
    body = f'{{"resourceType": "Patient", "id": "d", "extension": [{extensions}]}}'
    assert client.put("/fhir/Patient/d", data=body, content_type=JSON).status_code == 201
    text = client.get("/fhir/Patient/d").text
    assert all(f'"valueDecimal":{value}}}' in text for value in values)
    as_xml = client.get("/fhir/Patient/d", headers={"Accept": XML}).text
    assert all(f'<valueDecimal value="{value}"/>' in as_xml for value in values)
