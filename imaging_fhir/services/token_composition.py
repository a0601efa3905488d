"""The trusted issuers of the site file, put together, and our own authorization server."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from imaging_fhir.channel.fetch import Fetcher
from imaging_fhir.errors import InvalidSetting, IssuerUnavailable
from imaging_fhir.services.discovery import Discovery
from imaging_fhir.services.introspection import Introspection
from imaging_fhir.services.issuer_keys import FixedKeys, RemoteKeys
from imaging_fhir.services.smart_configuration import (
    ForeignConfiguration,
    OwnConfiguration,
    SmartConfiguration,
)
from imaging_fhir.services.tokens import (
    ASKED_SECONDS,
    REVOKED_SECONDS,
    Keys,
    OwnIssuer,
    OwnKeys,
    SignedTokens,
    TokenIssuer,
    Tokens,
)
from imaging_fhir.settings import Settings, Site
from imaging_fhir.smart.access_token import Expected
from imaging_fhir.smart.granted import Reading
from imaging_fhir.trust import TrustedIssuer


def tokens_of(settings: Settings, site: Site, own: OwnIssuer | None = None) -> Tokens | None:
    """None where nobody need show a token; raise InvalidSetting."""
    if settings.auth != "smart":
        return None
    issuers = [foreign_issuer(one, settings) for one in site.trust.issuers]
    if own is not None:
        issuers.append(own_issuer(own, settings))
    return Tokens(issuers, site.trust)


def smart_configuration_of(
    settings: Settings, site: Site, own: OwnIssuer | None = None, *, registers: bool = False
) -> SmartConfiguration | None:
    """Of our own authorization server where it is on, else of the first issuer of the site file."""
    if settings.auth != "smart":
        return None
    if own is not None:
        return OwnConfiguration(
            root=settings.public_address, issuer=own.issuer, registers=registers
        )
    if not site.trust.issuers:
        return None
    first = site.trust.issuers[0]
    return ForeignConfiguration(issuer=first, discovery=discovery_of(first), trust=site.trust)


def foreign_issuer(issuer: TrustedIssuer, settings: Settings) -> TokenIssuer:
    reading = Reading(issuer=issuer, fhir_bases=fhir_bases(issuer, settings))
    expected = expected_of(issuer, settings)
    if issuer.introspection_url:
        asked = Introspection(
            fetcher=Fetcher(issuer.configured_hosts),
            url=issuer.introspection_url,
            client_id=issuer.client_id,
            secret=secret_of(issuer),
            expected=expected,
        )
        return TokenIssuer(reading=reading, judge=asked, is_asked=True, seconds=ASKED_SECONDS)
    return TokenIssuer(reading=reading, judge=SignedTokens(expected=expected, keys=keys_of(issuer)))


def own_issuer(own: OwnIssuer, settings: Settings) -> TokenIssuer:
    issuer = TrustedIssuer(issuer=own.issuer, requires_at_jwt=True)
    return TokenIssuer(
        reading=Reading(issuer=issuer, fhir_bases=fhir_bases(issuer, settings), is_own=True),
        judge=SignedTokens(
            expected=expected_of(issuer, settings), keys=OwnKeys(own), is_revoked=own.is_revoked
        ),
        seconds=REVOKED_SECONDS,
    )


def keys_of(issuer: TrustedIssuer) -> Keys:
    if issuer.jwks_file:
        return FixedKeys.of_file(issuer.jwks_file)
    fetcher = Fetcher(issuer.configured_hosts)
    if issuer.jwks_url:
        return RemoteKeys(fetcher, lambda: issuer.jwks_url, issuer=issuer.issuer)
    discovery = discovery_of(issuer)
    return RemoteKeys(fetcher, discovery.jwks_address, issuer=issuer.issuer)


def discovery_of(issuer: TrustedIssuer) -> Discovery:
    fetcher = Fetcher(issuer.configured_hosts)
    return Discovery(fetcher, issuer.issuer, address=issuer.discovery_url)


def expected_of(issuer: TrustedIssuer, settings: Settings) -> Expected:
    audiences = issuer.audiences or (settings.public_address + "/fhir",)
    return Expected(
        issuer=issuer.issuer,
        audiences=frozenset(one.rstrip("/") for one in audiences),
        algorithms=frozenset(issuer.algorithms),
        requires_at_jwt=issuer.requires_at_jwt,
        clock_skew=issuer.clock_skew,
    )


def fhir_bases(issuer: TrustedIssuer, settings: Settings) -> frozenset[str]:
    """Whose Practitioners and Patients are those here: ours, the EHR's, and those of the issuer."""
    bases = (settings.public_address + "/fhir", settings.ehr_base, *issuer.fhir_bases)
    return frozenset(base.rstrip("/") for base in bases if base)


def secret_of(issuer: TrustedIssuer) -> Callable[[], str]:
    """Read at once, so that a wrong setting is told of at the start; raise InvalidSetting."""
    name = f"token_issuers: {issuer.issuer!r}"
    try:
        found = read_secret(issuer)
    except IssuerUnavailable as error:
        raise InvalidSetting(f"{name}: {error}") from error
    if not found:
        raise InvalidSetting(f"{name}: its client_secret is empty.")
    return partial(read_secret, issuer)


def read_secret(issuer: TrustedIssuer) -> str:
    """Each time, so that it can be changed; raise IssuerUnavailable."""
    if issuer.client_secret_variable:
        return os.environ.get(issuer.client_secret_variable, "")
    try:
        return Path(issuer.client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise IssuerUnavailable("The file of the client_secret cannot be read.") from error
