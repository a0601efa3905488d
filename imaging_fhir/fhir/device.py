"""Device: the equipment that made an image (PS3.3 C.7.5.1)."""

from imaging_fhir.fhir.datatypes import identifier, present, reference, string, without_empty
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.study import Equipment


def device(equipment: Equipment) -> Resource:
    """The Device resource of a piece of equipment."""
    return without_empty(
        {
            "resourceType": "Device",
            "identifier": present([identifier(equipment.device_serial_number, type_code="SNO")]),
            "status": "active",
            "manufacturer": string(equipment.manufacturer),
            "serialNumber": string(equipment.device_serial_number),
            "deviceName": _names(equipment),
            "modelNumber": string(equipment.manufacturer_model_name),
            "version": [
                {"value": value} for value in map(string, equipment.software_versions) if value
            ],
        }
    )


def _names(equipment: Equipment) -> list[Resource]:
    station = string(equipment.station_name)
    model = string(equipment.manufacturer_model_name)
    return present(
        [
            {"name": station, "type": "user-friendly-name"} if station else None,
            {"name": model, "type": "model-name"} if model else None,
        ]
    )


def device_reference(equipment: Equipment, *, with_serial_number: bool = True) -> Resource | None:
    """A logical reference: shown by maker and model, identified by the serial number."""
    serial_number = equipment.device_serial_number if with_serial_number else None
    return reference(
        type_="Device",
        identifier=identifier(serial_number, type_code="SNO"),
        display=display(equipment),
    )


def display(equipment: Equipment) -> str | None:
    """MANUFACTURER MODEL, without the maker's name twice; the station where neither is known."""
    maker = string(equipment.manufacturer) or ""
    model = string(equipment.manufacturer_model_name) or ""
    if model.lower().startswith(maker.lower()):
        maker = ""
    return string(f"{maker} {model}") or string(equipment.station_name)
