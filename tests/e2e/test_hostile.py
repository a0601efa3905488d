"""Files made to break servers: refused or taken in harmlessly, by every door."""

import time
from pathlib import Path

import pytest

from tests.dicom_samples import ct_instance
from tests.e2e.processes import MEGABYTE, watched_memory
from tests.e2e.server import DICOM, FHIR_JSON, Answer, Server

ALLOWED_GROWTH = 400 * MEGABYTE
ALLOWED_SECONDS = 60  # for one file, on a busy machine
TEXTS = {".json": FHIR_JSON, ".xml": "application/fhir+xml"}


@pytest.fixture(scope="module")
def hostile(shared_data: Path) -> list[Path]:
    return sorted(path for path in (shared_data / "hostile").rglob("*") if path.is_file())


def require_harmless(answer: Answer, path: Path) -> None:
    """Understood or refused, and never a fault of the server's."""
    assert answer.status < 500, (path, answer.status, answer.body[:500])
    assert b"Traceback" not in answer.body


def sent_to(server: Server, address: str, content: bytes, content_type: str) -> Answer:
    begun = time.monotonic()
    answer = server.request("POST", address, content, {"Content-Type": content_type})
    assert time.monotonic() - begun < ALLOWED_SECONDS
    return answer


def test_as_images_they_are_refused_or_taken_in(server: Server, hostile: list[Path]) -> None:
    with watched_memory(server.pid) as memory:
        for path in hostile:
            content = path.read_bytes()
            answer = sent_to(server, "/fhir/$import-image", content, "application/octet-stream")
            require_harmless(answer, path)
    assert memory.grown < ALLOWED_GROWTH
    require_serving(server)


def test_as_stored_instances_they_are_refused_or_taken_in(
    server: Server, hostile: list[Path]
) -> None:
    for path in hostile:
        require_harmless(server.store(path.read_bytes()), path)
        content = path.read_bytes()
        multipart = f'multipart/related; type="{DICOM}"; boundary=cut'
        require_harmless(sent_to(server, "/dicomweb/studies", content, multipart), path)
        require_harmless(
            sent_to(server, "/fhir/$import-image", content, "multipart/form-data; boundary=cut"),
            path,
        )
    require_serving(server)


def test_as_resources_they_are_refused_or_taken_in(server: Server, hostile: list[Path]) -> None:
    texts = [path for path in hostile if path.suffix in TEXTS]
    assert len(texts) > 60
    with watched_memory(server.pid) as memory:
        for path in texts:
            for address in ("/fhir", "/fhir/Patient", "/fhir/Encounter"):
                answer = sent_to(server, address, path.read_bytes(), TEXTS[path.suffix])
                require_harmless(answer, path)
    assert memory.grown < ALLOWED_GROWTH
    require_serving(server)


def require_serving(server: Server) -> None:
    """Every process still takes images in, and none of them fell over its errors."""
    assert server.import_files(ct_instance()) in ([200], [201])
    for _ in range(8):
        assert server.get("/readyz").status == 200
    assert server.fhir("ImagingStudy?_summary=count")["total"] > 0
    for words in ("traceback", "unexpected"):  # of an error, or of the end of a process
        assert words not in server.log.casefold(), server.log[-4000:]
