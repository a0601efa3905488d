"""What every command starts from: the settings of the environment, and the service on them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from imaging_fhir.logs import configure_logging
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.settings import Settings

SOME_FAILED, WRONG_USE = 1, 2


def settings_of_environment() -> Settings:
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    return settings


@contextmanager
def running() -> Iterator[Services]:
    services = build_services(settings_of_environment())
    try:
        yield services
    finally:
        services.close()
