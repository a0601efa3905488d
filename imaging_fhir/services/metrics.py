"""What is counted, for /metrics (Prometheus).

Each web process counts for itself; `serve` gives all of them one temporary folder
(PROMETHEUS_MULTIPROC_DIR), and /metrics adds up what is there.
"""

import os

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SHARED_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")  # prometheus_client reads it once, too

REQUESTS = Histogram(
    "imaging_fhir_request_seconds",
    "Time until the answer's head was ready",
    ("method", "route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
INGESTED = Counter(
    "imaging_fhir_ingested_total", "Images taken in, held or refused, by HTTP status", ("status",)
)


def exposition() -> bytes:
    """All counters in Prometheus' text form."""
    if SHARED_FOLDER is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=SHARED_FOLDER)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
