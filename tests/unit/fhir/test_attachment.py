from imaging_fhir.fhir.attachment import attachments, has_inline_data, with_attachments
from imaging_fhir.model.codec import Resource

INNER: Resource = {"contentType": "image/png", "data": "YQ=="}
OBSERVATION: Resource = {
    "resourceType": "Observation",
    "extension": [{"url": "a:b", "extension": [{"url": "c", "valueAttachment": INNER}]}],
    "contained": [{"resourceType": "Patient", "id": "p", "photo": [{"title": "a"}, INNER]}],
    "valueSampledData": {"data": "1 2 3"},
    "code": {"text": "a", "_text": {"extension": [{"url": "a:b", "valueAttachment": INNER}]}},
}


def test_attachments_are_told_by_their_type_and_place() -> None:
    places = []

    def change(where: str, attachment: Resource) -> Resource:
        places.append(where)
        return {"title": "moved"} if "data" in attachment else attachment

    changed = with_attachments(OBSERVATION, change)
    assert places == [
        "Observation.extension[0].extension[0].value",
        "Observation.contained[0].photo[0]",
        "Observation.contained[0].photo[1]",
        "Observation.code.text.extension[0].value",
    ]
    assert changed["valueSampledData"] == {"data": "1 2 3"}
    assert [one["title"] for one in attachments(changed)] == ["moved", "a", "moved", "moved"]
    assert INNER in attachments(OBSERVATION)


def test_a_quick_look_tells_whether_there_may_be_any() -> None:
    assert has_inline_data(OBSERVATION)
    assert not has_inline_data({"resourceType": "Consent", "data": [{"meaning": "related"}]})
