"""What the layers before Flask share: types of WSGI (PEP 3333), and the header `Vary`."""

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.headers import Headers

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def varying(headers: list[tuple[str, str]], name: str) -> None:
    """The answer is another one where the request has another header of this name."""
    known = Headers(headers)
    said = known.get_all("Vary")
    if name.lower() not in ", ".join(said).lower().replace(" ", "").split(","):
        known["Vary"] = ", ".join((*said, name))
