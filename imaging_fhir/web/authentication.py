"""Who asks: by the access token in `Authorization` (RFC 6750), or nobody.

A token is never taken from an address, which others see. An answer of 401 says in
`WWW-Authenticate` what is wrong with the token, on whichever door.
"""

from typing import cast

from flask import Flask, Response, current_app, request

from imaging_fhir.errors import AccessDenied, InvalidRequest, IssuerUnavailable, Unauthenticated
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.composition import Services
from imaging_fhir.web.wsgi import Environ

KNOWN = "imaging_fhir.caller"  # in the environment of WSGI, once it was found out
FAULT = "imaging_fhir.token_fault"  # why the token that was sent does not count
REALM = 'Bearer realm="imaging_fhir"'
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
OPEN_PATHS = frozenset({"/fhir/metadata", "/fhir/.well-known/smart-configuration"})  # to any page


def authenticate(environ: Environ, services: Services) -> Caller:
    """Found out once of a request; whose token does not count is anonymous."""
    known = environ.get(KNOWN)
    if known is None:
        known = environ[KNOWN] = identified(environ, services)
    return cast(Caller, known)


def identified(environ: Environ, services: Services) -> Caller:
    address, header = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_AUTHORIZATION")
    if services.tokens is None or header is None:
        return Caller(address=address)
    scheme, _, token = header.partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise Unauthenticated("An access token is sent as Bearer.", error="invalid_token")
        return services.tokens.caller(token.strip(" "), address)
    except (Unauthenticated, IssuerUnavailable) as fault:
        environ[FAULT] = fault
        return Caller(address=address)


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
