"""Tables of operations: model versions, training jobs, runs, deliveries, alerts, the monitor, API keys, sessions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Double, Text

from triagem.db.schema.tickets import TIME, key, metadata, now, parent_id, required, row_id

# A version of the registry: the SHA-256 of its manifest, and the labels that it predicts. `triagem ops` copies
# versions and promotions from the registry. Results refer to a version by its name and to a promotion by its epoch,
# without a foreign key, because a worker may use a new version before it is copied. The row stays after the version
# is removed from the registry.
Table(
    "model_versions",
    metadata,
    key("version", Text),
    required("manifest_digest", LargeBinary),
    required("created_at", TIME),
    required("labels", ARRAY(Text())),
)

# A promotion or rollback: `version` was current from then until the promotion of the next epoch.
Table(
    "model_promotions",
    metadata,
    key("epoch", BigInteger, autoincrement=False),
    required("version", Text),
    required("promoted_at", TIME),
)

# A training job; `triagem.db.training_jobs.TrainingJob` describes the columns. The process `trainer` holds it by a
# lease, renewed at `heartbeat_at`. At most one job of a kind is active, and one job is running.
Table(
    "training_jobs",
    metadata,
    row_id(),
    required("kind", Text),
    required("parameters", JSONB),
    required("state", Text, server_default="queued"),
    required("requested_by", Text),
    now("requested_at"),
    Column("started_at", TIME),
    Column("trainer", Text),
    Column("heartbeat_at", TIME),
    Column("finished_at", TIME),
    required("attempts", Integer, server_default=text("0")),
    required("stage", Text, server_default=""),
    required("fraction", Double, server_default="0"),
    Column("version", Text),
    Column("error", Text),
    CheckConstraint("kind IN ('embed', 'head', 'full', 'preflight')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    Index("ix_training_jobs_active", "kind", unique=True, postgresql_where=text("state IN ('queued', 'running')")),
    Index("ix_training_jobs_running", text("(true)"), unique=True, postgresql_where=text("state = 'running'")),
)

# A file that a person uploaded for a training job, and the job's result: `triagem.db.uploads`.
Table(
    "uploads",
    metadata,
    row_id(),
    now("uploaded_at"),
    required("name", Text),
    Column("content", LargeBinary),
    Column("result", JSONB),
)

# A reclassification run: its settings, progress and counts; `triagem.db.runs.ReclassifyRun` describes the columns.
# `rate` is measured since `measured_count` tickets were processed at `measured_at`. At most one run is active.
Table(
    "reclassify_runs",
    metadata,
    row_id(),
    required("kind", Text),
    required("state", Text),
    required("reason", Text, server_default=""),
    required("version", Text),
    required("epoch", BigInteger),
    required("shadow", Boolean),
    required("force", Boolean),
    required("notify_flips", Boolean, server_default=text("false")),
    required("filters", JSONB),
    Column("max_tickets", BigInteger),
    Column("pause_hour", Text),
    Column("pause_at", TIME),
    required("first_id", BigInteger),
    required("last_id", BigInteger),
    required("cursor", BigInteger),
    required("enqueued", BigInteger),
    *(
        required(name, BigInteger, server_default="0")
        for name in ("put", "done", "unchanged", "changed", "gone", "failed", "flips")
    ),
    required("rate", Double, server_default="0"),
    required("measured_count", BigInteger, server_default="0"),
    Column("measured_at", TIME),
    now("started_at"),
    Column("finished_at", TIME),
    CheckConstraint("kind IN ('classify', 'apply')", name="kind"),
    CheckConstraint("state IN ('running', 'paused', 'done', 'cancelled')", name="state"),
    Index(
        "ix_reclassify_runs_active",
        text("(true)"),
        unique=True,
        postgresql_where=text("state IN ('running', 'paused')"),
    ),
)

# A ticket of a run. It is `queued` from before its reference is enqueued. Later the row holds the run's result and
# the ticket's previous result. They are written once; a redelivery does not change them.
Table(
    "run_changes",
    metadata,
    # No foreign keys: each row of a window would lock the run's row, whose counters all workers update; and a ticket
    # that was deleted meanwhile must still be counted.
    key("run_id", BigInteger),
    key("ticket_id", BigInteger),
    required("outcome", Text),
    Column("before_label", Text),
    Column("before_confidence", Double),
    Column("before_band", Text),
    Column("after_label", Text),
    Column("after_confidence", Double),
    Column("after_band", Text),
    Index("ix_run_changes_ticket_id", "ticket_id"),
)

# A target that receives results of a source's live tickets; `triagem ops` copies it from TRIAGEM_CRM_FILE.
Table("result_targets", metadata, key("target", Text), required("source", Text))

# A message in the outbox. Kind `result`: the current result of a ticket for one target, such as `[shop.callback]` of
# the CRM file; one row, which waits again when the result changes. `created_at` is the time of that change, and
# `delivered_...` the result that the receiver got last; if `delivered_at` is NULL, a later attempt may have reached
# the receiver. Kind `alert`: a digest of alerts (its `alert_notifications`) for a rule's channel, without a ticket.
# The delivery is due at `next_at` and leased to a worker until `leased_until`.
Table(
    "deliveries",
    metadata,
    row_id(),
    required("kind", Text, server_default="result"),
    required("target", Text),
    parent_id("tickets", "ticket_id"),
    now("created_at"),
    required("attempts", Integer, server_default=text("0")),
    now("next_at"),
    Column("leased_until", TIME),
    required("state", Text, server_default="waiting"),
    Column("finished_at", TIME),
    Column("last_error", Text),
    Column("delivered_revision", Integer),
    Column("delivered_label", Text),
    Column("delivered_band", Text),
    Column("delivered_reviewed", Boolean),
    Column("delivered_at", TIME),
    UniqueConstraint("ticket_id", "target"),
    CheckConstraint("state IN ('waiting', 'delivered', 'failed', 'superseded', 'dropped')", name="state"),
    CheckConstraint("(kind = 'result') = (ticket_id IS NOT NULL)", name="about"),
    Index("ix_deliveries_due", "target", "next_at", postgresql_where=text("state = 'waiting'")),
    Index("ix_deliveries_failed", "id", postgresql_where=text("state = 'failed'")),
)

# A doubtful live result, written by the same statement as the result; or a system alert (drift, retraining due), with
# another `kind`, without a ticket, and at most one per `key`.
# `matched_at`: when it was matched with the subscriptions. `delivered_at`: when it was first delivered.
Table(
    "alerts",
    metadata,
    row_id(),
    required("kind", Text, server_default="low-confidence"),
    Column("key", Text),
    Column("detail", JSONB),
    parent_id("tickets", "ticket_id"),
    Column("digest", LargeBinary),
    Column("model_version", Text),
    Column("band", Text),
    Column("confidence", Double),
    now("created_at"),
    Column("matched_at", TIME),
    Column("delivered_at", TIME),
    UniqueConstraint("ticket_id", "digest", "model_version"),
    UniqueConstraint("kind", "key"),
    Index("ix_alerts_undelivered", "id", postgresql_where=text("delivered_at IS NULL")),
    Index("ix_alerts_unmatched", "id", postgresql_where=text("matched_at IS NULL")),
)

# Time of the last digest for the channel of a rule, such as `doubtful.team`.
Table("alert_subscriptions", metadata, key("target", Text), now("last_digest_at"))

# An alert for the channel of a rule, and the digest that contains it; NULL until one is created.
Table(
    "alert_notifications",
    metadata,
    parent_id("alerts", "alert_id", primary_key=True),
    key("target", Text),
    parent_id("deliveries", "delivery_id"),
    Index("ix_alert_notifications_pending", "target", postgresql_where=text("delivery_id IS NULL")),
    Index("ix_alert_notifications_delivery_id", "delivery_id"),
)

# State of one monitored alert kind; see `triagem.db.outbox.monitoring.MonitorState`.
Table(
    "monitor_states",
    metadata,
    key("kind", Text),
    Column("open_since", TIME),
    required("recent", ARRAY(Boolean())),
    required("checked_at", TIME),
    Column("last_bad_at", TIME),
)

# A gateway API key: the SHA-256 of its secret, and its scopes. With a `source`, it submits tickets of that CRM only.
Table(
    "api_keys",
    metadata,
    row_id(),
    required("name", Text),
    required("hash", LargeBinary),
    required("scopes", ARRAY(Text())),
    Column("source", Text),
    now("created_at"),
    Column("expires_at", TIME),
    Column("last_used_at", TIME),
    Column("revoked_at", TIME),
    UniqueConstraint("hash"),
)

# An action of a person or key; `triagem.db.audit` describes the columns. Rows are only added (`audit.sql`).
Table(
    "audit",
    metadata,
    row_id(),
    now("at"),
    *(required(name, Text) for name in ("actor", "address", "action", "object", "outcome")),
)

# A console login: the SHA-256 of the session's token. It ends at `ends_at`, or earlier if it is not used.
Table(
    "console_sessions",
    metadata,
    key("hash", LargeBinary),
    parent_id("api_keys", "key_id", nullable=False),
    required("ends_at", TIME),
    now("used_at"),
)
