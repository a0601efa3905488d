"""Says whether what the service stands on is well, and what to do where it is not."""

import importlib.util
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from imaging_fhir.ehr.client import open_ehr
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.errors import ImagingError
from imaging_fhir.services.access import require_safe_address
from imaging_fhir.services.composition import open_blob_store
from imaging_fhir.services.dimse_door import tls_context
from imaging_fhir.services.doctor_issuers import states_of_issuers
from imaging_fhir.settings import PREFIX, Settings, Site
from imaging_fhir.storage import condition, migrations
from imaging_fhir.storage.cache import RedisCache
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.s3 import S3BlobStore

State = Literal["ok", "warning", "failed"]
DECODERS = {
    "gdcm": "JPEG, JPEG 2000 and JPEG-LS",
    "openjpeg": "JPEG 2000 and HTJ2K",
    "jpeg_ls": "JPEG-LS",
    "rle": "RLE",
    "PIL": "photos",
    "pypdfium2": "PDF",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    what: str
    state: State
    message: str
    advice: str = ""


def doctor(settings: Settings) -> Iterator[Diagnosis]:
    """Look at one part after the other; nothing is changed but a probe that is removed again."""
    for what, look in PARTS.items():
        try:
            yield from look(settings)
        except (ImagingError, OSError) as error:
            yield Diagnosis(what=what, state="failed", message=str(error), advice=ADVICE[what])


def look_at_site(settings: Settings) -> Iterator[Diagnosis]:
    site = Site.from_file(settings.site_file)
    off = ", ".join(sorted(site.policy.off)) or "none"
    message = f"{len(site.sources)} sources, {len(site.issuers)} issuers, rules off: {off}"
    yield Diagnosis(what="site", state="ok", message=message)


def look_at_database(settings: Settings) -> Iterator[Diagnosis]:
    with closing(Database(settings.database_address)) as database:
        with database.read() as connection:
            is_current = migrations.is_current(connection)
            revision = migrations.current_revision(connection)
        if is_current:
            database.write(lambda transaction: transaction.now)
            yield Diagnosis(what="database", state="ok", message=f"writable, revision {revision}")
        else:
            yield Diagnosis(
                what="database",
                state="warning",
                message=f"of revision {revision or 'none'}",
                advice="`serve` and `ingest` bring it up to date when they start.",
            )
        yield durability(database, settings)


def durability(database: Database, settings: Settings) -> Diagnosis:
    weak = condition.weak_durability(database)
    if database.is_sqlite and condition.is_on_network(settings.data_dir):
        return Diagnosis(
            what="durability",
            state="failed",
            message="SQLite is on a network file system.",
            advice=f"Put {PREFIX}DATA_DIR on a local disk, or use PostgreSQL.",
        )
    if weak:
        return Diagnosis(
            what="durability",
            state="warning",
            message=", ".join(weak),
            advice="A power cut may lose what was acknowledged: set these back in PostgreSQL.",
        )
    return Diagnosis(what="durability", state="ok", message="commits are synced")


def look_at_blobs(settings: Settings) -> Iterator[Diagnosis]:
    is_bucket = settings.blob_address.startswith("s3://")
    yield from look_at_bucket(settings) if is_bucket else look_at_folder(settings)


def look_at_bucket(settings: Settings) -> Iterator[Diagnosis]:
    store = open_blob_store(settings)
    store.require_space()
    if isinstance(store, S3BlobStore):
        store.probe()
    yield Diagnosis(what="blobs", state="ok", message=f"writable, {settings.blob_address}")


def look_at_folder(settings: Settings) -> Iterator[Diagnosis]:
    folder = Path(urlsplit(settings.blob_address).path)
    store = FolderBlobStore(folder, min_free_bytes=settings.min_free_bytes)
    with store.stage([b"probe"], limit=5) as staged:
        link = staged.path().with_suffix(".probe")
        link.hardlink_to(staged.path())
        link.unlink()
    free = store.free_bytes() / 1024**3
    kind = condition.file_system(folder) or "file system of unknown kind"
    scarce = store.free_bytes() < 10 * settings.min_free_bytes
    yield Diagnosis(
        what="blobs",
        state="warning" if scarce else "ok",
        message=f"writable, {kind}, {free:.1f} GiB free",
        advice=ADVICE["blobs"] if scarce else "",
    )


def look_at_time_zone(settings: Settings) -> Iterator[Diagnosis]:
    if settings.time_zone:
        yield Diagnosis(what="time zone", state="ok", message=settings.time_zone)
        return
    yield Diagnosis(
        what="time zone",
        state="warning",
        message="none is set: times without an offset are served as dates",
        advice=f"Set {PREFIX}TIME_ZONE, such as Europe/Berlin.",
    )


def look_at_public_url(settings: Settings) -> Iterator[Diagnosis]:
    address = urlsplit(settings.public_address)
    if address.scheme not in ("http", "https") or not address.hostname:
        yield Diagnosis(
            what="public address",
            state="failed",
            message=f"{settings.public_address} is no http or https address.",
            advice=ADVICE["public address"],
        )
    elif settings.host not in LOOPBACK and not settings.public_url:
        yield Diagnosis(
            what="public address",
            state="warning",
            message=f"none is set: resources say {settings.public_address}",
            advice=ADVICE["public address"],
        )
    else:
        yield Diagnosis(what="public address", state="ok", message=settings.public_address)


def look_at_decoders(settings: Settings) -> Iterator[Diagnosis]:
    missing = [name for name in DECODERS if importlib.util.find_spec(name) is None]
    if not missing:
        yield Diagnosis(what="decoders", state="ok", message="all are installed")
        return
    kinds = ", ".join(DECODERS[name] for name in missing)
    yield Diagnosis(
        what="decoders",
        state="warning",
        message=f"not installed: {', '.join(missing)} ({kinds})",
        advice=ADVICE["decoders"],
    )


def look_at_ehr(settings: Settings) -> Iterator[Diagnosis]:
    """Whether it answers, lets us in, and has the searches that look-ups need."""
    ehr = open_ehr(settings)
    if ehr is None:
        yield Diagnosis(what="EHR", state="ok", message="none is configured: patients live here")
        return
    with closing(ehr):
        deadline = Deadline(max(settings.ehr_timeout, 5.0))
        capability = ehr.capability(deadline)
        ehr.by_identifier("Patient", PROBE, PROBE, deadline)
    missing = [
        f"{type_} by {name}"
        for type_, names in LOOKED_UP_BY.items()
        for name in names
        if not capability.declares(type_, name)
    ]
    yield Diagnosis(
        what="EHR",
        state="warning" if missing else "ok",
        message=f"it declares no search for {', '.join(missing)}" if missing else "it answers",
        advice="Without it, visits or orders are found by less; see docs/ehr.md."
        if missing
        else "",
    )
    if settings.ehr_auth != "none" and not settings.ehr_url.startswith("https://"):
        yield Diagnosis(
            what="EHR",
            state="warning",
            message="our log-in goes there without encryption",
            advice=f"Give {PREFIX}EHR_URL as https.",
        )


def look_at_redis(settings: Settings) -> Iterator[Diagnosis]:
    if not settings.redis_url:
        yield Diagnosis(what="Redis", state="ok", message="none is configured: each process caches")
        return
    with closing(RedisCache(settings.redis_url)) as cache:
        fault = cache.fault()
    yield Diagnosis(
        what="Redis",
        state="warning" if fault else "ok",
        message=fault or "it answers",
        advice=ADVICE["Redis"] if fault else "",
    )


def look_at_port(settings: Settings) -> Iterator[Diagnosis]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            yield Diagnosis(
                what="port",
                state="warning",
                message=f"{settings.host}:{settings.port}: {error.strerror}",
                advice=ADVICE["port"],
            )
            return
    yield Diagnosis(what="port", state="ok", message=f"{settings.host}:{settings.port} is free")


def look_at_dimse(settings: Settings) -> Iterator[Diagnosis]:
    """Whether anyone could send there, and the files of TLS serve."""
    if not settings.dimse_port:
        yield Diagnosis(what="DIMSE", state="ok", message="no port is set: no C-STORE")
        return
    require_safe_address(settings)
    protocol = "in clear" if tls_context(settings) is None else "over TLS"
    titles = {
        title for source in Site.from_file(settings.site_file).sources for title in source.ae_titles
    }
    if not titles and settings.dimse_callers == "known":
        yield Diagnosis(
            what="DIMSE",
            state="warning",
            message="the site file has no source with AE titles: nobody is let in",
            advice=f"List the senders in the file that {PREFIX}SITE_FILE names.",
        )
        return
    yield Diagnosis(
        what="DIMSE",
        state="ok",
        message=f"{settings.dimse_address}:{settings.dimse_port} {protocol}, "
        f"{len(titles)} AE titles known",
    )


def look_at_issuers(settings: Settings) -> Iterator[Diagnosis]:
    """Of access tokens, where there are any."""
    for name, message, is_well in states_of_issuers(settings):
        yield Diagnosis(
            what="issuers",
            state="ok" if is_well else "failed",
            message=f"{name}: {message}",
            advice="" if is_well else ISSUERS,
        )


ISSUERS = (
    "Look at [[token_issuers]] in the site file; until an issuer answers, its tokens do not count."
)
PARTS: dict[str, Callable[[Settings], Iterator[Diagnosis]]] = {
    "site": look_at_site,
    "database": look_at_database,
    "blobs": look_at_blobs,
    "time zone": look_at_time_zone,
    "public address": look_at_public_url,
    "decoders": look_at_decoders,
    "EHR": look_at_ehr,
    "issuers": look_at_issuers,
    "Redis": look_at_redis,
    "port": look_at_port,
    "DIMSE": look_at_dimse,
}
PROBE = "urn:imaging-fhir:doctor"  # a number that nobody has
LOOKED_UP_BY = {
    "Patient": ("identifier",),
    "Encounter": ("identifier", "patient", "date"),
    "ServiceRequest": ("identifier",),
}
ADVICE = {
    "site": f"Correct the file that {PREFIX}SITE_FILE names.",
    "database": f"Look at {PREFIX}DATABASE_URL, and whether its server runs and lets us in.",
    "blobs": f"Look at {PREFIX}BLOB_URL: a folder that may be written to, with links and space, "
    "or a bucket that the AWS variables lead to.",
    "time zone": f"Set {PREFIX}TIME_ZONE to a zone of the IANA database.",
    "public address": f"Set {PREFIX}PUBLIC_URL to the address that clients use.",
    "decoders": "Install the package again with all that it depends on.",
    "EHR": f"Look at {PREFIX}EHR_URL and _EHR_AUTH; until it answers, images wait.",
    "issuers": ISSUERS,
    "Redis": f"Look at {PREFIX}REDIS_URL; without it each process asks the EHR for itself.",
    "port": f"If it is not this service that listens there, set {PREFIX}PORT to another.",
    "DIMSE": f"Look at {PREFIX}DIMSE_HOST and _DIMSE_TLS_CERT_FILE; see docs/dimse.md.",
}
