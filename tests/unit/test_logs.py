import json
import logging

import pytest

from imaging_fhir.logs import JsonFormatter, PlainFormatter, configure_logging, request_id


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "part", "levelname": "INFO", "msg": "done", "created": 0})
    vars(made).update(extra)
    return made


@pytest.fixture(autouse=True)
def numbered() -> None:
    request_id.set("r1")


def test_a_plain_line_ends_with_what_was_given() -> None:
    line = PlainFormatter().format(record(ms=3))
    assert line == "1970-01-01T00:00:00.000+00:00 INFO part r1 done ms=3"


def test_a_json_line_is_one_object() -> None:
    assert json.loads(JsonFormatter().format(record(ms=3))) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "INFO",
        "logger": "part",
        "request": "r1",
        "message": "done",
        "ms": 3,
    }


def test_a_fault_is_told_whole() -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        failed = record(exc_info=(ValueError, error, error.__traceback__))
    assert "ValueError: why" in json.loads(JsonFormatter().format(failed))["exception"]
    assert "ValueError: why" in PlainFormatter().format(failed)


def test_logging_configured_twice_says_everything_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("plain", "INFO")
        configure_logging("json", "info")
        logging.getLogger("part").info("once")
        assert capsys.readouterr().err.count("once") == 1
    finally:
        root.handlers[:], root.level = before[0], before[1]
