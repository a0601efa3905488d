"""Whether the issuers of access tokens answer: one look at the keys of each, or one question."""

import time
from collections.abc import Iterator

from imaging_fhir.errors import ImagingError, Unauthenticated
from imaging_fhir.services.token_composition import foreign_issuer
from imaging_fhir.services.tokens import SignedTokens
from imaging_fhir.settings import Settings, Site
from imaging_fhir.trust import TrustedIssuer

PROBE = "imaging-fhir-doctor"  # a token that nobody has


def states_of_issuers(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Each issuer, what is to be said of it, and whether it is well."""
    if settings.auth == "none":
        return
    for issuer in Site.from_file(settings.site_file).trust.issuers:
        try:
            yield issuer.issuer, answered(issuer, settings), True
        except ImagingError as error:
            yield issuer.issuer, str(error), False


def answered(issuer: TrustedIssuer, settings: Settings) -> str:
    """Raise IssuerUnavailable, InvalidSetting."""
    judge = foreign_issuer(issuer, settings).judge
    if isinstance(judge, SignedTokens):
        return f"{len(judge.keys.current())} keys"
    try:
        judge.claims(PROBE, now=time.time())
    except Unauthenticated:
        return "it is asked about each token"
    return "it says of a token that nobody has that it counts"
