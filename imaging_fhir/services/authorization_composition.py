"""The built-in authorization server, put together from the settings."""

import logging
from pathlib import Path

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.services.authorization import Authorization
from imaging_fhir.services.client_keys import ClientKeys
from imaging_fhir.services.sessions import Sessions
from imaging_fhir.services.signing_keys import FILE, SigningKeys
from imaging_fhir.settings import Settings
from imaging_fhir.storage.database import Database

logger = logging.getLogger(__name__)


def authorization_of(settings: Settings, database: Database) -> Authorization | None:
    """None where it is off; its key is made where there is none. Raise InvalidSetting."""
    if not settings.is_authorization_server:
        return None
    file = Path(settings.authorization_secret_file or settings.data_dir / FILE)
    keys = SigningKeys(database, file)
    try:
        keys.signing()
    except InvalidSetting as error:  # a command may mend it
        logger.error("No access token can be given: %s", error)
    return Authorization(
        database=database,
        keys=keys,
        client_keys=ClientKeys(),
        root=settings.public_address,
    )


def sessions_of(settings: Settings, database: Database) -> Sessions | None:
    if not settings.is_authorization_server:
        return None
    return Sessions(database=database, issuer=settings.public_address)
