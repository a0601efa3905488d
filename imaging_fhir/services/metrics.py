"""What is counted, for /metrics (Prometheus).

Each web process counts for itself; `serve` gives all of them one temporary folder
(PROMETHEUS_MULTIPROC_DIR), and /metrics adds up what is there.
"""

import os
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

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
ASSOCIATIONS = Counter(
    "imaging_fhir_associations_total", "DICOM associations asked for, by what was said", ("answer",)
)
DIMSE_REQUESTS = Counter(
    "imaging_fhir_dimse_requests_total",
    "Requests in DICOM associations, by service and DIMSE status",
    ("service", "status"),
)


Ageing = Callable[[], Iterable[tuple[str, int, float]]]


class Held(Collector):
    """The held worklist, asked of the database when it is scraped: it is the same for all."""

    def __init__(self, ageing: Ageing) -> None:
        self.ageing = ageing

    def collect(self) -> Iterator[Metric]:
        held = GaugeMetricFamily(
            "imaging_fhir_held", "Images that wait for a person's decision", labels=["rule"]
        )
        oldest = GaugeMetricFamily(
            "imaging_fhir_held_oldest_seconds", "For how long the oldest waits", labels=["rule"]
        )
        for rule, count, seconds in self.ageing():
            held.add_metric([rule], count)
            oldest.add_metric([rule], seconds)
        yield from (held, oldest)


def exposition(ageing: Ageing) -> bytes:
    """All counters, and what is held, in Prometheus' text form."""
    own = CollectorRegistry()
    own.register(Held(ageing))
    return counters() + generate_latest(own)


def counters() -> bytes:
    if SHARED_FOLDER is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=SHARED_FOLDER)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
