import pytest

from imaging_fhir.fhir.device import device, device_reference, display
from imaging_fhir.model.study import Equipment
from tests.unit.fhir.facts import SERIES


def test_a_device_has_its_names_and_numbers() -> None:
    assert SERIES.equipment is not None
    found = device(SERIES.equipment)
    assert found["serialNumber"] == "SN-9"
    assert {one["type"]: one["name"] for one in found["deviceName"]} == {
        "user-friendly-name": "CT1",
        "model-name": "Scan 3000",
    }
    assert found["version"] == [{"value": "1.0"}, {"value": "b"}]


@pytest.mark.parametrize(
    ("maker", "model", "station", "expected"),
    [
        ("ACME", "Scan", "X", "ACME Scan"),
        ("Acme", "ACME Scan", "X", "ACME Scan"),
        (None, None, "X", "X"),
        ("ACME", None, None, "ACME"),
        (None, None, None, None),
    ],
)
def test_a_device_is_shown_by_maker_and_model(
    maker: str | None, model: str | None, station: str | None, expected: str | None
) -> None:
    equipment = Equipment(manufacturer=maker, manufacturer_model_name=model, station_name=station)
    assert display(equipment) == expected


def test_equipment_that_says_nothing_is_no_reference() -> None:
    assert device_reference(Equipment()) is None
