"""OAuth 2.0 by Authlib, as SMART App Launch 2.2 narrows it: its grants on our services.

Authlib looks at the form of a request, and in which order; what a code or token is worth is said by
`services.authorization`.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote_plus

from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload
from authlib.oauth2 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Response, request

from imaging_fhir.errors import IssuerUnavailable, ResourceNotFound, Unauthenticated
from imaging_fhir.model.authorization import AUTHORIZATION_CODE, REFRESH_TOKEN, Client, Granted
from imaging_fhir.model.caller import CALLER, Caller
from imaging_fhir.model.codec import encode
from imaging_fhir.services.authorization import Authorization
from imaging_fhir.smart import client_assertion
from imaging_fhir.smart.client import GRANT_TYPES
from imaging_fhir.smart.roles import granted_to_system, words
from imaging_fhir.web.context import services

NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
METHODS = ("private_key_jwt", "client_secret_basic", "none")
CONFIDENTIAL = ("private_key_jwt", "client_secret_basic")
BY_KEY = ("private_key_jwt",)
ONCE = (  # RFC 6749 3.1, 3.2: no parameter more than once
    *("response_type", "client_id", "redirect_uri", "scope", "state", "aud", "launch", "nonce"),
    *("code_challenge", "code_challenge_method", "code", "code_verifier", "grant_type"),
    *("refresh_token", "client_assertion", "client_assertion_type", "client_secret", "token"),
)
LONGEST = 8_000  # characters of a parameter
Answer = tuple[int, Any, list[tuple[str, str]]]


def authorization() -> Authorization:
    found = services().authorization
    if found is None:
        raise ResourceNotFound("There is no authorization server here.")
    return found


class OAuthClient(ClientMixin):
    """A client as Authlib asks about it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get_client_id(self) -> str:
        return self.client.id

    def get_default_redirect_uri(self) -> str:
        return ""  # it is always said

    def get_allowed_scope(self, scope: Any) -> str:
        return str(scope)  # narrowed later, by the person's roles as well

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.client.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return authorization().has_secret(self.client, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.client.auth_method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and AUTHORIZATION_CODE in self.client.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.client.grant_types


class Request(OAuth2Request):
    """The one at hand. Whether it came over TLS is the proxy's to see to."""

    def __init__(self) -> None:
        super().__init__(request.method, "https://localhost/", headers=dict(request.headers))
        self.payload = FlaskOAuth2Payload(request)

    @property
    def args(self) -> Any:
        return request.args

    @property
    def form(self) -> Any:
        return request.form


class CodeOfAuthorization:
    """A code that was used, as Authlib asks about it."""

    def __init__(self, granted: Granted, redirect_uri: str, code_challenge: str) -> None:
        self.granted = granted
        self.redirect_uri = redirect_uri
        self.code_challenge = code_challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.granted.scope


class S256(CodeChallenge):
    """PKCE of all clients, and by S256 alone."""

    def __init__(self) -> None:
        super().__init__(required=True)
        self.SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]
        self.CODE_CHALLENGE_METHODS = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        asked = grant.request.payload.data
        if not asked.get("code_challenge") or asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("A code_challenge of the method S256 is needed.")
        super().validate_code_challenge(grant, redirect_uri)
        if len(asked["code_challenge"]) != 43:
            raise InvalidRequestError("The code_challenge is none of S256.")


class CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: ClientMixin) -> str:
        """As it is registered, to the letter."""
        asked = request.payload.redirect_uri if request.payload else None
        if not asked or not client.check_redirect_uri(asked):
            raise InvalidRequestError("The redirect_uri is none that the client is registered for.")
        return asked

    def validate_requested_scope(self) -> None:
        """And `aud`, which SMART needs: a token for us is asked for by nobody else's page."""
        data = self.request.payload.data if self.request.payload else {}
        if (data.get("aud") or "").rstrip("/") != authorization().base:
            raise InvalidRequestError("aud is not the FHIR base of this server.")
        if not words(data.get("scope") or ""):
            raise InvalidScopeError("No scope is asked for.")

    def query_authorization_code(self, code: str, client: ClientMixin) -> Any:
        """Used up by whoever asks: it counts for nobody after that."""
        found = authorization().use_code(code, client.get_client_id())
        if found is None:
            return None
        granted, asked = found
        return CodeOfAuthorization(granted, asked.redirect_uri, asked.code_challenge)

    def delete_authorization_code(self, authorization_code: Any) -> None:
        """It was used up when it was asked for."""

    def authenticate_user(self, authorization_code: Any) -> Any:
        return authorization_code.granted

    def save_authorization_code(self, code: str, request: OAuth2Request) -> Any:
        """Codes are made where the person has agreed (web.sign_in)."""
        raise NotImplementedError


class RefreshToken:
    def __init__(self, token: str, granted: Granted) -> None:
        self.token = token
        self.granted = granted

    def check_client(self, client: OAuthClient) -> bool:
        return client.client.id == self.granted.client

    def get_scope(self) -> str:
        return self.granted.scope


class RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        client = cast(OAuthClient, self.request.client)
        granted = authorization().look_at_refresh(refresh_token, client.client.id)
        return RefreshToken(refresh_token, granted) if granted is not None else None

    def authenticate_user(self, refresh_token: Any) -> Any:
        if not authorization().use_refresh(refresh_token.token):
            raise InvalidGrantError("The refresh_token was used before.")
        return refresh_token.granted

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """It was used up before a new one was made."""


class SystemGrant(ClientCredentialsGrant):
    """SMART Backend Services."""

    TOKEN_ENDPOINT_AUTH_METHODS = BY_KEY


