"""A FHIR client of few lines that keeps its connection: what load needs, from any thread."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.server import FHIR_JSON, Answer, Server

JSON_PATCH = "application/json-patch+json"
Resource = dict[str, Any]


class Rest:
    """One connection to one server, for one thread; a 5xx is a failure wherever it comes."""

    def __init__(self, server: Server) -> None:
        self.base = server.base
        self.connection = server.connection()

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """`path` is what comes after the FHIR base, or a link; `if_match` is a header's name."""
        link = urlsplit(path if path.startswith("http") else f"{self.base}/{path}")
        address = f"{link.path}?{link.query}" if link.query else link.path
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if content is None else json.dumps(content).encode()
        if body is not None:
            sent.setdefault("content-type", FHIR_JSON)
        self.connection.request(method, address, body=body, headers=sent)
        answer = self.connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        found = Answer(answer.status, named, answer.read())
        assert found.status < 500, (method, address, found.status, found.body[:500])
        return found

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.body[:500])
        return answer.json()

    def pages(self, path: str) -> Iterator[list[Any]]:
        """The entries of each page, by the links to the last."""
        following: str | None = path
        while following:
            bundle = self.get(following)
            yield bundle.get("entry", [])
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            following = links.get("next")

    def entries(self, path: str) -> list[Any]:
        return [entry for page in self.pages(path) for entry in page]


@contextmanager
def rest(server: Server) -> Iterator[Rest]:
    client = Rest(server)
    try:
        yield client
    finally:
        client.connection.close()


def version_of(answer: Answer) -> int:
    """Of the ETag W/"3"."""
    return int(answer.headers["etag"][3:-1])
