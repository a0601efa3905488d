"""The service as a whole, put together from its settings: for the web, and for the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from imaging_fhir.errors import ImagingError, InvalidSetting
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.resources import Resources
from imaging_fhir.settings import Settings, zone
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.migrations import upgrade
from imaging_fhir.storage.ports import BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    database: Database
    blobs: BlobStore
    access: AccessPolicy
    resources: Resources

    @property
    def base(self) -> str:
        """The public address of the FHIR base."""
        return self.settings.public_address + "/fhir"

    def readiness(self) -> dict[str, str]:
        """`ok` or what is wrong, for each part that every request needs."""
        return {
            "database": state_of(self.database.ping),
            "blobs": state_of(self.blobs.require_space),
        }

    def close(self) -> None:
        self.resources.current.close()
        self.database.close()


def state_of(look: Callable[[], object]) -> str:
    try:
        look()
    except ImagingError as error:
        return str(error)
    return "ok"


def build_services(settings: Settings) -> Services:
    upgrade(settings.database_address)
    database = Database(settings.database_address)
    blobs = open_blob_store(settings)
    return Services(
        settings=settings,
        database=database,
        blobs=blobs,
        access=AccessPolicy(settings),
        resources=Resources(
            database,
            None,
            base=settings.public_address + "/fhir",
            zone=zone(settings.time_zone),
            new_id=new_id,
            after_write=lambda *_: None,
        ),
    )


def new_id() -> str:
    return str(uuid4())


def open_blob_store(settings: Settings) -> BlobStore:
    scheme, _, rest = settings.blob_address.partition("://")
    if scheme != "file":
        raise InvalidSetting(f"blob_url: there is no store for {scheme!r}.")
    return FolderBlobStore(Path(rest), min_free_bytes=settings.min_free_bytes)
