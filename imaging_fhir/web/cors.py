"""Leave for pages of listed origins to read and write (https://fetch.spec.whatwg.org/#http-cors-protocol).

It stands before the whole application, so that every answer, errors included, can be read by the
page. Nothing is ever said of credentials: a page sends its token in `Authorization`.
"""

from collections.abc import Iterable
from typing import Any

from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.web.wsgi import Application, Environ, StartResponse, varying

OF_TOKENS = ("/auth/token", "/auth/jwks", "/auth/revoke", "/auth/introspect")
DOORS = ("/fhir", "/dicomweb", "/.well-known", *OF_TOKENS)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAY_BE_SENT = ", ".join(
    (
        "Accept",
        "Accept-Language",
        "Authorization",
        "Cache-Control",
        "Content-Encoding",
        "Content-Language",
        "Content-Type",
        "If-Match",
        "If-Modified-Since",
        "If-None-Exist",
        "If-None-Match",
        "If-Range",
        "Prefer",
        "Range",
        "X-Correlation-Id",
        "X-Request-Id",
        "X-Requested-With",
        "X-Security-Context",
    )
)
MAY_BE_READ = ", ".join(
    (
        "Accept-Patch",
        "Accept-Ranges",
        "Allow",
        "Content-Disposition",
        "Content-Location",
        "Content-Range",
        "ETag",
        "Last-Modified",
        "Link",
        "Location",
        "Preference-Applied",
        "Retry-After",
        "Warning",
        "WWW-Authenticate",
        "X-Progress",
        "X-Request-Id",
        "X-Security-Context",
    )
)
PREFLIGHT_SECONDS = "7200"  # the most that Chromium keeps it for


class Cors:
    """`opened` are addresses that pages of any origin may read."""

    def __init__(
        self, application: Application, access: AccessPolicy, opened: frozenset[str]
    ) -> None:
        self.application = application
        self.opened = opened
        self.access = access
        self.is_any = "*" in access.listed_origins

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not environ["PATH_INFO"].startswith(DOORS):
            return self.application(environ, start_response)
        allowed = self.allowed(environ)
        if allowed and is_preflight(environ) and self.access.admits(environ.get("HTTP_HOST", "")):
            start_response("204 No Content", [*allowed, *PREFLIGHT])
            return []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            answered = [*headers, *allowed]
            if not self.is_any and environ["PATH_INFO"] not in self.opened:
                varying(answered, "Origin")
            return start_response(status, answered, *rest)

        return self.application(environ, start)

    def allowed(self, environ: Environ) -> list[tuple[str, str]]:
        """With `*` whoever asks, so that a cache may give the answer to any page."""
        if self.is_any or environ["PATH_INFO"] in self.opened:
            return allowing("*")
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or not self.access.is_listed(origin):
            return []
        return allowing(origin)


def allowing(origin: str) -> list[tuple[str, str]]:
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", MAY_BE_READ),
    ]


NOTHING: frozenset[str] = frozenset()


def with_cors(
    application: Application, access: AccessPolicy, opened: frozenset[str] = NOTHING
) -> Application:
    """The application itself where there is nothing to allow."""
    needed = bool(access.listed_origins or opened or access.app_origins)
    return Cors(application, access, opened) if needed else application


PREFLIGHT = [
    ("Access-Control-Allow-Methods", METHODS),
    ("Access-Control-Allow-Headers", MAY_BE_SENT),
    ("Access-Control-Max-Age", PREFLIGHT_SECONDS),
    ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
]


def is_preflight(environ: Environ) -> bool:
    return (
        environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )
