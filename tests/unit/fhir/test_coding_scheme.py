import pytest
from pydicom.sr._snomed_dict import mapping

from imaging_fhir.fhir.coding_scheme import code_of, snomed_rt


@pytest.mark.parametrize(
    ("value", "designator", "uid", "expected"),
    [
        ("51185008", "SCT", None, ("http://snomed.info/sct", "51185008")),
        ("51185008", "SRT", None, ("http://snomed.info/sct", "51185008")),
        ("T-A0100", "SRT", None, ("http://snomed.info/sct", "12738006")),
        ("t-a0100", "99SDM", None, ("http://snomed.info/sct", "12738006")),
        ("T-A0100", "SCT", None, ("http://snomed.info/sct", "12738006")),
        ("T-ZZZZZ", "SRT", None, None),
        ("18748-4", "LN", None, ("http://loinc.org", "18748-4")),
        ("18748-4", "99A", "2.16.840.1.113883.6.1", ("http://loinc.org", "18748-4")),
        ("A", "99A", "1.2.3", ("urn:oid:1.2.3", "A")),
        ("A", "99A", "1.02.3", None),
        ("A", "99A", None, None),
        ("A", None, None, None),
        (None, "LN", None, None),
    ],
)
def test_a_scheme_has_a_system_or_no_code_at_all(
    value: str | None, designator: str | None, uid: str | None, expected: tuple[str, str] | None
) -> None:
    assert code_of(value, designator, uid) == expected


def test_snomed_rt_is_paired_as_pydicom_pairs_it() -> None:
    assert snomed_rt() == mapping["SRT"]
