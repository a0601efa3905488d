"""Where access tokens for this server are had: from our own authorization server, or the EHR's."""

from dataclasses import dataclass

from imaging_fhir.channel.fetch import FetchFailed
from imaging_fhir.errors import IssuerUnavailable
from imaging_fhir.services.discovery import Discovery
from imaging_fhir.smart.configuration import Document, foreign_configuration, own_configuration
from imaging_fhir.trust import Trust, TrustedIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnConfiguration:
    root: str  # our public address
    issuer: str
    registers: bool = False

    def document(self) -> Document:
        return own_configuration(self.root, self.issuer, registers=self.registers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignConfiguration:
    """Of the first issuer of the site file, which is the EHR's."""

    issuer: TrustedIssuer
    discovery: Discovery
    trust: Trust

    def document(self) -> Document:
        """Raise IssuerUnavailable."""
        try:
            found = self.discovery.document()
        except FetchFailed as error:
            raise IssuerUnavailable(
                "The authorization server does not say at present where tokens are had."
            ) from error
        name = self.issuer.issuer
        lets_in = any(client.issuer == name for client in self.trust.system_clients)
        return foreign_configuration(found, name, lets_systems_in=lets_in)


SmartConfiguration = OwnConfiguration | ForeignConfiguration
