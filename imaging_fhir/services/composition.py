"""The service as a whole, put together from its settings: for the web, and for the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from imaging_fhir.channel.address import Guard as AddressGuard
from imaging_fhir.channel.rest_hook import RestHook
from imaging_fhir.errors import ImagingError, InvalidSetting
from imaging_fhir.fhir.endpoint import archive_endpoint
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.jobs.worker import Worker
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import ROOT_PLACEHOLDER
from imaging_fhir.model.correction import Corrected
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.addresses import Addresses
from imaging_fhir.services.asynchronous import Asynchronous
from imaging_fhir.services.audit import Audit
from imaging_fhir.services.authorization import Authorization
from imaging_fhir.services.authorization_composition import authorization_of, sessions_of
from imaging_fhir.services.background import Background
from imaging_fhir.services.binary import Binaries
from imaging_fhir.services.candidates import Candidates
from imaging_fhir.services.chart import Chart
from imaging_fhir.services.chart_image import ImagePages
from imaging_fhir.services.cleanup import CleanUp
from imaging_fhir.services.correction import Corrections, undoable
from imaging_fhir.services.delivery import Delivery
from imaging_fhir.services.dimse_door import require_listening
from imaging_fhir.services.docref import DocRef
from imaging_fhir.services.document_filing import DocumentFiling
from imaging_fhir.services.ehr_composition import WithEhr, with_ehr
from imaging_fhir.services.ehr_copies import require_own
from imaging_fhir.services.everything import Everything
from imaging_fhir.services.explain_link import ExplainLink
from imaging_fhir.services.guard import Guard
from imaging_fhir.services.held_parts import HeldParts
from imaging_fhir.services.history import History
from imaging_fhir.services.image_display import ImageDisplay
from imaging_fhir.services.ingest import Ingest, Outcome
from imaging_fhir.services.integrity import Integrity
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.matching import Matching
from imaging_fhir.services.merging import Merging
from imaging_fhir.services.meta_operations import MetaOperations
from imaging_fhir.services.metrics import INGESTED
from imaging_fhir.services.notifying import Notifying
from imaging_fhir.services.order_backlog import OrderBacklog
from imaging_fhir.services.patching import Patching
from imaging_fhir.services.pictures import Pictures
from imaging_fhir.services.policy_change import PolicyChange
from imaging_fhir.services.registering import require_unregistered
from imaging_fhir.services.rejecting import Rejecting
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.resources import Resources
from imaging_fhir.services.search import Search
from imaging_fhir.services.sessions import Sessions
from imaging_fhir.services.smart_configuration import SmartConfiguration
from imaging_fhir.services.source_correction import SourceCorrections
from imaging_fhir.services.splitting import Splitting
from imaging_fhir.services.studies import Studies
from imaging_fhir.services.study_edit import StudyEdit
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.services.subscription_status import SubscriptionStatus
from imaging_fhir.services.subscriptions import Subscriptions
from imaging_fhir.services.token_composition import smart_configuration_of, tokens_of
from imaging_fhir.services.tokens import Tokens
from imaging_fhir.services.transaction import Transactions
from imaging_fhir.services.validating import Validating
from imaging_fhir.services.worklist import Worklist
from imaging_fhir.settings import Settings, Site, zone
from imaging_fhir.storage import audit_writes
from imaging_fhir.storage.audit_spool import Spool
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.migrations import upgrade
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.resources import find_content, put
from imaging_fhir.storage.s3 import S3BlobStore
from imaging_fhir.storage.same_person import same_person

DELIVERY_THREADS = 2  # a subscriber that does not answer holds one up for its time-out
AUDIT_SPOOL = "audit-spool"  # in the data folder
STAGING = "staging"  # in the data folder: uploads on their way to a bucket
ARCHIVE_ENDPOINT = "Endpoint/dicomweb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    database: Database
    blobs: BlobStore
    site: Site
    access: AccessPolicy
    tokens: Tokens | None  # where access tokens are asked for
    smart_configuration: SmartConfiguration | None
    authorization: Authorization | None  # the built-in server, where it is on
    sessions: Sessions | None
    audit: Audit
    addresses: Addresses
    resources: Resources
    patching: Patching
    binaries: Binaries
    search: Search
    history: History
    everything: Everything
    docref: DocRef
    validating: Validating
    meta_operations: MetaOperations
    matching: Matching
    corrections: Corrections
    splitting: Splitting
    merging: Merging
    transactions: Transactions
    ehr: WithEhr | None  # as the master of patients and visits
    ingest: Ingest
    explain_link: ExplainLink
    asynchronous: Asynchronous
    pictures: Pictures
    chart: Chart
    image_pages: ImagePages
    image_display: ImageDisplay
    worklist: Worklist
    notifying: Notifying
    delivery: Delivery
    subscription_status: SubscriptionStatus
    background: Background

    def workers(self) -> list[Worker]:
        """Threads, not yet started, that do what is due."""
        deliveries = [Worker(self.delivery.work) for _ in range(DELIVERY_THREADS)]
        others = [Worker(self.notifying.work), Worker(self.audit.work)]
        return [self.background.worker(), *others, *deliveries]

    @property
    def base(self) -> str:
        """The public address of the FHIR base."""
        return self.addresses.base

    def undo(self, provenance_id: str, reason: str | None, caller: Caller) -> Corrected:
        """A correction of either kind; raise ResourceNotFound, ResourceConflict."""

        def unit(transaction: Transaction) -> Corrected:
            _, correction = undoable(transaction.connection, provenance_id)
            by = self.splitting if correction.split else self.merging if correction.merged else None
            return (by or self.corrections).undo(transaction, provenance_id, reason, caller)

        return self.database.write(unit)

    def readiness(self) -> dict[str, str]:
        """`ok` or what is wrong, for each part that every request needs."""
        states = {
            "database": state_of(self.database.ping),
            "blobs": state_of(self.blobs.require_space),
        }
        if self.settings.dimse_port:
            states["dimse"] = state_of(partial(require_listening, self.settings))
        return states

    def close(self) -> None:
        if self.ehr is not None:
            self.ehr.close()
        self.resources.current.close()
        self.audit.close()
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
    if settings.is_audited:
        database.trail = audit_writes.write
    blobs = open_blob_store(settings)
    site = Site.from_file(settings.site_file)
    quiet_milliseconds = settings.quiet_seconds * 1000
    linking = Linking(
        site,
        zone=zone(settings.time_zone),
        profiles=settings.profile_packs,
        copy_seconds=settings.ehr_copy_seconds,
    )
    filing = StudyFiling(
        linking=linking,
        archive_endpoint=ARCHIVE_ENDPOINT,
        quiet_milliseconds=quiet_milliseconds,
        new_id=new_id,
        registers=settings.registered_studies,
    )
    document_filing = DocumentFiling(linking=linking, new_id=new_id)
    studies = Studies(max_instances=settings.max_instances_in_study)
    relinking = Relinking(assembler=studies, studies=filing, documents=document_filing)
    ehr = with_ehr(settings, database, relinking)
    pictures = Pictures(database=database, store=blobs)
    is_open = settings.auth == "none"
    database.write(partial(put_archive_endpoint, requires_access_token=not is_open))
    authorization = authorization_of(settings, database)
    access = AccessPolicy(
        settings,
        partial(person_of, database),
        app_origins=authorization.origins if authorization else None,
    )
    guard = AddressGuard.of(settings.subscription_hosts, allow_http=settings.subscription_http)
    addresses = Addresses(
        database=database,
        base=settings.public_address + "/fhir",
        ehr_base=settings.ehr_base,
        absolute=settings.ehr_references == "absolute",
    )
    subscriptions = Subscriptions(guard=guard, addresses=addresses, zone=zone(settings.time_zone))
    resources = Resources(
        database,
        blobs,
        studies,
        StudyEdit(filing=filing, assembler=studies),
        subscriptions,
        addresses=addresses,
        zone=zone(settings.time_zone),
        new_id=new_id,
        after_write=relinking.resources_written,
        may_write=may_write_with_ehr if ehr else require_unregistered,
        integrity=Integrity(strict=settings.reference_integrity == "strict"),
        requires_declared=settings.declared_profiles == "strict",
        guard=Guard(access=access if settings.auth == "smart" else None),
    )
    search = Search(resources, access, settings)
    notifying = Notifying(
        database=database,
        subscriptions=subscriptions,
        access=access,
        settle_milliseconds=settings.subscription_settle_seconds * 1000,
        search_seconds=settings.search_seconds,
    )
    delivery = Delivery(
        database=database,
        resources=resources,
        subscriptions=subscriptions,
        access=access,
        hook=RestHook(guard),
        addresses=addresses,
        last_attempt=settings.subscription_attempts,
    )
    chart = Chart(database, search, zone=zone(settings.time_zone))
    corrections = Corrections(database, relinking, new_id=new_id)
    rejecting = Rejecting(database=database, relinking=relinking)
    ingest = Ingest(
        database,
        blobs,
        filing,
        document_filing,
        max_bytes=settings.max_upload_bytes,
        time_zone=settings.time_zone,
        look_up=ehr.look_up if ehr else None,
        followers=(SourceCorrections(corrections=corrections), rejecting),
        counted=count,
    )
    asynchronous = Asynchronous(
        database=database,
        store=blobs,
        access=access,
        new_id=new_id,
        most_waiting=settings.async_waiting,
        kept_milliseconds=settings.async_seconds * 1000,
    )
    merging = Merging(database, relinking, new_id=new_id)
    matching = Matching(search)
    candidates = Candidates(chart=chart, matching=matching, relinking=relinking)
    return Services(
        settings=settings,
        database=database,
        blobs=blobs,
        site=site,
        access=access,
        tokens=tokens_of(settings, site, authorization),
        smart_configuration=smart_configuration_of(
            settings, site, authorization, registers=settings.client_registration
        ),
        authorization=authorization,
        sessions=sessions_of(settings, database),
        audit=audit_of(settings, database),
        addresses=addresses,
        resources=resources,
        patching=Patching(resources),
        binaries=Binaries(resources, limit=settings.max_upload_bytes),
        search=search,
        history=History(resources, access, settings),
        everything=Everything(resources, access, settings),
        docref=DocRef(search),
        validating=Validating(resources),
        meta_operations=MetaOperations(resources, access, settings),
        matching=matching,
        corrections=corrections,
        splitting=Splitting(corrections=corrections),
        merging=merging,
        transactions=Transactions(resources, search, access),
        ehr=ehr,
        ingest=ingest,
        explain_link=ExplainLink(
            database=database,
            ingest=ingest,
            access=access,
            look_up=ehr.look_up if ehr else None,
        ),
        asynchronous=asynchronous,
        pictures=pictures,
        chart=chart,
        image_pages=ImagePages(chart=chart, pictures=pictures),
        image_display=ImageDisplay(database, search, site),
        worklist=Worklist(candidates=candidates, corrections=corrections, new_id=new_id),
        notifying=notifying,
        delivery=delivery,
        subscription_status=SubscriptionStatus(resources, delivery),
        background=Background(
            database=database,
            pictures=pictures,
            studies=studies,
            cleanup=CleanUp(database=database, store=blobs),
            asynchronous=asynchronous,
            delivery=delivery,
            held_parts=HeldParts(database=database, store=blobs, relinking=relinking),
            merging=merging,
            rejecting=rejecting,
            policy_change=PolicyChange(
                database=database, relinking=relinking, fingerprint=site.fingerprint
            ),
            order_backlog=OrderBacklog(database=database, registering=filing.registering),
            ehr=ehr,
            quiet_milliseconds=quiet_milliseconds,
        ),
    )


def person_of(database: Database, patient_id: str) -> frozenset[str]:
    """Ids of all Patients who are that person today."""
    with database.read() as connection:
        return same_person(connection, [patient_id])[patient_id]


def audit_of(settings: Settings, database: Database) -> Audit:
    folder = settings.data_dir / AUDIT_SPOOL
    return Audit(
        database=database,
        spool=Spool(folder, sync=settings.audit_sync) if settings.is_audited else None,
        retention_days=settings.audit_retention_days,
    )


def may_write_with_ehr(connection: Connection, resource_type: str, resource_id: str) -> None:
    require_own(connection, resource_type, resource_id)
    require_unregistered(connection, resource_type, resource_id)


def put_archive_endpoint(transaction: Transaction, *, requires_access_token: bool) -> None:
    """The one Endpoint that every ImagingStudy refers to; written only when it changes."""
    content = archive_endpoint(
        f"{ROOT_PLACEHOLDER}/dicomweb", requires_access_token=requires_access_token
    )
    resource_type, _, resource_id = ARCHIVE_ENDPOINT.partition("/")
    known = find_content(transaction.connection, resource_type, resource_id) or {}
    if {name: known.get(name) for name in content} != content:
        entries = index_entries(resource_type, content)
        put(transaction, resource_type, resource_id, content, entries)


def count(outcome: Outcome) -> None:
    INGESTED.labels(outcome.status).inc()


def new_id() -> str:
    return str(uuid4())


def open_blob_store(settings: Settings) -> BlobStore:
    scheme, _, rest = settings.blob_address.partition("://")
    if scheme == "s3":
        staging = settings.data_dir / STAGING
        return S3BlobStore(rest, staging, min_free_bytes=settings.min_free_bytes)
    if scheme != "file":
        raise InvalidSetting(f"blob_url: there is no store for {scheme!r}.")
    return FolderBlobStore(Path(rest), min_free_bytes=settings.min_free_bytes)
