"""What a browser is told with every answer, whatever made it: nothing of it runs, or is framed.

It stands before the whole application. What says more, or less, of itself keeps it: the pages, the
viewer, bytes in their sandbox.
"""

from collections.abc import Iterable
from typing import Any

from imaging_fhir.settings import Settings
from imaging_fhir.web.cors import DOORS
from imaging_fhir.web.page_headers import BARE
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
RESOURCE = "Cross-Origin-Resource-Policy"


class SecurityHeaders:
    """`Strict-Transport-Security` only where clients come over https: the public address says so.

    Pages of listed origins may show a picture of the API as it is, without asking for CORS.
    """

    def __init__(self, application: Application, settings: Settings) -> None:
        self.application = application
        is_secure = settings.public_address.lower().startswith("https://")
        self.own = headers_of(BARE, is_secure=is_secure)
        shared = BARE | {RESOURCE: "cross-origin"} if settings.cors_origin_list else BARE
        self.api = headers_of(shared, is_secure=is_secure)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        added = self.api if environ["PATH_INFO"].startswith(DOORS) else self.own

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            said = {name.lower() for name, _ in headers}
            missing = [header for name, header in added if name not in said]
            return start_response(status, headers + missing, *rest)

        return self.application(environ, start)


def headers_of(
    named: dict[str, str], *, is_secure: bool
) -> tuple[tuple[str, tuple[str, str]], ...]:
    """Each with its name in lower case."""
    headers = (*named.items(), TRANSPORT) if is_secure else tuple(named.items())
    return tuple((name.lower(), (name, value)) for name, value in headers)
