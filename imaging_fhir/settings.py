"""All settings, read from the environment once; `serve` takes each as an option too."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.policy import Policy
from imaging_fhir.trust import Trust

PREFIX = "IMAGING_FHIR_"
SECRETS = frozenset({"ehr_secret"})  # never an option: other users of a machine see those


@dataclass(frozen=True, kw_only=True)
class Settings:
    host: Annotated[str, "Address to listen on; without authentication only loopback"] = "127.0.0.1"
    port: Annotated[int, "Port to listen on"] = 8080
    workers: Annotated[int, "Web processes"] = 2
    threads: Annotated[int, "Threads of each web process"] = 8
    data_dir: Annotated[Path, "Database and blobs of the embedded default"] = Path("imaging-data")
    database_url: Annotated[str, "postgresql+psycopg://… at scale; else SQLite in data_dir"] = ""
    blob_url: Annotated[str, "file:///FOLDER or s3://BUCKET/PREFIX; else a folder in data_dir"] = ""
    viewer_dir: Annotated[str, "Folder of the OHIF viewer's built site; without it no viewer"] = ""
    public_url: Annotated[str, "Address that clients use, without /fhir; else host and port"] = ""
    site_file: Annotated[str, "TOML file of issuers and sources, see docs/configuration.md"] = ""
    time_zone: Annotated[str, "Zone of times without an offset, such as Europe/Berlin"] = ""
    auth: Annotated[
        str, "smart: by access tokens; none: everyone who reaches the port may do everything"
    ] = "none"
    authorization_server: Annotated[
        bool, "yes: with auth=smart, people log in here and access tokens are given here"
    ] = False
    authorization_secret_file: Annotated[
        str, "File that opens the keys which sign them; else one in data_dir"
    ] = ""
    client_registration: Annotated[bool, "yes: whatever app comes may register by itself"] = False
    allow_open: Annotated[bool, "yes: listen beyond loopback without authentication"] = False
    allowed_hosts: Annotated[str, "Further names for the Host header, separated by commas"] = ""
    trusted_proxies: Annotated[
        str, "Addresses or networks of proxies that say whose request they pass on, with commas"
    ] = ""
    proxy_header: Annotated[str, "The header in which they do: X-Forwarded-For or Forwarded"] = (
        "X-Forwarded-For"
    )
    cors_origins: Annotated[
        str, "Origins of browser apps that may read and write, with commas; * is any"
    ] = ""
    max_upload_bytes: Annotated[int, "A larger upload is answered 413"] = 8 * 1024**3
    max_resource_bytes: Annotated[int, "A larger FHIR resource or Bundle is answered 413"] = (
        64 * 1024**2
    )
    min_free_bytes: Annotated[int, "Uploads are answered 507 when less disk than this is free"] = (
        512 * 1024**2
    )
    page_size: Annotated[int, "Matches on a page when _count is not given"] = 50
    max_page_size: Annotated[int, "The largest _count that is honoured"] = 1000
    qido_empty_status: Annotated[int, "Of a QIDO-RS search that finds nothing: 204 or 200"] = 204
    max_instances_in_study: Annotated[
        int, "ImagingStudy with more instances leaves them out; counts stay (0: never)"
    ] = 0
    quiet_seconds: Annotated[int, "A study unchanged for so long is kept as a version"] = 60
    reference_integrity: Annotated[
        str, "strict: what a resource refers to must be here, and cannot be deleted; or lenient"
    ] = "lenient"
    profiles: Annotated[
        str, "us-core, ipa or both: what is built here says which of these it conforms to"
    ] = ""
    declared_profiles: Annotated[
        str, "strict: what claims a profile known here must conform to it; or lenient"
    ] = "lenient"
    registered_studies: Annotated[
        bool, "yes: an imaging order without images is an ImagingStudy in status registered"
    ] = False
    search_seconds: Annotated[int, "A search that runs longer is answered 503"] = 20
    dimse_port: Annotated[int, "Port of C-STORE and C-ECHO, such as 11112 (0: none)"] = 0
    dimse_host: Annotated[str, "Address to listen on for them; else that of host"] = ""
    dimse_ae_title: Annotated[str, "AE titles that are answered to, separated by commas"] = (
        "IMAGING_FHIR"
    )
    dimse_callers: Annotated[
        str, "known: only AEs of the site file are let in; any: others as source default"
    ] = "known"
    dimse_associations: Annotated[int, "Associations at the same time"] = 20
    dimse_max_pdu: Annotated[int, "Bytes of the largest PDU that is received"] = 128 * 1024
    dimse_timeout: Annotated[float, "Seconds of silence that end an association"] = 60.0
    dimse_tls_cert_file: Annotated[str, "Certificate in PEM: DIMSE is served over TLS alone"] = ""
    dimse_tls_key_file: Annotated[str, "Its key, where it is not in the same file"] = ""
    dimse_tls_client_ca_file: Annotated[str, "CA in PEM: clients need a certificate of it"] = ""
    async_waiting: Annotated[
        int, "Requests with respond-async that may wait at a time; a further one is answered 429"
    ] = 100
    async_seconds: Annotated[
        int, "After so long, what was asked with respond-async and its answer are forgotten"
    ] = 86400
    redis_url: Annotated[str, "redis://…: where all processes share cached look-ups"] = ""
    ehr_url: Annotated[str, "FHIR R4 base of the EHR, the master of patients and visits"] = ""
    ehr_references: Annotated[
        str, "relative or absolute: how references to what is the EHR's are served"
    ] = "relative"
    ehr_auth: Annotated[str, "none, basic, bearer or private_key_jwt"] = "none"
    ehr_client_id: Annotated[str, "Client id at the EHR, or the user name of basic"] = ""
    ehr_secret: Annotated[str, "Password or token; by the environment alone"] = field(
        default="", repr=False
    )
    ehr_secret_file: Annotated[str, "File that holds it instead"] = ""
    ehr_key_file: Annotated[str, "Private key of private_key_jwt: PEM, JWK or JWKS"] = ""
    ehr_scope: Annotated[str, "Scopes that private_key_jwt asks for"] = (
        "system/Patient.rs system/Encounter.rs system/ServiceRequest.rs system/Practitioner.rs"
    )
    ehr_timeout: Annotated[float, "Seconds that the look-ups for one image may take"] = 3.0
    ehr_confirm_seconds: Annotated[int, "What the EHR said counts for so long without asking"] = 60
    ehr_miss_seconds: Annotated[int, "The same of what it does not know"] = 5
    ehr_copy_seconds: Annotated[int, "While it is down, copies younger than this are used"] = 86400
    subscription_hosts: Annotated[
        str, "Names, addresses, networks that notifications may go to though not public"
    ] = ""
    subscription_http: Annotated[bool, "yes: notifications may go over http too"] = False
    subscription_attempts: Annotated[int, "Failed deliveries until a Subscription is in error"] = 12
    subscription_settle_seconds: Annotated[
        int, "Images of a study that follow one another within this are told of together"
    ] = 5
    ehr_sync: Annotated[int, "Seconds between polls of what changed at the EHR (0: never)"] = 0
    audit: Annotated[
        str, "yes: all access is in the audit trail; no: corrections alone; auto: yes unless open"
    ] = "auto"
    audit_sync: Annotated[
        bool, "yes: what was read is on the disk before the answer, so that it outlives power loss"
    ] = False
    audit_retention_days: Annotated[int, "Audit events older than this are removed (0: never)"] = 0
    log_format: Annotated[str, "plain or json"] = "plain"
    log_level: Annotated[str, "DEBUG, INFO, WARNING or ERROR"] = "INFO"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Settings from IMAGING_FHIR_DATABASE_URL and its like; the rest keep their default."""
        given = {
            setting.name: convert(setting.name, environ[PREFIX + setting.name.upper()])
            for setting in fields(cls)
            if environ.get(PREFIX + setting.name.upper())
        }
        return cls(**given)

    def __post_init__(self) -> None:
        if self.auth not in ("none", "smart"):
            raise InvalidSetting(f"{PREFIX}AUTH is {self.auth!r}: none or smart.")
        if self.authorization_server and self.auth != "smart":
            raise InvalidSetting(f"{PREFIX}AUTHORIZATION_SERVER needs {PREFIX}AUTH=smart.")
        if self.log_format not in ("plain", "json"):
            raise InvalidSetting(f"{PREFIX}LOG_FORMAT is {self.log_format!r}: plain or json.")
        if self.reference_integrity not in ("lenient", "strict"):
            raise InvalidSetting(
                f"{PREFIX}REFERENCE_INTEGRITY is {self.reference_integrity!r}: lenient or strict."
            )
        if self.declared_profiles not in ("lenient", "strict"):
            raise InvalidSetting(
                f"{PREFIX}DECLARED_PROFILES is {self.declared_profiles!r}: lenient or strict."
            )
        if self.qido_empty_status not in (200, 204):
            raise InvalidSetting(
                f"{PREFIX}QIDO_EMPTY_STATUS is {self.qido_empty_status}: 200 or 204."
            )
        if not self.profile_packs <= {"us-core", "ipa"}:
            raise InvalidSetting(f"{PREFIX}PROFILES is {self.profiles!r}: us-core, ipa or both.")
        if self.audit not in ("auto", "yes", "no"):
            raise InvalidSetting(f"{PREFIX}AUDIT is {self.audit!r}: auto, yes or no.")
        if self.audit_retention_days < 0:
            raise InvalidSetting(f"{PREFIX}AUDIT_RETENTION_DAYS is negative.")
        zone(self.time_zone)
        require_origins(self)
        require_proxies(self)
        require_ehr(self)
        require_dimse(self)

    @property
    def database_address(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute()}/imaging.db"

    @property
    def is_audited(self) -> bool:
        return self.audit == "yes" or (self.audit == "auto" and self.auth != "none")

    @property
    def is_authorization_server(self) -> bool:
        return self.authorization_server and self.auth == "smart"

    @property
    def blob_address(self) -> str:
        return self.blob_url or f"file://{self.data_dir.absolute()}/blobs"

    @property
    def profile_packs(self) -> frozenset[str]:
        return frozenset(filter(None, (name.strip() for name in self.profiles.split(","))))

    @property
    def dimse_address(self) -> str:
        return self.dimse_host or self.host

    @property
    def dimse_titles(self) -> frozenset[str]:
        return frozenset(filter(None, map(str.strip, self.dimse_ae_title.split(","))))

    @property
    def cors_origin_list(self) -> frozenset[str]:
        listed = (origin.strip().rstrip("/").lower() for origin in self.cors_origins.split(","))
        return frozenset(filter(None, listed))

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Raise ValueError."""
        listed = filter(None, map(str.strip, self.trusted_proxies.split(",")))
        return tuple(ip_network(one, strict=False) for one in listed)

    @property
    def ehr_base(self) -> str:
        return self.ehr_url.rstrip("/")

    @property
    def public_address(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def require_origins(settings: Settings) -> None:
    """As browsers write them, and not all of them where nobody need sign in; or InvalidSetting."""
    for origin in settings.cors_origin_list - {"*"}:
        if not ORIGIN.fullmatch(origin):
            raise InvalidSetting(
                f"{PREFIX}CORS_ORIGINS has {origin!r}: an origin is like https://app.example:8443, "
                "without a path, and without the port that its scheme has anyway."
            )
    if "*" in settings.cors_origin_list and settings.auth == "none" and not settings.allow_open:
        raise InvalidSetting(
            f"Without authentication {PREFIX}CORS_ORIGINS=* would show every page of the web what "
            "is here: list the origins, or set IMAGING_FHIR_ALLOW_OPEN=yes if that is meant."
        )


def require_proxies(settings: Settings) -> None:
    """Raise InvalidSetting."""
    if settings.proxy_header.lower() not in ("x-forwarded-for", "forwarded"):
        raise InvalidSetting(
            f"{PREFIX}PROXY_HEADER is {settings.proxy_header!r}: X-Forwarded-For or Forwarded."
        )
    try:
        _ = settings.proxy_networks
    except ValueError as error:
        raise InvalidSetting(f"{PREFIX}TRUSTED_PROXIES: {error}.") from error


ORIGIN = re.compile(
    r"(?!http://.*:80$)(?!https://.*:443$)"
    r"[a-z][a-z0-9+.\-]*://(?:[^/?#@\s:\[\]*]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)


def require_ehr(settings: Settings) -> None:
    """What the settings about the EHR say makes sense together; raise InvalidSetting."""
    missing = [
        PREFIX + " or ".join(names).upper()
        for names in NEEDED_BY.get(settings.ehr_auth, ())
        if not any(getattr(settings, name) for name in names)
    ]
    if settings.ehr_references not in ("relative", "absolute"):
        raise InvalidSetting(
            f"{PREFIX}EHR_REFERENCES is {settings.ehr_references!r}: relative or absolute."
        )
    if settings.ehr_auth not in NEEDED_BY:
        known = ", ".join(NEEDED_BY)
        raise InvalidSetting(f"{PREFIX}EHR_AUTH is {settings.ehr_auth!r}: one of {known}.")
    if settings.ehr_url and not settings.ehr_url.startswith(("http://", "https://")):
        raise InvalidSetting(f"{PREFIX}EHR_URL is no http or https address.")
    if settings.ehr_url and missing:
        raise InvalidSetting(f"{PREFIX}EHR_AUTH={settings.ehr_auth} needs {', '.join(missing)}.")
    if settings.ehr_timeout <= 0:
        raise InvalidSetting(f"{PREFIX}EHR_TIMEOUT is {settings.ehr_timeout}: more than 0.")


def require_dimse(settings: Settings) -> None:
    """What the settings of the DIMSE door say makes sense; raise InvalidSetting."""
    if settings.dimse_callers not in ("known", "any"):
        raise InvalidSetting(f"{PREFIX}DIMSE_CALLERS is {settings.dimse_callers!r}: known or any.")
    for title in settings.dimse_titles or ("",):
        require_ae_title(f"{PREFIX}DIMSE_AE_TITLE", title)
    for name, least in (("associations", 1), ("max_pdu", 4096), ("timeout", 1)):
        value = getattr(settings, f"dimse_{name}")
        if value < least:
            raise InvalidSetting(f"{PREFIX}DIMSE_{name.upper()} is {value}: at least {least}.")
    if settings.dimse_tls_client_ca_file and not settings.dimse_tls_cert_file:
        raise InvalidSetting(f"{PREFIX}DIMSE_TLS_CLIENT_CA_FILE needs {PREFIX}DIMSE_TLS_CERT_FILE.")


def require_ae_title(what: str, title: str) -> None:
    """PS3.5 6.2: up to 16 printable characters, no backslash; raise InvalidSetting."""
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", title) or title != title.strip():
        raise InvalidSetting(f"{what} has {title!r}, which is no AE title.")


NEEDED_BY: dict[str, tuple[tuple[str, ...], ...]] = {
    "none": (),
    "basic": (("ehr_client_id",), ("ehr_secret", "ehr_secret_file")),
    "bearer": (("ehr_secret", "ehr_secret_file"),),
    "private_key_jwt": (("ehr_client_id",), ("ehr_key_file",)),
}


TYPES: dict[str, type] = {
    name: get_args(hint)[0] for name, hint in get_type_hints(Settings, include_extras=True).items()
}


def convert(name: str, text: str) -> Any:
    """The value of a setting written as text; raise InvalidSetting."""
    type_ = TYPES[name]
    if type_ is bool:
        if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
            raise InvalidSetting(f"{PREFIX}{name.upper()} is {text!r}: yes or no.")
        return text.lower() in ("yes", "true", "1")
    try:
        return type_(text)
    except ValueError as error:
        raise InvalidSetting(
            f"{PREFIX}{name.upper()} is {text!r}, which is not a valid {type_.__name__}."
        ) from error


def zone(name: str) -> ZoneInfo | None:
    """The time zone of that name, None for no name; raise InvalidSetting."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidSetting(f"{name!r} is no time zone of the IANA database.") from error


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where images come from: what its bare numbers and local times mean.

    A source is told by the address of the client, by its AE title together with address or
    certificate, or by the folder of the file, never by what a file says of itself; everything
    else is the source `default`, without trust.
    """

    id: str
    ae_titles: tuple[str, ...] = ()  # of its associations, from its addresses or certificates
    certificates: tuple[str, ...] = ()  # names in TLS client certificates
    addresses: tuple[str, ...] = ()  # client addresses or networks (CIDR)
    folders: tuple[str, ...] = ()
    patient_id_system: str | None = None  # system of a PatientID without an issuer
    visit_number_system: str | None = None  # the same of an AdmissionID
    accession_number_system: str | None = None
    location: str = ""  # as Encounters refer to it: Location/ID, or the address at the EHR
    time_zone: str = ""

    def has_address(self, address: str) -> bool:
        """Whether it lists this client's address, or a network that it is in."""
        try:
            client = ip_address(address)
        except ValueError:
            return False
        return any(client in ip_network(listed, strict=False) for listed in self.addresses)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the site file says: issuers' systems, the sources, and what it sets of the rules."""

    issuers: Mapping[str, str] = field(default_factory=dict)  # LocalNamespaceEntityID -> system
    sources: tuple[Source, ...] = ()
    policy: Policy = field(default_factory=Policy)
    trust: Trust = field(default_factory=Trust)

    @classmethod
    def from_file(cls, path: str) -> "Site":
        """The site as a TOML file describes it; no path is an empty site."""
        if not path:
            return cls()
        try:
            described = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            sources = tuple(
                Source(**{key: tupled(value) for key, value in source.items()})
                for source in described.get("sources", ())
            )
            for source in sources:
                zone(source.time_zone)
                require_location(source)
                require_proof(source)
                _ = [ip_network(address, strict=False) for address in source.addresses]
            policy = Policy.from_description(described.get("linking", {}))
            site = cls(
                issuers=described.get("issuers", {}),
                sources=sources,
                policy=policy,
                trust=Trust.from_description(described),
            )
            for named in sorted((policy.trusted_sources or set()) | policy.authoritative_sources):
                site.source(named)
            if DEFAULT_SOURCE.id in policy.authoritative_sources:
                raise InvalidSetting("linking.authoritative_sources: anybody may be the default.")
        except (InvalidSetting, OSError, TypeError, ValueError) as error:
            raise InvalidSetting(f"{PREFIX}SITE_FILE {path}: {error}") from error
        return site

    @property
    def fingerprint(self) -> str:
        """A digest of all that decides about images here."""
        said = json.dumps(asdict(replace(self, trust=Trust())), sort_keys=True, default=sorted)
        return sha256(said.encode()).hexdigest()

    def source(self, source_id: str) -> Source:
        """The source of that id; raise InvalidSetting."""
        for source in self.sources:
            if source.id == source_id:
                return source
        if source_id == DEFAULT_SOURCE.id:
            return DEFAULT_SOURCE
        raise InvalidSetting(f"The site file has no source {source_id!r}.")

    def source_of_address(self, address: str) -> Source:
        """The source that lists this client's address, or the network it is in.

        Of several that share it, those with AE titles are told by these alone.
        """
        found = [source for source in self.sources if source.has_address(address)]
        if len(found) > 1:
            found = [source for source in found if not source.ae_titles]
        return found[0] if found else DEFAULT_SOURCE

    def source_of_ae(self, title: str, address: str, names: frozenset[str]) -> Source | None:
        """The source that lists this AE title, and the address or a name of the certificate."""
        for source in self.sources:
            is_proven = source.has_address(address) or not names.isdisjoint(source.certificates)
            if title in source.ae_titles and is_proven:
                return source
        return None

    def source_of_path(self, path: Path) -> Source:
        """The source that lists a folder which the file is in."""
        absolute = path.absolute()
        for source in self.sources:
            if any(absolute.is_relative_to(Path(folder).absolute()) for folder in source.folders):
                return source
        return DEFAULT_SOURCE

    def source_or_default(self, source_id: str) -> Source:
        """For what was filed under a source that the site file no longer has."""
        return next((source for source in self.sources if source.id == source_id), DEFAULT_SOURCE)


LOCATION = re.compile(r"(https?://\S+/)?Location/[A-Za-z0-9\-.]{1,64}", re.ASCII)


def require_location(source: Source) -> None:
    """Raise InvalidSetting where it is no reference to a Location."""
    if source.location and not LOCATION.fullmatch(source.location):
        raise InvalidSetting(
            f"The location of the source {source.id!r} is {source.location!r}: Location/ID, or an "
            "address that ends so."
        )


def require_proof(source: Source) -> None:
    """Raise InvalidSetting where an AE title is all that would tell the source."""
    for title in source.ae_titles:
        require_ae_title(f"The source {source.id!r}", title)
    if source.ae_titles and not (source.addresses or source.certificates):
        raise InvalidSetting(
            f"The source {source.id!r} has AE titles, which anyone may use: list its addresses, or "
            "the names of its client certificates."
        )
    if source.certificates and not source.ae_titles:
        raise InvalidSetting(f"The source {source.id!r} has certificates, but no AE titles.")


DEFAULT_SOURCE = Source(id="default")


def tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
