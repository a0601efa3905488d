"""The process of the DIMSE door.

Associations are long and their data sets large: they have a process of their own beside the web
processes, so that neither waits for the other.
"""

import os
import signal
import sys
import threading
from contextlib import closing

from imaging_fhir.feeds.dimse import DimseServer
from imaging_fhir.images.decode import start_decoding
from imaging_fhir.logs import configure_logging
from imaging_fhir.services.access import require_safe_address
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings


def serve_dimse(settings: Settings, *, until_orphaned: bool = False) -> None:
    """Serve associations until told to stop, by a signal or the end of standard input."""
    require_safe_address(settings)
    with closing(build_services(settings)) as services:
        start_decoding()
        server = DimseServer(settings, services.site, services.ingest)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        if until_orphaned:
            threading.Thread(target=stop_at_the_end_of_input, args=(server,), daemon=True).start()
        server.serve()


def stop_at_the_end_of_input(server: DimseServer) -> None:
    """It ends with the process that started this one, however that ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    server.stop()


def main() -> None:
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    serve_dimse(settings, until_orphaned=True)


if __name__ == "__main__":
    main()
