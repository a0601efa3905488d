"""All tables of the first version."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

revision = "0001"
down_revision = None

Key = BigInteger().with_variant(Integer, "sqlite")
Compared = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    create_commit_clock()
    create_resources()
    create_search_index()
    create_blobs()
    create_studies()
    create_instances()
    create_conflicts()
    create_documents()
    create_work()
    create_subscriptions()
    create_ehr()
    create_audit()


def create_commit_clock() -> None:
    op.create_table(
        "commit_clock",
        Column("pk", Integer, primary_key=True),
        Column("stamp", BigInteger, nullable=False),
        Column("watching", Boolean, nullable=False, server_default=false()),
    )
    op.execute("INSERT INTO commit_clock (pk, stamp) VALUES (1, 0)")


def create_resources() -> None:
    op.create_table(
        "resource",
        Column("rid", Key, primary_key=True, autoincrement=True),
        Column("type", Text, nullable=False),
        Column("id", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_updated", BigInteger, nullable=False),
        Column("deleted", Boolean, nullable=False),
        Column("posted", Boolean, nullable=False, server_default=true()),
        Column("body", LargeBinary),
        UniqueConstraint("type", "id"),
        Index("ix_resource_type_last_updated", "type", "last_updated", "rid"),
        Index("ix_resource_type_rid", "type", "rid"),
        Index("ix_resource_last_updated", "last_updated", "rid"),
    )
    op.create_table(
        "version",
        Column("rid", Key, ForeignKey("resource.rid"), primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("type", Text, nullable=False),
        Column("last_updated", BigInteger, nullable=False),
        Column("deleted", Boolean, nullable=False),
        Column("body", LargeBinary),
        Index("ix_version_type_last_updated", "type", "last_updated", "rid", "version"),
        Index("ix_version_last_updated", "last_updated", "rid", "version"),
    )


def create_search_index() -> None:
    create_index_table(
        "token_index",
        Column("system", Text),
        Column("value", Text, nullable=False),
        Column("folded", Compared, nullable=False),
        Column("text", Text),
        Column("type_system", Text),
        Column("type_code", Text),
        by=("folded", "system"),
    )
    create_index_table(
        "reference_index",
        Column("target_type", Text),
        Column("target_id", Text),
        Column("url", Text),
        Column("identifier_system", Text),
        Column("identifier_value", Text),
        Column("display", Text),
        by=("target_type", "target_id"),
    )
    create_index_table(
        "date_index",
        Column("low", BigInteger, nullable=False),
        Column("high", BigInteger, nullable=False),
        by=("low", "high"),
    )
    create_index_table(
        "string_index",
        Column("value", Text, nullable=False),
        Column("folded", Compared, nullable=False),
        by=("folded",),
    )
    create_index_table("uri_index", Column("value", Compared, nullable=False), by=("value",))
    create_index_table(
        "quantity_index",
        Column("low", Double, nullable=False),
        Column("high", Double, nullable=False),
        Column("system", Text),
        Column("code", Text),
        Column("unit", Text),
        Column("base_unit", Text),
        Column("base_low", Double),
        Column("base_high", Double),
        by=("low", "high"),
    )
    op.create_index(
        "ix_quantity_index_base",
        "quantity_index",
        ["base_unit", "parameter", "base_low", "rid"],
        sqlite_where=text("base_unit IS NOT NULL"),
        postgresql_where=text("base_unit IS NOT NULL"),
    )
    create_index_table(
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
    create_full_text()
    op.create_index(
        "ix_reference_index_identifier",
        "reference_index",
        ["identifier_value", "parameter", "rid"],
        sqlite_where=text("identifier_value IS NOT NULL"),
        postgresql_where=text("identifier_value IS NOT NULL"),
    )
    op.create_index("ix_reference_index_target", "reference_index", ["target_type", "target_id"])


def create_full_text() -> None:
    create_index_table(
        "text_index",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("words", Text, nullable=False),
        by=(),
    )
    if op.get_bind().dialect.name == "postgresql":
        words = text("to_tsvector('simple', words)")
        op.create_index("ix_text_index_words", "text_index", [words], postgresql_using="gin")
        return
    op.execute(
        "CREATE VIRTUAL TABLE text_match USING fts5(words, content='text_index', "
        "content_rowid='pk', columnsize=0, tokenize='ascii')"
    )
    op.execute(
        "CREATE TRIGGER text_index_insert AFTER INSERT ON text_index BEGIN "
        "INSERT INTO text_match (rowid, words) VALUES (new.pk, new.words); END"
    )
    op.execute(
        "CREATE TRIGGER text_index_delete AFTER DELETE ON text_index BEGIN "
        "INSERT INTO text_match (text_match, rowid, words) "
        "VALUES ('delete', old.pk, old.words); END"
    )


def create_blobs() -> None:
    op.create_table(
        "blob",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("sha256", Text, nullable=False),
        Column("generation", Integer, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("live", Boolean, nullable=False),
        Column("created", BigInteger, nullable=False),
        UniqueConstraint("sha256", "generation"),
    )
    op.create_table(
        "binary",
        Column("rid", Key, ForeignKey("resource.rid"), primary_key=True),
        Column("blob", Key, ForeignKey("blob.pk"), nullable=False, index=True),
        Column("content_type", Text, nullable=False),
    )
    op.create_table(
        "rendition",
        Column("blob", Key, ForeignKey("blob.pk"), primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("frame", Integer, primary_key=True),
        Column("media_type", Text, nullable=False),
        Column("body", LargeBinary),
        Column("error", Text),
        Column("created", BigInteger, nullable=False),
    )
    op.create_table(
        "rendered",
        Column("blob", Key, ForeignKey("blob.pk"), primary_key=True),
        Column("key", Text, primary_key=True),
        Column("created", BigInteger, nullable=False, index=True),
        Column("media_type", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.create_table(
        "frame_table",
        Column("blob", Key, ForeignKey("blob.pk"), primary_key=True),
        Column("body", LargeBinary, nullable=False),
    )


def create_studies() -> None:
    op.create_table(
        "study",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("study_instance_uid", Text, nullable=False, index=True),
        Column("state", Text, nullable=False),
        Column("rid", Key, ForeignKey("resource.rid"), nullable=False, index=True),
        Column("patient", Text, index=True),
        Column("encounter", Text, index=True),
        Column("attributes", LargeBinary, nullable=False),
        Column("person", LargeBinary, nullable=False),
        Column("given", LargeBinary, nullable=False),
        Column("source", Text, nullable=False),
        Column("zone", Text, nullable=False),
        Column("link", LargeBinary, nullable=False),
        Column("decision", LargeBinary),
        Column("decisions", LargeBinary),
        Column("corrected", Boolean, nullable=False),
        Column("overlay", LargeBinary),
        Column("head", LargeBinary, nullable=False),
        Column("number_of_series", Integer, nullable=False),
        Column("number_of_instances", Integer, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("updated", BigInteger, nullable=False),
        Column("moment", Compared, nullable=False),
        Index(
            "uq_study_filed",
            "study_instance_uid",
            unique=True,
            sqlite_where=text("state = 'filed'"),
            postgresql_where=text("state = 'filed'"),
        ),
        Index(
            "ix_study_moment",
            "moment",
            "pk",
            sqlite_where=text("state = 'filed'"),
            postgresql_where=text("state = 'filed'"),
        ),
    )
    op.create_table(
        "registered_study",
        Column("rid", Key, ForeignKey("resource.rid"), primary_key=True),
        Column("service_request", Text, unique=True),
        Column("study_instance_uid", Text, unique=True),
        Column("successor", Key, ForeignKey("resource.rid"), index=True),
    )
    op.create_table(
        "report_study",
        Column("report", Key, ForeignKey("resource.rid"), primary_key=True),
        Column("study", Key, ForeignKey("resource.rid"), primary_key=True, index=True),
        Column("rule", Text, nullable=False),
    )
    op.create_table(
        "study_identity",
        Column("study_instance_uid", Text, primary_key=True),
        Column("identity", Text, primary_key=True),
        Column("study", Key, ForeignKey("study.pk"), nullable=False, index=True),
    )
    op.create_table(
        "minted_uid",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("study", Key, ForeignKey("study.pk"), nullable=False, index=True),
        Column("origin", Text, nullable=False),
        Column("level", Text, nullable=False),
        Column("original", Text, nullable=False),
        Column("uid", Text, nullable=False),
        Column("is_whole", Boolean, nullable=False),
        Column("of_person", Boolean, nullable=False),
        Index("ix_minted_uid_original", "origin", "original"),
    )
    op.create_table(
        "rejection",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("note", Text, nullable=False, index=True),
        Column("code", Text, nullable=False),
        Column("study_instance_uid", Text, nullable=False),
        Column("sop_instance_uid", Text, nullable=False),
        Column("patient", Text),
        Column("overruled", Boolean, nullable=False),
        Index("ix_rejection_named", "study_instance_uid", "sop_instance_uid"),
    )


def create_instances() -> None:
    op.create_table(
        "series",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("study", Key, ForeignKey("study.pk"), nullable=False),
        Column("series_instance_uid", Text, nullable=False, index=True),
        Column("series_number", Integer),
        Column("modality", Compared, nullable=False, index=True),
        Column("attributes", LargeBinary, nullable=False),
        Column("head", LargeBinary, nullable=False),
        Column("number_of_instances", Integer, nullable=False),
        Column("picture", Key, ForeignKey("blob.pk"), index=True),
        UniqueConstraint("study", "series_instance_uid"),
    )
    op.create_table(
        "instance",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("series", Key, ForeignKey("series.pk"), nullable=False),
        Column("sop_instance_uid", Text, nullable=False, index=True),
        Column("sop_class_uid", Text, nullable=False, index=True),
        Column("transfer_syntax_uid", Text, nullable=False),
        Column("instance_number", Integer),
        Column("number_of_frames", Integer),
        Column("has_pixel_data", Boolean, nullable=False),
        Column("blob", Key, ForeignKey("blob.pk"), nullable=False, index=True),
        Column("source", Text, nullable=False),
        Column("received", BigInteger, nullable=False),
        Column("fragment", LargeBinary, nullable=False),
        Column("warnings", LargeBinary),
        UniqueConstraint("series", "sop_instance_uid"),
    )
    op.create_table(
        "dicom_value",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("study", Key, ForeignKey("study.pk", ondelete="CASCADE")),
        Column("series", Key, ForeignKey("series.pk", ondelete="CASCADE")),
        Column("path", Text, nullable=False),
        Column("item", Integer, nullable=False),
        Column("value", Compared, nullable=False),
        Index("ix_dicom_value_value", "path", "value", "study", "series"),
        Index("ix_dicom_value_study", "study", "path"),
        Index("ix_dicom_value_series", "series", "path"),
    )
    op.create_table(
        "dicom_json",
        Column("instance", Key, ForeignKey("instance.pk"), primary_key=True),
        Column("body", LargeBinary, nullable=False),
    )


def create_conflicts() -> None:
    op.create_table(
        "conflict",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("sop_instance_uid", Text, nullable=False),
        Column("data_set_sha256", Text, nullable=False),
        Column("blob", Key, ForeignKey("blob.pk"), nullable=False, index=True),
        Column("task", Key, ForeignKey("resource.rid"), nullable=False),
        Column("source", Text, nullable=False),
        Column("received", BigInteger, nullable=False),
        UniqueConstraint("sop_instance_uid", "data_set_sha256"),
    )


def create_documents() -> None:
    op.create_table(
        "document",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("rid", Key, ForeignKey("resource.rid"), nullable=False, index=True),
        Column("state", Text, nullable=False),
        Column("blob", Key, ForeignKey("blob.pk"), nullable=False, index=True),
        Column("patient", Text, index=True),
        Column("encounter", Text, index=True),
        Column("facts", LargeBinary, nullable=False),
        Column("given", LargeBinary, nullable=False),
        Column("link", LargeBinary, nullable=False),
        Column("decision", LargeBinary),
        Column("source", Text, nullable=False),
        Column("zone", Text, nullable=False),
        Column("sha1", Text, nullable=False),
        Column("received", BigInteger, nullable=False),
    )
    op.create_table(
        "correction",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("provenance", Key, ForeignKey("resource.rid"), nullable=False, unique=True),
        Column("subject", Text, nullable=False, index=True),
        Column("body", LargeBinary, nullable=False),
        Column("undone", Boolean, nullable=False),
    )
    op.create_table(
        "awaited",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("study", Key, ForeignKey("study.pk"), index=True),
        Column("document", Key, ForeignKey("document.pk"), index=True),
        Column("resource_type", Text, nullable=False),
        Column("system", Text, nullable=False),
        Column("value", Text, nullable=False),
        Index("ix_awaited_identifier", "value", "system"),
    )


def create_work() -> None:
    op.create_table(
        "job",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("kind", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("due", BigInteger, nullable=False),
        Column("attempts", Integer, nullable=False),
        UniqueConstraint("kind", "subject"),
        Index("ix_job_due", "due"),
    )
    op.create_table(
        "lease",
        Column("name", Text, primary_key=True),
        Column("holder", Text, nullable=False),
        Column("expires", BigInteger, nullable=False),
    )
    op.create_table(
        "journal",
        Column("path_sha256", Text, primary_key=True),
        Column("size", BigInteger, nullable=False),
        Column("modified_ns", BigInteger, nullable=False),
        Column("outcome", LargeBinary, nullable=False),
    )
    op.create_table(
        "async_request",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("id", Text, nullable=False, unique=True),
        Column("caller", LargeBinary, nullable=False),
        Column("asked", LargeBinary),
        Column("body", Key, ForeignKey("blob.pk"), index=True),
        Column("attempts", Integer, nullable=False),
        Column("due", BigInteger, index=True),
        Column("answer", LargeBinary),
        Column("created", BigInteger, nullable=False),
    )
    op.create_table(
        "async_step",
        Column(
            "request", Key, ForeignKey("async_request.pk", ondelete="CASCADE"), primary_key=True
        ),
        Column("number", Integer, primary_key=True),
        Column("answer", LargeBinary, nullable=False),
    )
    op.create_table(
        "tombstone",
        Column("digest", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("erased", BigInteger, nullable=False),
    )


def create_subscriptions() -> None:
    op.create_table(
        "outbox",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("rid", Key, ForeignKey("resource.rid"), nullable=False, index=True),
        Column("merged", Key, unique=True),
        Column("changes", Integer, nullable=False),
        Column("first", BigInteger, nullable=False),
        Column("last", BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "subscription",
        Column("rid", Key, ForeignKey("resource.rid"), primary_key=True),
        Column("status", Text, nullable=False),
        Column("caller", LargeBinary, nullable=False),
        Column("headers", LargeBinary, nullable=False),
        Column("since", BigInteger, nullable=False),
        Column("events", BigInteger, nullable=False),
        Column("delivered", BigInteger, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("due", BigInteger, index=True),
        Column("held_until", BigInteger, nullable=False),
        Column("sent", BigInteger, nullable=False),
    )
    op.create_table(
        "subscription_event",
        Column("subscription", Key, ForeignKey("subscription.rid"), primary_key=True),
        Column("number", BigInteger, primary_key=True),
        Column("focus", Key, ForeignKey("resource.rid"), nullable=False, index=True),
        Column("is_new", Boolean, nullable=False),
        Column("occurred", BigInteger, nullable=False, index=True),
    )


def create_ehr() -> None:
    op.create_table(
        "ehr_copy",
        Column("type", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("checked", BigInteger, nullable=False),
    )
    op.create_table(
        "ehr_pending",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("study", Key, ForeignKey("study.pk", ondelete="CASCADE"), unique=True),
        Column("document", Key, ForeignKey("document.pk", ondelete="CASCADE"), unique=True),
        Column("reason", Text, nullable=False),
        Column("since", BigInteger, nullable=False),
        Column("due", BigInteger, nullable=False, index=True),
        Column("attempts", Integer, nullable=False),
    )
    op.create_table(
        "ehr_cursor",
        Column("type", Text, primary_key=True),
        Column("since", BigInteger, nullable=False),
    )
    op.create_table(
        "linking_policy",
        Column("fingerprint", Text, primary_key=True),
    )
    op.create_table(
        "secret",
        Column("name", Text, primary_key=True),
        Column("value", LargeBinary, nullable=False),
    )


def create_audit() -> None:
    op.create_table(
        "audit_event",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("id", Text, nullable=False, unique=True),
        Column("recorded", BigInteger, nullable=False),
        Column("kind", Text, nullable=False),
        Column("outcome", Text, nullable=False),
        Column("status", Integer, nullable=False),
        Column("address", Text, nullable=False),
        Column("request", Text, nullable=False),
        Column("purposes", Text, nullable=False),
        Column("activity", Text, nullable=False),
        Column("agent", BigInteger, nullable=False),
        Column("patient", BigInteger),
        Column("entity", BigInteger),
        Column("mentions", Text, nullable=False),
        Column("query", Text),
        Column("salt", LargeBinary),
        Column("commitment", LargeBinary, nullable=False),
        Index("ix_audit_event_recorded", "recorded", "pk"),
        Index("ix_audit_event_patient", "patient", "recorded", "pk"),
        Index("ix_audit_event_entity", "entity", "recorded", "pk"),
        Index("ix_audit_event_agent", "agent", "recorded", "pk"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_name",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("name", Text, nullable=False, unique=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_agent",
        Column("pk", Key, primary_key=True, autoincrement=True),
        Column("text", Text, nullable=False, unique=True),
        Column("name", Text, nullable=False),
        Column("folded", Text, nullable=False),
        Column("fhir_user", Text, nullable=False, index=True),
        Column("subject", Text, nullable=False, index=True),
        Column("roles", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_mention",
        Column("event", BigInteger, primary_key=True, autoincrement=False),
        Column("name", BigInteger, primary_key=True, autoincrement=False),
        Index("ix_audit_mention_name", "name"),
    )
    op.create_table(
        "audit_batch",
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("first", BigInteger, nullable=False),
        Column("last", BigInteger, nullable=False),
        Column("sealed", BigInteger, nullable=False),
        Column("previous", LargeBinary, nullable=False),
        Column("leaves", LargeBinary),
        Column("hash", LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_spool",
        Column("name", Text, primary_key=True),
        Column("moved", BigInteger, nullable=False),
    )
    op.create_table(
        "oauth_client",
        Column("id", Text, primary_key=True),
        Column("body", Text, nullable=False),
        Column("secret", LargeBinary),
        Column("created", BigInteger, nullable=False),
    )
    op.create_table(
        "oauth_key",
        Column("id", Text, primary_key=True),
        Column("public", Text, nullable=False),
        Column("private", Text),
        Column("created", BigInteger, nullable=False),
        Column("expires", BigInteger),
    )
    op.create_table(
        "person_account",
        Column("name", Text, primary_key=True),
        Column("password", Text),
        Column("roles", Text, nullable=False),
        Column("fhir_user", Text, nullable=False),
        Column("patient", Text, nullable=False),
        Column("created", BigInteger, nullable=False),
    )
    op.create_table(
        "person_session",
        Column("digest", LargeBinary, primary_key=True),
        Column("account", Text, ForeignKey("person_account.name"), nullable=False, index=True),
        Column("created", BigInteger, nullable=False),
        Column("seen", BigInteger, nullable=False),
        Column("expires", BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "sign_in_attempt",
        Column("subject", Text, primary_key=True),
        Column("count", Integer, nullable=False),
        Column("expires", BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "oauth_grant",
        Column("id", Text, primary_key=True),
        Column("client", Text, nullable=False, index=True),
        Column("account", Text, nullable=False, index=True),
        Column("session", LargeBinary),
        Column("body", Text, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("expires", BigInteger, nullable=False, index=True),
        Column("revoked", Boolean, nullable=False, server_default=false()),
    )
    op.create_table(
        "oauth_ticket",
        Column("digest", LargeBinary, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("grant_id", Text),
        Column("body", Text, nullable=False),
        Column("expires", BigInteger, nullable=False, index=True),
        Column("used", Boolean, nullable=False, server_default=false()),
    )
    op.create_table(
        "oauth_spent",
        Column("kind", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("expires", BigInteger, nullable=False, index=True),
    )


def create_index_table(
    name: str,
    *columns: Column[object],
    by: tuple[str, ...],
) -> None:
    op.create_table(
        name,
        Column("rid", Key, ForeignKey("resource.rid"), nullable=False),
        Column("parameter", Text, nullable=False),
        *columns,
        Index(f"ix_{name}_value", "parameter", *by, "rid"),
        Index(f"ix_{name}_rid", "rid", "parameter"),
    )
