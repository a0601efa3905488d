"""The production server: granian, with web processes that share nothing but the database."""

import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from imaging_fhir.kept_process import DIMSE, kept
from imaging_fhir.services.access import require_safe_address
from imaging_fhir.services.dimse_door import tls_context
from imaging_fhir.settings import PREFIX, Settings

STOP_SECONDS = 30  # what a stopping process has for the requests that it is serving


def serve(settings: Settings) -> None:
    """Serve until told to stop; raise InvalidSetting for an address that would be unsafe."""
    require_safe_address(settings)
    tls_context(settings)
    with tempfile.TemporaryDirectory(prefix="imaging-fhir-metrics-") as counters:
        os.environ.update(environment(settings), PROMETHEUS_MULTIPROC_DIR=counters)
        # A forked process would have this one's imports, made before the folder of counters was
        # known, and its open databases, which SQLite forbids.
        multiprocessing.set_start_method("spawn", force=True)
        with kept(DIMSE) if settings.dimse_port else nullcontext():
            server(settings).serve()


def server(settings: Settings) -> Any:
    return Granian(
        "imaging_fhir.app:create_app",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        backpressure=settings.threads * 8,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        websockets=False,
        log_access=False,  # its lines hold the address as sent; the application logs its own
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    )


def environment(settings: Settings) -> Mapping[str, str]:
    """The settings as the variables that each web process reads at its start."""
    return {
        PREFIX + setting.name.upper(): as_text(getattr(settings, setting.name))
        for setting in fields(settings)
    }


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.absolute() if isinstance(value, Path) else value)
