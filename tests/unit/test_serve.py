from pathlib import Path

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.serve import environment, serve
from imaging_fhir.settings import Settings


def test_every_web_process_reads_the_same_settings() -> None:
    settings = Settings(
        port=9, data_dir=Path("/srv/images"), allow_open=True, time_zone="Europe/Berlin"
    )
    assert Settings.from_environment(environment(settings)) == settings


def test_an_address_that_everyone_reaches_is_not_served_by_mistake() -> None:
    with pytest.raises(InvalidSetting, match="loopback"):
        serve(Settings(host="0.0.0.0"))  # noqa: S104
