"""What the tests read of an answer."""

from typing import Any

from werkzeug.test import TestResponse


def json_of(response: TestResponse) -> Any:
    return response.json
