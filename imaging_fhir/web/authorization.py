"""The end points of the built-in authorization server that programs ask."""

import secrets
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest

from imaging_fhir.errors import AccessDenied, InvalidRequest, ResourceNotFound
from imaging_fhir.model.authorization import CLIENT_CREDENTIALS, Granted, LaunchContext
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.services.registration import register_client
from imaging_fhir.smart.access_token import Claims
from imaging_fhir.smart.client import client_of_metadata, metadata_of
from imaging_fhir.smart.issued import ALGORITHM
from imaging_fhir.trust import RESOURCE_ID
from imaging_fhir.web.authorization_server import (
    CONFIDENTIAL,
    METHODS,
    NOT_KEPT,
    authenticated_client,
    authorization,
    error_response,
    token_response,
)
from imaging_fhir.web.context import caller, services

bp = Blueprint("authorization", __name__)

KEYS_SECONDS = 300
LARGEST = 64 * 1024  # bytes of a body


@bp.before_request
def require_server() -> None:
    authorization()
    request.max_content_length = LARGEST


@bp.post("/auth/token")
def token() -> Response:
    return token_response()


@bp.get("/auth/jwks")
def jwks() -> Response:
    headers = {"Cache-Control": f"max-age={KEYS_SECONDS}"}
    return json_answer(authorization().keys.jwks(), headers=headers)


@bp.get("/.well-known/openid-configuration")
@bp.get("/.well-known/oauth-authorization-server")
def discovery() -> Response:
    """OpenID Connect Discovery 1.0 and RFC 8414: the same, and what SMART's document says."""
    configuration = services().smart_configuration
    if configuration is None:
        raise ResourceNotFound("There is no authorization server here.")
    described = {
        **configuration.document(),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "auth_time", "fhirUser"],
        "response_modes_supported": ["query"],
        "authorization_response_iss_parameter_supported": True,
    }
    return json_answer(described)


@bp.post("/auth/introspect")
def introspect() -> Response:
    """RFC 7662, for a client's own tokens, and for back ends that may see everything anyway."""
    try:
        client = authenticated_client(CONFIDENTIAL)
        given = given_token()
    except OAuth2Error as error:
        return error_response(error)
    claims = authorization().claims(given)
    of = str(claims.get("client_id")) if claims else ""
    if claims is None:
        granted = authorization().grant_of_refresh(given)
        claims, of = (refresh_claims(granted), granted.client) if granted else (None, "")
    is_open = of == client.id or CLIENT_CREDENTIALS in client.grant_types
    shown = {"active": True, **claims} if claims is not None and is_open else {"active": False}
    return json_answer(shown, headers=NOT_KEPT)


def refresh_claims(granted: Granted) -> Claims:
    return {"client_id": granted.client, "sub": granted.account, "scope": granted.scope}


def given_token() -> str:
    found = request.form.get("token")
    if not found:
        raise InvalidRequestError("There is no token.")
    return found


@bp.post("/auth/revoke")
def revoke() -> Response:
    """RFC 7009."""
    try:
        client = authenticated_client(METHODS)
        authorization().revoke(given_token(), client.id)
    except OAuth2Error as error:
        return error_response(error)
    tokens = services().tokens
    if tokens is not None:
        tokens.forget()
    return Response("", 200, NOT_KEPT)


@bp.post("/auth/register")
def register() -> Response:
    """RFC 7591, where the site lets whoever comes register."""
    if not services().settings.client_registration:
        raise ResourceNotFound("Clients are registered by the operator here.")
    try:
        client_id = secrets.token_urlsafe(16).replace("_", "x").replace("-", "y")
        client, secret = register_client(
            authorization(), client_of_metadata(client_id, json_body()), by_itself=True
        )
    except InvalidRequest as error:
        is_uri = "redirect_uris" in str(error)
        code = "invalid_redirect_uri" if is_uri else "invalid_client_metadata"
        fault = {"error": code, "error_description": str(error)}
        return json_answer(fault, 400, headers=NOT_KEPT)
    answer = {"client_id": client.id, **metadata_of(client)}
    if secret is not None:
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}
    return json_answer(answer, 201, headers=NOT_KEPT)


@bp.post("/auth/launch")
def launch() -> Response:
    """A `launch` value for an app, as an EHR asks for it: see docs/authorization.md.

    Raise Unauthenticated, AccessDenied, InvalidRequest. Whoever may see all patients may say who is
    at hand; it opens nothing to the app that its person may not see.
    """
    services().access.require_whole(caller(), "r", "Patient", "Encounter", "ImagingStudy")
    described = json_body()
    client = authorization().client(str(described.get("client_id", "")))
    if client is None:
        raise InvalidRequest("client_id names no client that is registered here.")
    if caller().client_id and not any(s.context == "system" for s in caller().scopes):
        raise AccessDenied("An app makes no launches; the chart, and back ends do.")
    context = LaunchContext(
        patient=id_of(described, "patient"),
        encounter=id_of(described, "encounter"),
        references=tuple(f"ImagingStudy/{one}" for one in studies_of(described)),
    )
    account = described.get("user", "")
    value = authorization().launch(
        context, client_id=client.id, account=account if isinstance(account, str) else ""
    )
    answer = {"iss": authorization().base, "launch": value, "launch_uri": client.launch_uri}
    return json_answer(answer, 201, headers=NOT_KEPT)


def id_of(described: dict[str, Any], name: str) -> str:
    """Raise InvalidRequest."""
    value = described.get(name, "")
    if value != "" and (not isinstance(value, str) or not RESOURCE_ID.fullmatch(value)):
        raise InvalidRequest(f"{name} is the id of a resource.")
    return str(value)


def studies_of(described: dict[str, Any]) -> list[str]:
    listed = described.get("imagingstudy", [])
    given = [listed] if isinstance(listed, str) else listed
    if not isinstance(given, list) or len(given) > 20:
        raise InvalidRequest("imagingstudy is the id of a study, or a list of them.")
    return [id_of({"imagingstudy": one}, "imagingstudy") for one in given]


def json_body() -> dict[str, Any]:
    """Raise InvalidRequest."""
    try:
        found = decode(request.get_data())
    except BadRequest as error:
        raise InvalidRequest("The body cannot be read.") from error
    if not isinstance(found, dict):
        raise InvalidRequest("The body is no JSON object.")
    return found


def json_answer(
    body: object, status: int = 200, *, headers: dict[str, str] | None = None
) -> Response:
    return Response(encode(body), status, headers, content_type="application/json")
