"""A foreign authorization server as a process of its own: discovery, JWKS, introspection.

`POST /rotate` makes a new key, with which it signs from then on; `POST /token` answers a token with
the claims that are sent. Introspection wants HTTP Basic and knows what `POST /opaque` was told.
"""

import base64
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import requests
from joserfc import jwk

from tests.tokens import Issuer

CLIENT = ("imaging", "s3cret+&")
SECONDS = 10


class Foreign(BaseHTTPRequestHandler):
    server: "ForeignServer"

    def do_GET(self) -> None:
        state = self.server
        state.asked[self.path] = state.asked.get(self.path, 0) + 1
        address = state.address
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": address,
                "jwks_uri": f"{address}/jwks",
                "authorization_endpoint": f"{address}/authorize",
                "token_endpoint": f"{address}/token",
                "response_types_supported": ["code"],
            },
            "/jwks": {"keys": [key.as_dict(private=False) for key in state.keys[-2:]]},
            "/asked": state.asked,
        }
        found = documents.get(self.path)
        is_down = state.is_down and self.path != "/asked"
        self.answer(found or {}, 503 if is_down else 200 if found is not None else 404)

    def do_POST(self) -> None:
        state = self.server
        state.asked[self.path] = state.asked.get(self.path, 0) + 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path:
            case "/rotate":
                state.rotate()
                self.answer({})
            case "/down" | "/up":
                state.is_down = self.path == "/down"
                self.answer({})
            case "/token":
                signer = Issuer(issuer=state.address, key=state.keys[-1])
                self.answer({"access_token": signer.token(**json.loads(body))})
            case "/opaque":
                state.opaque |= json.loads(body)
                self.answer({})
            case "/introspect":
                self.introspect(parse_qs(body.decode())["token"][0])
            case _:
                self.answer({}, 404)

    def introspect(self, token: str) -> None:
        pair = base64.b64encode(b"imaging:s3cret%2B%26").decode()
        if self.headers["Authorization"] != f"Basic {pair}":
            self.answer({"error": "invalid_client"}, 401)
        elif self.server.is_down:
            self.answer({}, 503)
        else:
            known = self.server.opaque.get(token)
            self.answer({"active": known is not None} | (known or {}))

    def answer(self, document: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


class ForeignServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Foreign)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.keys: list[jwk.RSAKey] = []
        self.asked: dict[str, int] = {}
        self.opaque: dict[str, dict[str, Any]] = {}
        self.is_down = False
        self.rotate()

    def rotate(self) -> None:
        self.keys.append(jwk.RSAKey.generate_key(2048, {"kid": f"key-{len(self.keys)}"}))


def serve(told: Any) -> None:
    server = ForeignServer()
    told.put(server.address)
    server.serve_forever()


class Peer:
    """What the tests say to it."""

    def __init__(self, address: str) -> None:
        self.address = address

    def token(self, **claims: Any) -> str:
        return str(self.post("/token", claims)["access_token"])

    def post(self, path: str, body: Any = None) -> Any:
        return requests.post(f"{self.address}{path}", json=body or {}, timeout=SECONDS).json()

    def asked(self, path: str) -> int:
        """How often it was asked that."""
        found = requests.get(f"{self.address}/asked", timeout=SECONDS).json()
        return int(found.get(path, 0))


@contextmanager
def foreign_issuer() -> Iterator[Peer]:
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    process = context.Process(target=serve, args=(told,), daemon=True)
    process.start()
    try:
        yield Peer(told.get())
    finally:
        process.terminate()
        process.join(SECONDS)
