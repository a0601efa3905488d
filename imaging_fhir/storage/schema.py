"""Every table; migrations/ brings a database from any earlier state to this one.

Times are whole milliseconds since 1970 UTC unless a column says otherwise.
"""

from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
    text,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER key
# Sorted and found by its beginning in the order of its characters: as SQLite does, whatever the
# collation of PostgreSQL's database.
Compared = Text().with_variant(Text(collation="C"), "postgresql")


def key() -> Column[int]:
    return Column("pk", Key, primary_key=True, autoincrement=True)


# The last commit's time. Every write transaction updates this row first, so write transactions
# are serial on both engines, and last_updated grows in the order in which commits show.
commit_clock = Table(
    "commit_clock",
    metadata,
    Column("pk", Integer, primary_key=True),
    Column("stamp", BigInteger, nullable=False),
    Column("watching", Boolean, nullable=False, server_default=false()),  # is a subscription there?
)

# The current version of every resource. `body` is what is served; an ImagingStudy's is NULL
# while it is assembled from its fragments, a deleted resource's is NULL too.
resource = Table(
    "resource",
    metadata,
    Column("rid", Key, primary_key=True, autoincrement=True),
    Column("type", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("last_updated", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("posted", Boolean, nullable=False, server_default=true()),  # else a client chose the id
    Column("body", LargeBinary),
    UniqueConstraint("type", "id"),
    Index("ix_resource_type_last_updated", "type", "last_updated", "rid"),
    Index("ix_resource_type_rid", "type", "rid"),  # the newest first: a search without _sort
    Index("ix_resource_last_updated", "last_updated", "rid"),  # the history of everything
)

# Earlier versions, zlib-compressed; a deletion has no body. `type` is that of the resource.
version = Table(
    "version",
    metadata,
    Column("rid", ForeignKey("resource.rid"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("last_updated", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("body", LargeBinary),
    Index("ix_version_type_last_updated", "type", "last_updated", "rid", "version"),
    Index("ix_version_last_updated", "last_updated", "rid", "version"),
)


def index_table(
    name: str,
    *columns: Column[Any],
    by: tuple[str, ...],
) -> Table:
    """A table of the search index; `parameter` is `ImagingStudy.started` and its like."""
    return Table(
        name,
        metadata,
        Column("rid", ForeignKey("resource.rid"), nullable=False),
        Column("parameter", Text, nullable=False),
        *columns,
        Index(f"ix_{name}_value", "parameter", *by, "rid"),
        Index(f"ix_{name}_rid", "rid", "parameter"),
    )


token_index = index_table(
    "token_index",
    Column("system", Text),
    Column("value", Text, nullable=False),
    Column("folded", Compared, nullable=False),  # of value
    Column("text", Text),
    Column("type_system", Text),
    Column("type_code", Text),
    by=("folded", "system"),
)
reference_index = index_table(
    "reference_index",
    Column("target_type", Text),
    Column("target_id", Text),
    Column("url", Text),
    Column("identifier_system", Text),
    Column("identifier_value", Text),
    Column("display", Text),
    by=("target_type", "target_id"),
)
Index(
    "ix_reference_index_identifier",
    reference_index.c.identifier_value,
    reference_index.c.parameter,
    reference_index.c.rid,
    sqlite_where=text("identifier_value IS NOT NULL"),
    postgresql_where=text("identifier_value IS NOT NULL"),
)
Index("ix_reference_index_target", reference_index.c.target_type, reference_index.c.target_id)
date_index = index_table(
    "date_index",
    Column("low", BigInteger, nullable=False),  # microseconds, as model.search.DateEntry
    Column("high", BigInteger, nullable=False),
    by=("low", "high"),
)
string_index = index_table(
    "string_index",
    Column("value", Text, nullable=False),
    Column("folded", Compared, nullable=False),
    by=("folded",),
)
uri_index = index_table("uri_index", Column("value", Compared, nullable=False), by=("value",))
quantity_index = index_table(
    "quantity_index",
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("system", Text),
    Column("code", Text),
    Column("unit", Text),
    Column("base_unit", Text),  # of UCUM, and the bounds in it
    Column("base_low", Double),
    Column("base_high", Double),
    by=("low", "high"),
)
Index(
    "ix_quantity_index_base",
    quantity_index.c.base_unit,
    quantity_index.c.parameter,
    quantity_index.c.base_low,
    quantity_index.c.rid,
    sqlite_where=text("base_unit IS NOT NULL"),
    postgresql_where=text("base_unit IS NOT NULL"),
)
# A composite parameter's two parts: a token or a reference, and a token, text, quantity or date.
composite_index = index_table(
    "composite_index",
    Column("system", Text),
    Column("value", Compared, nullable=False),
    Column("part_system", Text),
    Column("part_value", Compared),
    Column("part_unit", Text),
    Column("low", Double),
    Column("high", Double),
    Column("base_unit", Text),
    Column("base_low", Double),
    Column("base_high", Double),
    by=("value", "part_value", "low"),
)

# Words for `_text` and `_content`, as model.words writes them.
text_index = index_table("text_index", key(), Column("words", Text, nullable=False), by=())
Index("ix_text_index_words", text("to_tsvector('simple', words)"), postgresql_using="gin").ddl_if(
    dialect="postgresql"
)
# On SQLite: the full-text index of it, a table of its own which triggers keep in step.
TEXT_MATCH = "text_match"
FULL_TEXT = (
    "CREATE VIRTUAL TABLE text_match USING fts5("
    "words, content='text_index', content_rowid='pk', columnsize=0, tokenize='ascii')",
    "CREATE TRIGGER text_index_insert AFTER INSERT ON text_index BEGIN "
    "INSERT INTO text_match (rowid, words) VALUES (new.pk, new.words); END",
    "CREATE TRIGGER text_index_delete AFTER DELETE ON text_index BEGIN "
    "INSERT INTO text_match (text_match, rowid, words) "
    "VALUES ('delete', old.pk, old.words); END",
)
for statement in FULL_TEXT:
    ddl = DDL(statement).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    event.listen(text_index, "after_create", ddl)

INDEX_TABLES = (
    token_index,
    reference_index,
    date_index,
    string_index,
    uri_index,
    quantity_index,
    composite_index,
    text_index,
)

# A content may be written anew after clean-up: then under the next generation.
blob = Table(
    "blob",
    metadata,
    key(),
    Column("sha256", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("sha256", "generation"),
)

# What a Binary resource adds to its row in `resource`.
binary = Table(
    "binary",
    metadata,
    Column("rid", ForeignKey("resource.rid"), primary_key=True),
    Column("blob", ForeignKey("blob.pk"), nullable=False, index=True),
    Column("content_type", Text, nullable=False),
)

# Pictures made of a blob; small enough to be kept here. A failed one says why.
rendition = Table(
    "rendition",
    metadata,
    Column("blob", ForeignKey("blob.pk"), primary_key=True),
    Column("kind", Text, primary_key=True),  # thumbnail, preview
    Column("frame", Integer, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("body", LargeBinary),
    Column("error", Text),
    Column("created", BigInteger, nullable=False),
)

# Rendered pictures, until there are too many of them: then the oldest go.
rendered = Table(
    "rendered",
    metadata,
    Column("blob", ForeignKey("blob.pk"), primary_key=True),
    Column("key", Text, primary_key=True),  # a digest of all that was asked
    Column("created", BigInteger, nullable=False, index=True),
    Column("media_type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# Where each frame of a multi-frame instance lies in its blob (images.frames.FrameTable).
frame_table = Table(
    "frame_table",
    metadata,
    Column("blob", ForeignKey("blob.pk"), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# The unit of linking: a StudyInstanceUID of one person. A filed one is an ImagingStudy, a held
# one a Task. JSON columns hold values of the model (msgspec), fragments hold FHIR JSON.
study = Table(
    "study",
    metadata,
    key(),
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),  # filed, held
    Column("rid", ForeignKey("resource.rid"), nullable=False, index=True),
    Column("patient", Text, index=True),  # id of the Patient when filed
    Column("encounter", Text, index=True),  # id of the Encounter when linked to one
    Column("attributes", LargeBinary, nullable=False),  # model.merge.Merged, of study and visit
    Column("person", LargeBinary, nullable=False),
    Column("given", LargeBinary, nullable=False),  # model.link.Given
    Column("source", Text, nullable=False),
    Column("zone", Text, nullable=False),  # IANA name or offset; empty when unknown
    Column("link", LargeBinary, nullable=False),  # model.link.Link
    Column("decision", LargeBinary),  # model.link.Decision, a person's
    Column("decisions", LargeBinary),  # model.correction.Decided of others whom its images name
    Column("corrected", Boolean, nullable=False),  # files name another than it is filed to
    Column("overlay", LargeBinary),  # what users edited
    Column("head", LargeBinary, nullable=False),  # fragment without series
    Column("number_of_series", Integer, nullable=False),
    Column("number_of_instances", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("moment", Compared, nullable=False),  # StudyDate with StudyTime, or empty
    Index(
        "uq_study_filed",
        "study_instance_uid",
        unique=True,
        sqlite_where=text("state = 'filed'"),
        postgresql_where=text("state = 'filed'"),
    ),
    Index(  # the order of QIDO-RS
        "ix_study_moment",
        "moment",
        "pk",
        sqlite_where=text("state = 'filed'"),
        postgresql_where=text("state = 'filed'"),
    ),
)

# An ImagingStudy that began as an order: of that ServiceRequest (its id) while it has no images,
# then of the study that filled it. One that is deleted, as others have the images, leads to those.
registered_study = Table(
    "registered_study",
    metadata,
    Column("rid", ForeignKey("resource.rid"), primary_key=True),
    Column("service_request", Text, unique=True),
    Column("study_instance_uid", Text, unique=True),
    Column("successor", ForeignKey("resource.rid"), index=True),
)

# A DiagnosticReport and an ImagingStudy that it is about, and by which rule that was found.
report_study = Table(
    "report_study",
    metadata,
    Column("report", ForeignKey("resource.rid"), primary_key=True),
    Column("study", ForeignKey("resource.rid"), primary_key=True, index=True),
    Column("rule", Text, nullable=False),
)

# Which study row the instances of a study that name a person so belong to.
study_identity = Table(
    "study_identity",
    metadata,
    Column("study_instance_uid", Text, primary_key=True),
    Column("identity", Text, primary_key=True),  # hash of the Person as the file names them
    Column("study", ForeignKey("study.pk"), nullable=False, index=True),
)

series = Table(
    "series",
    metadata,
    key(),
    Column("study", ForeignKey("study.pk"), nullable=False),
    Column("series_instance_uid", Text, nullable=False, index=True),
    Column("series_number", Integer),
    Column("modality", Compared, nullable=False, index=True),
    Column("attributes", LargeBinary, nullable=False),  # model.merge.Merged
    Column("head", LargeBinary, nullable=False),  # fragment without instances
    Column("number_of_instances", Integer, nullable=False),
    Column("picture", ForeignKey("blob.pk"), index=True),  # the instance shown for the series
    UniqueConstraint("study", "series_instance_uid"),
)

instance = Table(
    "instance",
    metadata,
    key(),
    Column("series", ForeignKey("series.pk"), nullable=False),
    Column("sop_instance_uid", Text, nullable=False, index=True),
    Column("sop_class_uid", Text, nullable=False, index=True),
    Column("transfer_syntax_uid", Text, nullable=False),
    Column("instance_number", Integer),
    Column("number_of_frames", Integer),
    Column("has_pixel_data", Boolean, nullable=False),
    Column("blob", ForeignKey("blob.pk"), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("fragment", LargeBinary, nullable=False),
    Column("warnings", LargeBinary),
    UniqueConstraint("series", "sop_instance_uid"),
)

# What QIDO-RS finds a study or a series by: of each value of an attribute that is a key one row, as
# model.dicom_attribute.match_rows has it.
dicom_value = Table(
    "dicom_value",
    metadata,
    key(),
    Column("study", ForeignKey("study.pk", ondelete="CASCADE")),
    Column("series", ForeignKey("series.pk", ondelete="CASCADE")),
    Column("path", Text, nullable=False),
    Column("item", Integer, nullable=False),
    Column("value", Compared, nullable=False),
    Index("ix_dicom_value_value", "path", "value", "study", "series"),
    Index("ix_dicom_value_study", "study", "path"),
    Index("ix_dicom_value_series", "series", "path"),
)

# Beside `instance`, so that assembling a study does not read past it; zlib-compressed.
dicom_json = Table(
    "dicom_json",
    metadata,
    Column("instance", ForeignKey("instance.pk"), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# A study that was split off another: each UID of its bytes, and the one that it has here instead.
# What comes later of the same, with the UIDs of its bytes, is found by it.
minted_uid = Table(
    "minted_uid",
    metadata,
    key(),
    Column("study", ForeignKey("study.pk"), nullable=False, index=True),  # that was split off
    Column("origin", Text, nullable=False),  # the StudyInstanceUID before
    Column("level", Text, nullable=False),  # patient, study, series, instance
    Column("original", Text, nullable=False),  # the UID before; of a patient, the identity
    Column("uid", Text, nullable=False),
    Column("is_whole", Boolean, nullable=False),  # of a series: all that there was of it went
    Column("of_person", Boolean, nullable=False),  # only for what names whom a `patient` row has
    Index("ix_minted_uid_original", "origin", "original"),
)

# What rejection notes (IHE RAD IOCM) name, themselves among it; `note` is a SOPInstanceUID.
# `patient` is the id of whose the note is, once that is known: from then on it is followed, until a
# person says otherwise of the instance.
rejection = Table(
    "rejection",
    metadata,
    key(),
    Column("note", Text, nullable=False, index=True),
    Column("code", Text, nullable=False),
    Column("study_instance_uid", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("patient", Text),
    Column("overruled", Boolean, nullable=False),
    Index("ix_rejection_named", "study_instance_uid", "sop_instance_uid"),
)

# Other bytes under a SOP Instance UID that is taken: kept, held, never served as the instance.
conflict = Table(
    "conflict",
    metadata,
    key(),
    Column("sop_instance_uid", Text, nullable=False),
    Column("data_set_sha256", Text, nullable=False),
    Column("blob", ForeignKey("blob.pk"), nullable=False, index=True),
    Column("task", ForeignKey("resource.rid"), nullable=False),
    Column("source", Text, nullable=False),
    Column("received", BigInteger, nullable=False),
    UniqueConstraint("sop_instance_uid", "data_set_sha256"),
)

document = Table(
    "document",
    metadata,
    key(),
    Column("rid", ForeignKey("resource.rid"), nullable=False, index=True),
    Column("state", Text, nullable=False),  # filed, held
    Column("blob", ForeignKey("blob.pk"), nullable=False, index=True),
    Column("patient", Text, index=True),
    Column("encounter", Text, index=True),
    Column("facts", LargeBinary, nullable=False),  # model.document.Document
    Column("given", LargeBinary, nullable=False),  # model.link.Given
    Column("link", LargeBinary, nullable=False),
    Column("decision", LargeBinary),  # model.link.Decision, a person's
    Column("source", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("sha1", Text, nullable=False),  # base64, as Attachment.hash
    Column("received", BigInteger, nullable=False),
)

# What a person corrected: enough to undo it. `provenance` says it in FHIR.
correction = Table(
    "correction",
    metadata,
    key(),
    Column("provenance", ForeignKey("resource.rid"), nullable=False, unique=True),
    Column("subject", Text, nullable=False, index=True),  # what was corrected
    Column("body", LargeBinary, nullable=False),  # model.correction
    Column("undone", Boolean, nullable=False),
)

# An identifier that a study or document waits for: when it arrives, they are matched again.
awaited = Table(
    "awaited",
    metadata,
    key(),
    Column("study", ForeignKey("study.pk"), index=True),
    Column("document", ForeignKey("document.pk"), index=True),
    Column("resource_type", Text, nullable=False),  # Patient, Encounter, ServiceRequest
    Column("system", Text, nullable=False),
    Column("value", Text, nullable=False),
    Index("ix_awaited_identifier", "value", "system"),
)

job = Table(
    "job",
    metadata,
    key(),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    UniqueConstraint("kind", "subject"),
    Index("ix_job_due", "due"),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

# What subscriptions may want to hear of, written with the change itself. Rows of a resource that is
# assembled from fragments are merged while they wait: a study comes in many small commits.
outbox = Table(
    "outbox",
    metadata,
    key(),
    Column("rid", ForeignKey("resource.rid"), nullable=False, index=True),
    Column("merged", Key, unique=True),  # the rid of an assembled one
    Column("changes", Integer, nullable=False),  # model.change.Change
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False, index=True),
)

# What a Subscription resource adds to its row in `resource`: who created it, what its readers are
# not shown, and how far its notifications have come.
subscription = Table(
    "subscription",
    metadata,
    Column("rid", ForeignKey("resource.rid"), primary_key=True),
    Column("status", Text, nullable=False),  # as in the resource
    Column("caller", LargeBinary, nullable=False),  # services.access.Caller
    Column("headers", LargeBinary, nullable=False),  # channel.header as it is sent
    Column("since", BigInteger, nullable=False),  # hears of what comes after
    Column("events", BigInteger, nullable=False),  # number of the last one
    Column("delivered", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, index=True),
    Column("held_until", BigInteger, nullable=False),  # by the process that delivers now
    Column("sent", BigInteger, nullable=False),
)
subscription_event = Table(
    "subscription_event",
    metadata,
    Column("subscription", ForeignKey("subscription.rid"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("focus", ForeignKey("resource.rid"), nullable=False, index=True),
    Column("is_new", Boolean, nullable=False),
    Column("occurred", BigInteger, nullable=False, index=True),
)

# Files that a command-line ingest has dealt with; paths only as a hash.
journal = Table(
    "journal",
    metadata,
    Column("path_sha256", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("outcome", LargeBinary, nullable=False),
)

# A request that was asked for with `Prefer: respond-async`: while it waits, as it came; then what
# it was answered, until that is outdated.
async_request = Table(
    "async_request",
    metadata,
    key(),
    Column("id", Text, nullable=False, unique=True),
    Column("caller", LargeBinary, nullable=False),  # services.access.Caller
    Column("asked", LargeBinary),  # its address and headers, as in WSGI
    Column("body", ForeignKey("blob.pk"), index=True),
    Column("attempts", Integer, nullable=False),  # begun, whether or not they came to an end
    Column("due", BigInteger, index=True),  # null once it is done
    Column("answer", LargeBinary),  # the Bundle
    Column("created", BigInteger, nullable=False),
)
# What was committed of it already, and what that is answered.
async_step = Table(
    "async_step",
    metadata,
    Column("request", ForeignKey("async_request.pk", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("answer", LargeBinary, nullable=False),
)

# What was erased for good: a digest only, so that a resend is known without its data.
tombstone = Table(
    "tombstone",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # study, series, instance, content
    Column("erased", BigInteger, nullable=False),
)

# A copy of what the EHR has under this type and id; `checked` is when the EHR last said so.
ehr_copy = Table(
    "ehr_copy",
    metadata,
    Column("type", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("checked", BigInteger, nullable=False),
)

# What waits for the EHR, was filed without its word, or lacks what it may come to know.
ehr_pending = Table(
    "ehr_pending",
    metadata,
    key(),
    Column("study", ForeignKey("study.pk", ondelete="CASCADE"), unique=True),
    Column("document", ForeignKey("document.pk", ondelete="CASCADE"), unique=True),
    Column("reason", Text, nullable=False),  # waiting, unconfirmed, incomplete
    Column("since", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
)

# Up to when the EHR's changes of a resource type have been followed.
ehr_cursor = Table(
    "ehr_cursor",
    metadata,
    Column("type", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
)

# The digest of the site file of the service that started last.
linking_policy = Table(
    "linking_policy",
    metadata,
    Column("fingerprint", Text, primary_key=True),
)

# Made at random when it is first needed, and the same for all processes.
secret = Table(
    "secret",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# One row for each thing that was done, see storage.audit. Who is meant by it stands apart
# (audit_name, audit_agent, query) and can be destroyed; `commitment` is a salted digest of that.
audit_event = Table(
    "audit_event",
    metadata,
    key(),
    Column("id", Text, nullable=False, unique=True),
    Column("recorded", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # model.audit.ACTIONS
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("address", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("purposes", Text, nullable=False),  # apart by spaces
    Column("activity", Text, nullable=False),
    Column("agent", BigInteger, nullable=False),
    Column("patient", BigInteger),
    Column("entity", BigInteger),
    Column("mentions", Text, nullable=False),  # keys of audit_name, apart by spaces
    Column("query", Text),
    Column("salt", LargeBinary),  # null: who is meant was erased
    Column("commitment", LargeBinary, nullable=False),
    Index("ix_audit_event_recorded", "recorded", "pk"),
    Index("ix_audit_event_patient", "patient", "recorded", "pk"),
    Index("ix_audit_event_entity", "entity", "recorded", "pk"),
    Index("ix_audit_event_agent", "agent", "recorded", "pk"),
    sqlite_autoincrement=True,  # a number is never used again
)
# What a number in audit_event stands for: `Type/id`.
audit_name = Table(
    "audit_name",
    metadata,
    key(),
    Column("name", Text, nullable=False, unique=True),
    sqlite_autoincrement=True,  # a number is never used again
)
audit_agent = Table(
    "audit_agent",
    metadata,
    key(),
    Column("text", Text, nullable=False, unique=True),  # model.audit.Agent
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),  # the name, for searches
    Column("fhir_user", Text, nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("roles", Text, nullable=False),  # each between spaces
    sqlite_autoincrement=True,  # a number is never used again
)
# More of what an event is about, to be searched by.
audit_mention = Table(
    "audit_mention",
    metadata,
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("name", BigInteger, primary_key=True, autoincrement=False),
    Index("ix_audit_mention_name", "name"),
)
# Events `first` to `last`, sealed: `hash` is over the batch before and `leaves`, a digest a row.
audit_batch = Table(
    "audit_batch",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("sealed", BigInteger, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("leaves", LargeBinary),  # null: its rows were removed when their time was over
    Column("hash", LargeBinary, nullable=False),
)
# How far each spool file has been moved into audit_event.
audit_spool = Table(
    "audit_spool",
    metadata,
    Column("name", Text, primary_key=True),
    Column("moved", BigInteger, nullable=False),
)

# The built-in authorization server (services.authorization). Of what opens something only a
# digest is kept; `expires` says when a row may be removed.
oauth_client = Table(
    "oauth_client",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),  # smart.client.Client, as JSON
    Column("secret", LargeBinary),  # digest; null: a public client, or one with a key
    Column("created", BigInteger, nullable=False),
)
oauth_key = Table(
    "oauth_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("public", Text, nullable=False),  # JWK
    Column("private", Text),  # PEM, encrypted; null: it signs no more
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),  # null: it signs
)
person_account = Table(
    "person_account",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text),  # argon2; null: removed
    Column("roles", Text, nullable=False),  # apart by spaces
    Column("fhir_user", Text, nullable=False),
    Column("patient", Text, nullable=False),  # id of the own record
    Column("created", BigInteger, nullable=False),
)
person_session = Table(
    "person_session",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("account", ForeignKey("person_account.name"), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)
# Attempts to log in: of an account, or from an address.
sign_in_attempt = Table(
    "sign_in_attempt",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)
# What a person has let a client do; all tokens of it die with it.
oauth_grant = Table(
    "oauth_grant",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client", Text, nullable=False, index=True),
    Column("account", Text, nullable=False, index=True),
    Column("session", LargeBinary),  # with which it ends
    Column("body", Text, nullable=False),  # model.authorization.Granted, as JSON
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("revoked", Boolean, nullable=False, server_default=false()),
)
# Codes, refresh tokens and launches: each is used once.
oauth_ticket = Table(
    "oauth_ticket",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),  # code, refresh, launch
    Column("grant_id", Text),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("used", Boolean, nullable=False, server_default=false()),
)
# Ids of access tokens that were revoked, and of client assertions that were used.
oauth_spent = Table(
    "oauth_spent",
    metadata,
    Column("kind", Text, primary_key=True),  # token, assertion
    Column("id", Text, primary_key=True),
    Column("expires", BigInteger, nullable=False, index=True),
)
