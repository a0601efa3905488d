import json

from imaging_fhir.dicomweb.metadata import json_array, with_bulk_data_base


def test_relative_addresses_become_absolute() -> None:
    stored = b'{"7FE00010":{"vr":"OW","BulkDataURI":"bulkdata/7FE00010"}}'
    found = json.loads(with_bulk_data_base(stored, "https://a/instances/1"))
    assert found["7FE00010"]["BulkDataURI"] == "https://a/instances/1/bulkdata/7FE00010"


def test_a_text_that_looks_like_an_address_stays() -> None:
    text = '","BulkDataURI":"bulkdata/x'
    stored = json.dumps({"00204000": {"vr": "LT", "Value": [text]}}, separators=(",", ":"))
    assert with_bulk_data_base(stored.encode(), "https://a") == stored.encode()


def test_an_array_of_any_length() -> None:
    for count in range(4):
        items = [b'{"a":%d}' % number for number in range(count)]
        assert json.loads(b"".join(json_array(items))) == [{"a": n} for n in range(count)]
