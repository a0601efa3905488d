"""`.well-known/smart-configuration`: who gives access tokens for this server, and what for.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html and SMART Imaging Access 0.1.0
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

Document = Mapping[str, Any]

IMAGING = "smart-imaging-access"
APP_LAUNCH = "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch"
BACKEND_SERVICES = "http://fhir.org/argonaut/smart-imaging/capabilities/backend-services"
MODES = {"authorization_code": APP_LAUNCH, "client_credentials": BACKEND_SERVICES}
CODE_CHALLENGE = "S256"
CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
OF_LAUNCHES = frozenset(  # what an issuer of an EHR says of itself that holds for its tokens here
    name for name in CAPABILITIES if not name.startswith("permission-v")
)
SCOPES = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "launch/imagingstudy",
    "offline_access",
    "online_access",
    "patient/*.rs",
    "patient/*.read",
    "patient/ImagingStudy.rs",
    "patient/ImagingStudy.read",
    "patient/DocumentReference.rs",
    "user/*.cruds",
    "user/*.rs",
    "user/ImagingStudy.rs",
    "system/*.rs",
    "system/ImagingStudy.rs",
)
ENDPOINTS = (  # as RFC 8414 names them; what SMART's document may have of another's
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "management_endpoint",
    "jwks_uri",
)
LISTS = (
    "scopes_supported",
    "response_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
)


def own_configuration(root: str, issuer: str, *, registers: bool = False) -> dict[str, Any]:
    """Of our own authorization server, below `root`; `registers`: whatever client comes."""
    auth = f"{root}/auth"
    endpoints = {
        "authorization_endpoint": f"{auth}/authorize",
        "token_endpoint": f"{auth}/token",
        "introspection_endpoint": f"{auth}/introspect",
        "revocation_endpoint": f"{auth}/revoke",
        "jwks_uri": f"{auth}/jwks",
    }
    if registers:
        endpoints["registration_endpoint"] = f"{auth}/register"
    return {
        "issuer": issuer,
        **endpoints,
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": [CODE_CHALLENGE],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "scopes_supported": list(SCOPES),
        "capabilities": [*CAPABILITIES, IMAGING, *MODES.values()],
    }


def foreign_configuration(
    document: Document, issuer: str, *, lets_systems_in: bool
) -> dict[str, Any]:
    """Of an EHR's authorization server, by its own document; only addresses that are absolute.

    `lets_systems_in`: the site file has clients of it that use `system/` scopes here.
    """
    grants = texts(document.get("grant_types_supported")) or ["authorization_code"]
    modes = [
        mode
        for grant, mode in MODES.items()
        if grant in grants and (lets_systems_in or mode is not BACKEND_SERVICES)
    ]
    own = [name for name in texts(document.get("capabilities")) if name in OF_LAUNCHES]
    lists = {name: texts(document.get(name)) for name in LISTS}
    return {
        "issuer": issuer,
        **endpoints_of(document),
        "grant_types_supported": grants,
        "code_challenge_methods_supported": [CODE_CHALLENGE],
        **{name: found for name, found in lists.items() if found},
        "capabilities": [*own, "permission-v1", "permission-v2", IMAGING, *modes],
    }


def endpoints_of(document: Document) -> dict[str, str]:
    found = {name: document.get(name) for name in ENDPOINTS}
    return {name: url for name, url in found.items() if isinstance(url, str) and is_absolute(url)}


def is_absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname)


def texts(value: Any) -> list[str]:
    listed: Iterable[Any] = value if isinstance(value, list) else ()
    return [one for one in listed if isinstance(one, str)]
