"""Units of UCUM compared through their base units, by a library."""

import pytest

from imaging_fhir.fhir.search_values import quantity_value
from imaging_fhir.fhir.ucum import SYSTEM, scale


@pytest.mark.parametrize(
    ("number", "code", "same", "other"),
    [
        (5.4, "mg", 0.0054, "g"),
        (120, "mm[Hg]", 15.9986864898, "kPa"),
        (98.6, "[degF]", 37.0, "Cel"),
        (1, "[in_i]", 2.54, "cm"),
        (60, "{beats}/min", 1, "/s"),
        (250, "10*3/uL", 250, "10*9/L"),
        (1.5, "h", 5400, "s"),
        (0.1, "mmol/L", 100, "umol/L"),
    ],
)
def test_equal_measures_are_equal_in_base_units(
    number: float, code: str, same: float, other: str
) -> None:
    one, two = scale(SYSTEM, code), scale(SYSTEM, other)
    assert one is not None
    assert two is not None
    assert (one.unit, one.of(number)) == (two.unit, two.of(same))


@pytest.mark.parametrize(
    "code",
    [
        "",
        "1",
        "%",
        "{score}",
        "[pH]",
        "dB",
        "B[SPL]",
        "[iU]/mL",
        "[arb'U]",
        "[hnsf'U]",
        "HU",
        "xyz",
        "m//s",
        "((((m",
        "{",
        "10*999",
        "10*9999",
        "km9999",
        "m" * 1000,
        "\n",
        "mg ",
        "米",
    ],
)
def test_what_is_comparable_with_nothing_has_no_base_unit(code: str) -> None:
    assert scale(SYSTEM, code) is None


def test_only_codes_of_ucum_are_units() -> None:
    assert scale(None, "mg") is None
    assert scale("http://snomed.info/sct", "mg") is None


def test_a_value_keeps_its_precision_in_the_base_unit() -> None:
    value = quantity_value(f"5.40|{SYSTEM}|mg")
    assert value.base is not None
    assert (value.base.low, value.base.value, value.base.high) == (5.395e-6, 5.4e-6, 5.405e-6)
    assert quantity_value("5.40||mg").base is None