class Server(AuthorizationServer):
    def query_client(self, client_id: str) -> Any:
        found = authorization().client(client_id)
        return OAuthClient(found) if found is not None else None

    def save_token(self, token: Any, request: OAuth2Request) -> None:
        """It is signed, and not kept."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        return Request()

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        content = encode(body) if isinstance(body, Mapping) else body
        return Response(content, status, NOT_KEPT | dict(headers))


def issue(
    *,
    grant_type: str,
    client: OAuthClient,
    user: Granted | None = None,
    scope: str | None = None,
    expires_in: int | None = None,
    include_refresh_token: bool = True,
) -> dict[str, Any]:
    """What the token end point answers."""
    if user is None:
        left = " ".join(granted_to_system(scope or "", client.client.scope))
        if not left:
            raise InvalidScopeError("None of these scopes is open to the client.")
        said_by(client.client.id, client.client.id)
        return authorization().system_tokens(client.client, left)
    may_refresh = include_refresh_token and REFRESH_TOKEN in client.client.grant_types
    answer = authorization().person_tokens(user, scope or user.scope, may_refresh=may_refresh)
    if answer is None:
        raise InvalidGrantError("There is nobody any more who has granted this.")
    said_by(user.account, client.client.id)
    return answer


def said_by(subject: str, client_id: str) -> None:
    """For the audit trail."""
    address = request.remote_addr or ""
    CALLER.set(
        Caller(address=address, issuer=authorization().issuer, subject=subject, client_id=client_id)
    )


def by_secret(query_client: Any, _request: OAuth2Request) -> Any:
    """RFC 6749 2.3.1, with the encoding that is said there."""
    given = request.authorization
    if given is None or given.type != "basic" or not given.username:
        return None
    found = query_client(decoded(given.username))
    is_right = found is not None and found.check_client_secret(decoded(given.password or ""))
    return found if is_right else None


def decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text else text


def by_assertion(query_client: Any, _request: OAuth2Request) -> Any:
    if request.form.get("client_assertion_type") != client_assertion.TYPE:
        return None
    assertion = request.form.get("client_assertion", "")
    try:
        found = query_client(client_assertion.client_named(assertion))
        if found is None or not found.check_endpoint_auth_method("private_key_jwt", "token"):
            return None
        authorization().require_assertion(found.client, assertion)
    except (Unauthenticated, IssuerUnavailable) as error:
        raise InvalidClientError(description=str(error), status_code=401) from error
    return found


def make_server() -> Server:
    server = Server()
    server.register_grant(CodeGrant, [S256()])
    server.register_grant(RefreshGrant)
    server.register_grant(SystemGrant)
    server.register_token_generator("default", cast(Any, issue))
    server.register_client_auth_method("client_secret_basic", by_secret)
    server.register_client_auth_method("private_key_jwt", by_assertion)
    return server


SERVER = make_server()


def require_plain(*, at_token: bool) -> None:
    """Of a request of either kind; raise OAuth2Error."""
    values = request.form if at_token else request.values
    for name in ONCE:
        given = values.getlist(name)
        if len(given) > 1:
            raise InvalidRequestError(f"{name} is given more than once.")
        if given and (len(given[0]) > LONGEST or not given[0].isprintable()):
            raise InvalidRequestError(f"{name} cannot be read.")
    if at_token and request.args:
        raise InvalidRequestError("Parameters are sent in the body, as a form.")
    if not at_token and request.values.get("response_type") != "code":
        raise UnsupportedResponseTypeError("The response_type is code.")


def require_one_way_to_authenticate() -> None:
    """RFC 6749 2.3; raise OAuth2Error."""
    ways = (
        request.authorization is not None or "Authorization" in request.headers,
        "client_assertion" in request.form or "client_assertion_type" in request.form,
        "client_secret" in request.form,
    )
    if sum(ways) > 1:
        raise InvalidRequestError("A client shows in one way alone who it is.")
    if ways[2]:
        raise InvalidClientError(
            status_code=401, description="A client_secret is sent in Authorization, as Basic."
        )


def token_response() -> Response:
    try:
        require_plain(at_token=True)
        require_one_way_to_authenticate()
        if request.form.get("grant_type") not in GRANT_TYPES:
            raise UnsupportedGrantTypeError("other")
        named = request.form.get("client_id")
        response = cast(Response, SERVER.create_token_response())
    except OAuth2Error as error:
        return error_response(error)
    return response if named is None or response.status_code != 200 else same(response, named)


def same(response: Response, named: str) -> Response:
    """A client_id beside the authentication is that of who was authenticated."""
    if CALLER.get().client_id != named:
        return error_response(InvalidClientError(description="The client_id is of another."))
    return response


def error_response(error: OAuth2Error) -> Response:
    """Never a redirection."""
    error.redirect_uri = None
    status, body, headers = cast(Answer, error())
    response = SERVER.handle_response(status, dict(body), headers)
    if status == Unauthenticated.status:
        response.headers["WWW-Authenticate"] = 'Basic realm="imaging_fhir"'
    return response


def authenticated_client(methods: tuple[str, ...]) -> Client:
    """At introspection and revocation; raise OAuth2Error."""
    require_plain(at_token=True)
    require_one_way_to_authenticate()
    found = cast(OAuthClient, SERVER.authenticate_client(Request(), methods))
    said_by(found.client.id, found.client.id)
    return found.client


def authorization_request() -> tuple[Client, str]:
    """The client that asks, and where it is answered.

    Raise OAuth2Error; where it has a redirect_uri, that is registered and is to be told.
    """
    require_plain(at_token=False)
    consent = cast(Callable[[], CodeGrant], SERVER.get_consent_grant)
    grant = consent()
    return cast(OAuthClient, grant.request.client).client, str(grant.redirect_uri)
