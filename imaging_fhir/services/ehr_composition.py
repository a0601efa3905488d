"""The parts that are there only with an EHR as master, put together."""

from collections.abc import Callable
from dataclasses import dataclass

from imaging_fhir.ehr.client import open_ehr
from imaging_fhir.ehr.copied import NEEDED
from imaging_fhir.fhir.validation import check
from imaging_fhir.services import ehr_sync, ehr_word
from imaging_fhir.services.ehr_copies import Copies
from imaging_fhir.services.ehr_look_up import LookUp
from imaging_fhir.services.ehr_return import EhrReturn
from imaging_fhir.services.ehr_sync import EhrSync
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
    sync: EhrSync | None

    def jobs(self) -> dict[str, Callable[[], int]]:
        """Background work by kind; each says in how many milliseconds it is due again."""
        sync = {} if self.sync is None else {ehr_sync.JOB: self.sync.run}
        return {ehr_word.JOB: self.pending.run, **sync}

    def close(self) -> None:
        self.look_up.close()


def with_ehr(settings: Settings, database: Database, relinking: Relinking) -> WithEhr | None:
    """None where no EHR is configured; raise InvalidSetting."""
    ehr = open_ehr(settings)
    if ehr is None:
        return None
    for type_, elements in NEEDED.items():  # the definitions are read now, not in a look-up's time
        check({"resourceType": type_, **{name: [{}] for name in elements}})
    secret = database.write(lambda transaction: known_of_ehr.secret_of(transaction, SEAL))
    copies = Copies(
        base=ehr.base,
        zone=zone(settings.time_zone),
        after_write=relinking.resource_written,
        recheck_milliseconds=settings.ehr_confirm_seconds * 1000,
        new_id=relinking.studies.new_id,
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
        sync=EhrSync(
            database=database,
            look_up=look_up,
            seconds=settings.ehr_sync,
            registers=settings.registered_studies,
        )
        if settings.ehr_sync > 0
        else None,
    )
