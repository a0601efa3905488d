from imaging_fhir.fhir.endpoint import archive_endpoint, viewer_endpoint


def test_an_archive_says_whether_it_wants_the_access_token() -> None:
    found = archive_endpoint("https://h.example/dicomweb", requires_access_token=True)
    assert found["extension"][0]["valueBoolean"] is True
    assert found["connectionType"]["code"] == "dicom-wado-rs"
    assert found["address"] == "https://h.example/dicomweb"
    assert (found["status"], len(found["payloadType"])) == ("active", 1)


def test_a_viewer_is_contained_under_a_fixed_id() -> None:
    assert viewer_endpoint("https://h.example/chart")["id"] == "viewer"
