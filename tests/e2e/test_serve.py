"""What is true only of several web processes together."""

import re

from tests.e2e.server import Server

REQUESTS = 12
COUNTED = re.compile(
    r'imaging_fhir_request_seconds_count\{method="GET",route="/healthz",status="200"\} (\d+)'
)


def test_metrics_count_the_requests_of_all_web_processes(server: Server) -> None:
    for _ in range(REQUESTS):
        assert server.get("/healthz").status == 200
    for _ in range(REQUESTS):  # whichever process answers
        counted = COUNTED.search(server.get("/metrics").body.decode())
        assert counted is not None
        assert int(counted[1]) == REQUESTS
