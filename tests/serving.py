"""A production server with the demo's patients, visits and images, for examples and docs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imaging_fhir.demo import ATTACHED, PATIENT_NUMBERS, PATIENTS_FILE
from tests.e2e.server import Server, import_statuses

DEMO_NUMBERS = f"urn:oid:{PATIENT_NUMBERS}"


@contextmanager
def demo_server(
    data_dir: Path, samples: Mapping[str, bytes], settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`samples` is the fixture `demo_samples`."""
    server = Server(data_dir, dict(settings or {}))
    try:
        server.start()
        take_in(server, samples)
        yield server
    finally:
        server.stop()


def take_in(server: Server, samples: Mapping[str, bytes]) -> None:
    loaded = server.post_fhir(json.loads(samples[PATIENTS_FILE]))
    assert loaded.status == 200, loaded.body
    for name, content in samples.items():
        if name.startswith("dicom/"):
            imported(server, content, "/fhir/$import-image")
    for name, visit in ATTACHED.items():
        query = f"patient=Patient/{visit.patient.id}&encounter=Encounter/{visit.id}"
        imported(server, samples[name], f"/fhir/$import-image?{query}")


def imported(server: Server, content: bytes, path: str) -> None:
    answer = server.import_image(content, path)
    assert import_statuses(answer)[0] in (201, 202), answer.body
