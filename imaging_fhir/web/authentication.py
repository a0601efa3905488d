"""Who asks: by the access token in `Authorization` (RFC 6750), or nobody.

A token is never taken from an address, which others see. An answer of 401 says in
`WWW-Authenticate` what is wrong with the token, on whichever door.
"""

from typing import cast

from flask import Flask, Response, current_app, request
from werkzeug.http import parse_cookie

from imaging_fhir.errors import AccessDenied, InvalidRequest, IssuerUnavailable, Unauthenticated
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.access import SAFE_METHODS
from imaging_fhir.services.composition import Services
from imaging_fhir.web.wsgi import Environ

KNOWN = "imaging_fhir.caller"  # in the environment of WSGI, once it was found out
FAULT = "imaging_fhir.token_fault"  # why the token that was sent does not count
REALM = 'Bearer realm="imaging_fhir"'
COOKIE = "imaging_fhir_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
IN_ADDRESS = "access_token"
OPEN_ENDPOINTS = frozenset(
    {
        "metadata.metadata",
        "operations.healthz",
        "operations.readyz",
        "chart.static_file",
    }
)
SIGN_IN = ("/auth/", "/.well-known/", "/fhir/.well-known/")  # what it takes to get a token
CLIENTS_OWN = ("/auth/token", "/auth/introspect", "/auth/revoke")
OPEN_PATHS = frozenset(  # to any page
    {
        "/fhir/metadata",
        "/fhir/.well-known/smart-configuration",
        "/auth/jwks",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    }
)


def authenticate(environ: Environ, services: Services) -> Caller:
    """Found out once of a request; whose token does not count is anonymous."""
    known = environ.get(KNOWN)
    if known is None:
        known = environ[KNOWN] = identified(environ, services)
    return cast(Caller, known)


def identified(environ: Environ, services: Services) -> Caller:
    address, header = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_AUTHORIZATION")
    if services.tokens is None:
        return Caller(address=address)
    if header is None:
        return of_session(environ, services, address) or Caller(address=address)
    if environ["PATH_INFO"].startswith(CLIENTS_OWN):
        return Caller(address=address)  # there it says which client it is
    scheme, _, token = header.partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise Unauthenticated("An access token is sent as Bearer.", error="invalid_token")
        return services.tokens.caller(token.strip(" "), address)
    except (Unauthenticated, IssuerUnavailable) as fault:
        environ[FAULT] = fault
        return Caller(address=address)


def of_session(environ: Environ, services: Services, address: str) -> Caller | None:
    """Of a browser that somebody logged in with; it writes from our own pages alone."""
    cookie = session_cookie(environ)
    if services.sessions is None or not cookie:
        return None
    if environ["REQUEST_METHOD"] not in SAFE_METHODS:
        origin = environ.get("HTTP_ORIGIN", "")
        if not services.access.is_own(origin, environ.get("HTTP_HOST", "")):
            return None
    return services.sessions.caller(cookie, address)


def session_cookie(environ: Environ) -> str:
    if COOKIE not in environ.get("HTTP_COOKIE", ""):
        return ""
    cookies = parse_cookie(environ)
    return cookies.get(SECURE_COOKIE) or cookies.get(COOKIE) or ""


def challenge(error: Unauthenticated) -> str:
    """RFC 6750 3; the messages are ours, and have no quotation marks or backslashes."""
    if not error.error:
        return REALM
    return f'{REALM}, error="{error.error}", error_description="{error}"'


def require_authentication(app: Flask, services: Services) -> None:
    """Of all requests but those that are open to everybody; where nobody need sign in, of none."""
    if services.tokens is None:
        return
    app.before_request(require_caller)
    app.after_request(say_why)


def require_caller() -> None:
    """Raise Unauthenticated, IssuerUnavailable, InvalidRequest."""
    services = cast(Services, current_app.extensions["imaging_fhir"])
    caller = authenticate(request.environ, services)
    if IN_ADDRESS in request.args:
        raise InvalidRequest(
            "An access token is sent in Authorization, never in an address, which others see.",
            expression=f"http.{IN_ADDRESS}",
        )
    if caller.is_anonymous and request.method != "OPTIONS" and not is_open(request.endpoint):
        raise request.environ.get(FAULT) or nobody()


def is_open(endpoint: str | None) -> bool:
    return endpoint in OPEN_ENDPOINTS or request.path.startswith(SIGN_IN)


def nobody() -> Unauthenticated:
    return Unauthenticated("Sign in first: there is no access token.")


def say_why(response: Response) -> Response:
    """In the header too; and of one that counts but does not reach, that it does not."""
    if response.status_code == Unauthenticated.status:
        fault = request.environ.get(FAULT) or nobody()
        response.headers.setdefault("WWW-Authenticate", challenge(fault))
        response.headers["Cache-Control"] = "no-store"
    elif response.status_code == AccessDenied.status and "Authorization" in request.headers:
        response.headers.setdefault("WWW-Authenticate", f'{REALM}, error="insufficient_scope"')
    return response
