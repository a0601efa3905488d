"""What tests of DICOMweb ask, and of whom."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import body_end, part_start
from tests.dicom_samples import INSTANCE, SERIES, STUDY

STUDIES = "/dicomweb/studies"
ADDRESS = f"{STUDIES}/{STUDY}"
SERIES_ADDRESS = f"{ADDRESS}/series/{SERIES}"
INSTANCE_ADDRESS = f"{SERIES_ADDRESS}/instances/{INSTANCE}"
RELATED = 'multipart/related; type="application/dicom"; boundary=b'


def related(*files: bytes, content_type: str = "application/dicom") -> bytes:
    head = part_start("b", {"Content-Type": content_type})
    return b"".join(head + file for file in files) + body_end("b")


def store(client: FlaskClient, *files: bytes, study: str = "") -> TestResponse:
    return client.post(f"{STUDIES}/{study}".rstrip("/"), data=related(*files), content_type=RELATED)


class ReadingClient(FlaskClient):
    """Reads each answer to its end, as a client on a socket does."""

    def open(self, *arguments: Any, **options: Any) -> TestResponse:
        return super().open(*arguments, **{"buffered": True, **options})


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The DICOMweb base on a socket of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/dicomweb"
    server.shutdown()
    thread.join()
    server.server_close()
