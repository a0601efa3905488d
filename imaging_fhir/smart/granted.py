"""Who asks, by the claims of an access token that counts, or of an introspection's answer.

Claims are SMART's; purposes of use are those of IHE IUA (ITI TF-2: 3.71.4.1.2.2.1), an extension
of the token, as no header for them is defined.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imaging_fhir.errors import Unauthenticated
from imaging_fhir.model.caller import Caller, Scope
from imaging_fhir.smart.access_token import Claims, moment
from imaging_fhir.smart.scope import parse_scopes
from imaging_fhir.trust import RESOURCE_ID, TrustedIssuer

PURPOSES = "extensions.ihe_iua.purpose_of_use"
ACT_REASON = frozenset(
    {"", "http://terminology.hl7.org/CodeSystem/v3-ActReason", "urn:oid:2.16.840.1.113883.5.8"}
)
CODE = re.compile(r"[A-Za-z0-9_\-]{1,64}", re.ASCII)
PERSON = re.compile(
    r"(?:(?P<base>https?://\S+)/)?"
    r"(?P<reference>(?:Patient|Person|Practitioner|PractitionerRole|RelatedPerson)"
    r"/[A-Za-z0-9\-.]{1,64})",
    re.ASCII,
)
LONGEST = 1000  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How an issuer's claims are read here; `fhir_bases` are those whose resources are ours."""

    issuer: TrustedIssuer
    fhir_bases: frozenset[str]
    is_own: bool = False


def caller_of(claims: Claims, reading: Reading, *, token_id: str) -> Caller:
    """Raise Unauthenticated where the launch context cannot be read: no other takes its place."""
    issuer = reading.issuer
    patient = context_id(claims, issuer.patient_claim, "Patient", reading.fhir_bases)
    client_id = text(claims, "client_id") or text(claims, "azp")
    subject = text(claims, "sub") or client_id
    if not subject:
        raise Unauthenticated("The access token names nobody.", error="invalid_token")
    return Caller(
        issuer=issuer.issuer,
        subject=subject,
        client_id=client_id,
        fhir_user=fhir_user(claim(claims, issuer.fhir_user_claim), reading.fhir_bases),
        roles=roles(claims, reading),
        scopes=scopes_of(claims, patient),
        patient=patient,
        encounter=context_id(claims, issuer.encounter_claim, "Encounter", reading.fhir_bases),
        purposes=purposes(claim(claims, PURPOSES)),
        token_id=token_id,
        expires=int(moment(claims, "exp") or 0),
    )


def claim(claims: Claims, path: str) -> Any:
    """By its name, dots and all (a URI), else by the path."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def text(claims: Claims, path: str) -> str:
    found = claim(claims, path)
    is_plain = isinstance(found, str) and len(found) <= LONGEST and found.isprintable()
    return found if is_plain else ""


def texts(value: Any) -> list[str]:
    """Of a list, or of a text with spaces between them."""
    if isinstance(value, str):
        return value.split(" ")
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def scopes_of(claims: Claims, patient: str) -> tuple[Scope, ...]:
    """Those of `patient/` only with a Patient: without one they open nothing, not everything."""
    found = parse_scopes(" ".join(texts(claims.get("scope", claims.get("scp")))))
    return tuple(scope for scope in found if patient or scope.context != "patient")


def context_id(claims: Claims, path: str, resource_type: str, bases: frozenset[str]) -> str:
    """The id of what was chosen at the launch; raise Unauthenticated."""
    found = claim(claims, path)
    if found is None or found == "":
        return ""
    given = found if isinstance(found, str) else "?"
    base, _, reference = given.rpartition(f"{resource_type}/")
    if base and base.rstrip("/") not in bases:
        reference = "?"
    if not RESOURCE_ID.fullmatch(reference):
        raise Unauthenticated(
            f"The access token's {resource_type.lower()} is none that is known here.",
            error="invalid_token",
        )
    return reference


def fhir_user(found: Any, bases: frozenset[str]) -> str:
    """`Practitioner/1` where it is one of ours, else the address of whom it is."""
    match = PERSON.fullmatch(found) if isinstance(found, str) and len(found) <= LONGEST else None
    if match is None:
        return ""
    is_ours = match["base"] is None or match["base"].rstrip("/") in bases
    return match["reference"] if is_ours else match[0]


def roles(claims: Claims, reading: Reading) -> frozenset[str]:
    """Of a foreign issuer only by the table of the site file: its words are not ours."""
    named = texts(claim(claims, reading.issuer.roles_claim))
    if reading.is_own:
        return frozenset(named)
    translated = {reading.issuer.roles[name] for name in named if name in reading.issuer.roles}
    return frozenset(translated | set(reading.issuer.default_roles))


def purposes(value: Any) -> frozenset[str]:
    """Codes of v3-ActReason."""
    listed = value if isinstance(value, list) else [value]
    found = (purpose(one) for one in listed[:50])
    return frozenset(code for code in found if code and CODE.fullmatch(code))


def purpose(value: Any) -> str:
    if isinstance(value, str):
        system, _, code = value.rpartition("#")
    elif isinstance(value, Mapping):
        system, code = value.get("system", ""), value.get("code", "")
    else:
        return ""
    is_known = isinstance(system, str) and system in ACT_REASON
    return code if is_known and isinstance(code, str) else ""
