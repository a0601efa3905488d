"""The trusted issuers of the site file, put together."""

from imaging_fhir.services.issuer_keys import FixedKeys
from imaging_fhir.services.tokens import TokenIssuer, Tokens, expected_of
from imaging_fhir.settings import Settings, Site
from imaging_fhir.smart.granted import Reading
from imaging_fhir.trust import TrustedIssuer


def tokens_of(settings: Settings, site: Site) -> Tokens | None:
    """None where nobody need show a token; raise InvalidSetting."""
    if settings.auth != "smart":
        return None
    return Tokens([token_issuer(one, settings) for one in site.trust.issuers], site.trust)


def token_issuer(issuer: TrustedIssuer, settings: Settings) -> TokenIssuer:
    base = settings.public_address + "/fhir"
    return TokenIssuer(
        reading=Reading(issuer=issuer, fhir_bases=fhir_bases(issuer, settings)),
        expected=expected_of(issuer, base),
        keys=FixedKeys.of_file(issuer.jwks_file),
    )


def fhir_bases(issuer: TrustedIssuer, settings: Settings) -> frozenset[str]:
    """Whose Practitioners and Patients are those here: ours, the EHR's, and those of the issuer."""
    bases = (settings.public_address + "/fhir", settings.ehr_base, *issuer.fhir_bases)
    return frozenset(base.rstrip("/") for base in bases if base)
