"""What others need to know of the DIMSE door: whether it is safe, and whether it is open."""

import socket
import ssl

from imaging_fhir.errors import ImagingError, InvalidSetting
from imaging_fhir.settings import PREFIX, Settings

SECONDS_TO_CONNECT = 2.0
THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """As BCP 195 has it; with a CA for clients, they have to have a certificate of it.

    None without a certificate; raise InvalidSetting for files that do not serve.
    """
    if not settings.dimse_tls_cert_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.dimse_tls_cert_file, settings.dimse_tls_key_file or None)
        if settings.dimse_tls_client_ca_file:
            context.load_verify_locations(settings.dimse_tls_client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise InvalidSetting(f"{PREFIX}DIMSE_TLS_CERT_FILE and its like: {reason}.") from error
    return context


def require_listening(settings: Settings) -> None:
    """Raise ImagingError where nobody takes connections there."""
    host = THIS_MACHINE.get(settings.dimse_address, settings.dimse_address)
    try:
        socket.create_connection((host, settings.dimse_port), SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise ImagingError(f"Nobody listens on port {settings.dimse_port}.") from error
