"""A small FHIR server with the habits of EHRs on the market, over real HTTP.

Dates only as ge with lt, `_count` at most 100, no `_include`, pages whose links name a host that
nobody can reach, 403 with an empty body, elements silently dropped. It can be stopped, slowed, and
made to answer errors or rubbish at any moment; it writes down what it was asked.
"""

import json
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Resource = dict[str, Any]
SEARCHES = {
    "Patient": ["identifier", "_lastUpdated"],
    "Encounter": ["identifier", "patient", "date", "_lastUpdated"],
    "ServiceRequest": ["identifier", "_lastUpdated"],
    "Practitioner": ["identifier"],
}
DROPPED = ("text", "photo", "communication")
PAGE = 2


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    ehr: "OddEhr"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that did not wait is its own affair."""


@dataclass
class OddEhr:
    searches: Mapping[str, list[str]] = field(default_factory=lambda: dict(SEARCHES))
    forbidden: frozenset[str] = frozenset()
    token: str = ""  # asked for where it is not empty
    mode: str = "well"  # well, error, rubbish, hang, huge, outcome
    seconds: float = 0.0  # before each answer
    resources: dict[str, Resource] = field(default_factory=dict)
    updated: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens_asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    server: Server | None = None
    retry_after: str = ""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/r4"

    def start(self) -> "OddEhr":
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.ehr = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server.break_connections()
            self.server = None

    def put(self, resource: Resource) -> None:
        reference = f"{resource['resourceType']}/{resource['id']}"
        self.resources[reference] = resource
        self.updated[reference] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def delete(self, reference: str) -> None:
        self.resources.pop(reference)

    def patient(self, id_: str, *numbers: str, system: str, **more: Any) -> None:
        identifiers = [{"system": system, "value": number} for number in numbers]
        self.put({"resourceType": "Patient", "id": id_, "identifier": identifiers, **more})

    def searches_for(self, resource_type: str) -> list[str]:
        return [one for one in self.asked if one.startswith(f"{resource_type}?")]

    def found(self, resource_type: str, query: list[tuple[str, str]]) -> list[Resource]:
        all_ = [one for one in self.resources.values() if one["resourceType"] == resource_type]
        return [one for one in all_ if all(self.fits(one, *term) for term in query)]

    def fits(self, resource: Resource, name: str, value: str) -> bool:
        if name == "identifier":
            system, _, number = value.replace("\\", "").partition("|")
            return {"system": system, "value": number} in [
                {k: one[k] for k in ("system", "value")} for one in resource["identifier"]
            ]
        if name == "patient":
            return bool(resource["subject"]["reference"].endswith(f"Patient/{value}"))
        if name == "date":
            period = resource["period"]
            if value.startswith("ge"):
                return bool(period.get("end", "9999")[:10] >= value[2:])
            return bool(period["start"][:10] < value[2:])
        if name == "_lastUpdated":
            reference = f"{resource['resourceType']}/{resource['id']}"
            return self.updated[reference] >= value[2:22]
        return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        form = dict(parse_qsl(self.rfile.read(length).decode()))
        self.server.ehr.tokens_asked.append(form)
        self.answer(200, {"access_token": self.server.ehr.token, "expires_in": 300})

    def do_GET(self) -> None:
        ehr = self.server.ehr
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/r4/")
        query = parse_qsl(parts.query)
        ehr.asked.append(f"{path}?{parts.query}" if query else path)
        time.sleep(ehr.seconds)
        if ehr.mode != "well":
            with suppress(OSError):
                self.misbehave(ehr)
        elif path == ".well-known/smart-configuration":
            self.answer(200, {"token_endpoint": f"{ehr.base}/token"})
        elif ehr.token and self.headers.get("Authorization") != f"Bearer {ehr.token}":
            self.answer(401, None)
        elif path == "metadata":
            self.answer(200, self.statement(ehr))
        elif "/" in path:
            self.read(ehr, path)
        else:
            self.search(ehr, path, query)

    def misbehave(self, ehr: OddEhr) -> None:
        match ehr.mode:
            case "error":
                self.answer(503, None, {"Retry-After": ehr.retry_after})
            case "rubbish":
                self.send(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
            case "outcome":
                issue = [{"severity": "fatal", "code": "exception"}]
                self.answer(200, {"resourceType": "OperationOutcome", "issue": issue})
            case "huge":
                self.send(200, b" " * 9 * 1024**2, {})
            case "trickle":
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                for _ in range(600):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            case "hang":
                time.sleep(30)

    def statement(self, ehr: OddEhr) -> Resource:
        resources = [
            {
                "type": type_,
                "interaction": [{"code": "read"}, {"code": "search-type"}],
                "searchParam": [{"name": name, "type": "token"} for name in names],
            }
            for type_, names in ehr.searches.items()
        ]
        return {
            "resourceType": "CapabilityStatement",
            "fhirVersion": "4.0.1",
            "rest": [{"mode": "server", "resource": resources}],
        }

    def read(self, ehr: OddEhr, reference: str) -> None:
        found = ehr.resources.get(reference)
        self.answer(200 if found else 404, shown(found) if found else None)

    def search(self, ehr: OddEhr, type_: str, query: list[tuple[str, str]]) -> None:
        names = [name for name, _ in query]
        if type_ in ehr.forbidden:
            return self.send(403, b"", {})
        wrong = [n for n in names if n not in (*ehr.searches.get(type_, ()), "_count", "page")]
        dates = [value[:2] for name, value in query if name == "date"]
        count = int(dict(query).get("_count", "50"))
        if wrong or count > 100 or dates not in ([], ["ge", "lt"]):
            issue = [{"severity": "error", "code": "not-supported"}]
            return self.answer(400, {"resourceType": "OperationOutcome", "issue": issue})
        terms = [term for term in query if term[0] not in ("_count", "page")]
        found, page = ehr.found(type_, terms), int(dict(query).get("page", "0"))
        bundle: Resource = {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [{"resource": shown(one)} for one in found[page * PAGE : (page + 1) * PAGE]],
        }
        if len(found) > (page + 1) * PAGE:
            rest = self.path.partition("&page=")[0]
            url = f"http://internal.invalid{rest}&page={page + 1}"
            bundle["link"] = [{"relation": "next", "url": url}]
        return self.answer(200, bundle)

    def answer(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send(status, body, {"Content-Type": "text/plain", **(headers or {})})

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def shown(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name not in DROPPED}
