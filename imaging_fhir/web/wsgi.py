"""What the layers before Flask share: types of WSGI (PEP 3333), and the header `Vary`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from wsgiref.headers import Headers

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
T = TypeVar("T")
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
ASCII = "".join(map(chr, range(128)))
TAKEN = "imaging_fhir.taken"
"""In the environment of a request whose body has been read, and `Taken` in."""


@dataclass(slots=True)
class Taken(Generic[T]):
    """What became of a body, as far as it came."""

    values: list[T] = field(default_factory=list)
    error: Exception | None = None

    @classmethod
    def of(cls, values: Iterable[T]) -> "Taken[T]":
        taken = cls()
        try:
            taken.values += values
        except Exception as error:  # raised again by whoever answers it
            taken.error = error
        return taken

    def results(self) -> list[T]:
        if self.error is not None:
            raise self.error
        return self.values


class AsciiQuery:
    """What a client sends unescaped in a query is escaped, whatever its encoding: RFC 3986 2.1."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        if not query.isascii():
            environ["QUERY_STRING"] = quote(query.encode("latin-1", "replace"), safe=ASCII)
        return self.application(environ, start_response)


def varying(headers: list[tuple[str, str]], name: str) -> None:
    """The answer is another one where the request has another header of this name."""
    known = Headers(headers)
    said = known.get_all("Vary")
    if name.lower() not in ", ".join(said).lower().replace(" ", "").split(","):
        known["Vary"] = ", ".join((*said, name))
