"""What an access token costs a read: an open server and one that asks for tokens, in turns.

Both have the same Patient. The token is one that is used again and again, as those of apps are.
"""

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from joserfc import jwk, jwt

from benchmarks.reads import rate
from benchmarks.report import Measured, ratio
from benchmarks.sender import Connection
from benchmarks.servers import HOST, Server, ours

ISSUER = "https://issuer.example"
ADDRESS = "/fhir/Patient/read"
PATIENT = {"resourceType": "Patient", "id": "read", "name": [{"family": "Virtanen"}]}
ROOT = "https://images.example"


def results(root: Path, *, reads: int, seconds: float, rounds: int) -> Iterator[Measured]:
    key = jwk.RSAKey.generate_key(2048, {"kid": "bench"})
    site = root / "site.toml"
    (root / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    site.write_text(f'[[token_issuers]]\nissuer = "{ISSUER}"\njwks_file = "{root}/jwks.json"\n')
    smart = {"IMAGING_FHIR_AUTH": "smart", "IMAGING_FHIR_SITE_FILE": str(site)}
    public = {"IMAGING_FHIR_PUBLIC_URL": ROOT}
    (root / "open").mkdir()
    with ours(root / "open", **public) as one, ours(root / "smart", **public, **smart) as other:
        header = f"Authorization: Bearer {token(key)}\r\n"
        put(one, "")
        put(other, header)
        yield from latencies(one, other, header, reads=reads, rounds=rounds)
        yield from rates(one, other, header, seconds=seconds, rounds=rounds)


def token(key: jwk.RSAKey) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": f"{ROOT}/fhir",
        "sub": "bench",
        "client_id": "bench",
        "iat": now,
        "exp": now + 3600,
        "jti": "bench",
        "scope": "user/*.cruds",
        "roles": ["clinician"],
    }
    return jwt.encode({"alg": "RS256", "kid": "bench", "typ": "at+jwt"}, claims, key)


def put(server: Server, header: str) -> None:
    body = json.dumps(PATIENT).encode()
    connection = Connection(HOST, server.port)
    head = (
        f"PUT {ADDRESS} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n{header}"
        f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.send(head.encode(), body)
    status, answer = connection.receive()
    assert status == 201, answer


class Reader:
    def __init__(self, server: Server, header: str) -> None:
        self.connection = Connection(HOST, server.port)
        head = f"GET {ADDRESS} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n{header}\r\n"
        self.request = head.encode()

    def read(self) -> float:
        """Milliseconds."""
        started = time.perf_counter()
        self.connection.send(self.request)
        status, _ = self.connection.receive()
        assert status == 200, status
        return (time.perf_counter() - started) * 1e3


def latencies(
    one: Server, other: Server, header: str, *, reads: int, rounds: int
) -> Iterator[Measured]:
    """One read of each in turn, so that other work on the machine weighs on both."""
    plain, authorised = Reader(one, ""), Reader(other, header)
    medians: list[tuple[float, float]] = []
    for _ in range(rounds):
        pairs = [(plain.read(), authorised.read()) for _ in range(reads)]
        medians.append(
            (statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs))
        )
    yield Measured(name="open read", unit="ms", values=tuple(a for a, _ in medians))
    yield Measured(name="authorised read", unit="ms", values=tuple(b for _, b in medians))
    yield Measured(
        name="authorised read, more than an open one",
        unit="ms",
        values=tuple(b - a for a, b in medians),
        target="at most 0.15",
    )


def rates(
    one: Server, other: Server, header: str, *, seconds: float, rounds: int
) -> Iterator[Measured]:
    """To clients that ask again and again."""
    found: dict[str, list[float]] = {"open": [], "authorised": []}
    for _ in range(rounds):
        found["open"].append(rate(one.port, ADDRESS, seconds))
        found["authorised"].append(rate(other.port, ADDRESS, seconds, header=header))
    measured = {
        name: Measured(name=f"{name} reads, 4 clients", unit="answers/s", values=tuple(values))
        for name, values in found.items()
    }
    yield from measured.values()
    yield ratio(
        "authorised / open reads", measured["authorised"], measured["open"], "at least 0.75"
    )
