"""The parts that are there only with an EHR as master, put together."""

from dataclasses import dataclass

from imaging_fhir.ehr.client import open_ehr
from imaging_fhir.services.ehr_copies import Copies
from imaging_fhir.services.ehr_look_up import LookUp
from imaging_fhir.services.ehr_return import EhrReturn
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.settings import Settings, zone
from imaging_fhir.storage import ehr as known_of_ehr
from imaging_fhir.storage.cache import open_cache
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.sealed_cache import SealedCache

SEAL = "cache-seal"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithEhr:
    look_up: LookUp
    pending: EhrReturn

    def close(self) -> None:
        self.look_up.close()


def with_ehr(settings: Settings, database: Database, relinking: Relinking) -> WithEhr | None:
    """None where no EHR is configured; raise InvalidSetting."""
    ehr = open_ehr(settings)
    if ehr is None:
        return None
    secret = database.write(lambda transaction: known_of_ehr.secret_of(transaction, SEAL))
    copies = Copies(
        base=ehr.base,
        zone=zone(settings.time_zone),
        after_write=relinking.resource_written,
        recheck_milliseconds=settings.ehr_confirm_seconds * 1000,
    )
    look_up = LookUp(
        ehr,
        relinking.studies.linking,
        copies,
        database,
        SealedCache(open_cache(settings.redis_url), secret),
        seconds=settings.ehr_timeout,
        hit_seconds=settings.ehr_confirm_seconds,
        miss_seconds=settings.ehr_miss_seconds,
    )
    return WithEhr(
        look_up=look_up,
        pending=EhrReturn(database=database, look_up=look_up, relinking=relinking),
    )
