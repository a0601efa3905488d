"""An odd EHR for one test."""

from collections.abc import Iterator

import pytest

from tests.odd_ehr import OddEhr


@pytest.fixture
def odd_ehr() -> Iterator[OddEhr]:
    ehr = OddEhr().start()
    yield ehr
    ehr.stop()
