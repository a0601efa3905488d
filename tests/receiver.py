"""A subscriber: an HTTP server on loopback that keeps what it is told, in order."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Told:
    method: str
    path: str
    headers: dict[str, str]  # by their names in small letters
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def status(self) -> dict[str, Any]:
        """The status of a notification Bundle: parameters by name, events as a list."""
        return status_of(self.json()["entry"][0]["resource"])


def status_of(parameters: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"events": []}
    for one in parameters["parameter"]:
        if one["name"] == "notification-event":
            found["events"].append({part["name"]: value_of(part) for part in one["part"]})
        else:
            found[one["name"]] = value_of(one)
    return found


def value_of(parameter: dict[str, Any]) -> Any:
    [value] = [value for name, value in parameter.items() if name.startswith("value")]
    return value["reference"] if isinstance(value, dict) and "reference" in value else value


@dataclass
class Receiver:
    """`answers` are the statuses of the next requests; then 200."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    refused: list[Told] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, told: Told) -> int:
        status = self.answers.pop(0) if self.answers else 200
        (self.told if 200 <= status < 300 else self.refused).append(told)
        return status

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of all notifications, as they came."""
        return [event for one in self.told for event in one.status["events"]]

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        """On the port that it had before, if it had one."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.take(Told(self.command, self.path, headers, body))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.end_headers()

            do_POST = do_PUT = answer  # noqa: N815 (the library's names)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """A test says enough."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
