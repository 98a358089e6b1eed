"""Tables of people's labels: the labels, reviews, and the questions of a start without labels."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, text
from sqlalchemy.types import Date, Double, Text

from triagem.db.schema.tickets import TIME, key, metadata, now, parent_id, required, row_id

# A label: `label` is what models and reviewers write, and never changes; `name` is what people read. Results refer to
# it without a foreign key: each row of a window would lock the label's row. `triagem db verify` checks them.
Table(
    "labels",
    metadata,
    key("label", Text),
    required("name", Text),
    Column("parent", Text, ForeignKey("labels.label")),
    required("description", Text, server_default=""),
    Column("colour", Text),
    Column("retired_at", TIME),
    CheckConstraint("colour IN ('blue', 'brown', 'purple', 'green', 'pink', 'grey')", name="colour"),
)

# A person's label for one text of a ticket. The latest review of a text is its effective label, also after runs.
# Without a label it is "unclear". `stratum`, `inclusion`, `model_version` and `model_label` are copied from the
# review draw; a review that was not requested has none of them. `proposal` is a label that the reviewer would have
# given and that does not exist yet: the review has no label until an administrator adds it.
Table(
    "reviews",
    metadata,
    row_id(),
    parent_id("tickets", "ticket_id", nullable=False),
    required("digest", LargeBinary),
    Column("label", Text, ForeignKey("labels.label")),
    required("reviewer", Text),
    now("reviewed_at"),
    Column("stratum", Text),
    Column("inclusion", Double),
    Column("model_version", Text),
    Column("model_label", Text),
    Column("comment", Text),
    Column("proposal", Text),
    Index("ix_reviews_latest", "ticket_id", "digest", text("id DESC")),
)

# A text selected for review, as one version classified it; leased to at most one reviewer at a time. In the stratum
# `random` it was sampled among texts received from `since` on, because its rank was below `inclusion`:
# `triagem.db.reviews.sampling` selects, `triagem.db.reviews.accuracy` computes the probabilities.
Table(
    "review_draws",
    metadata,
    parent_id("tickets", "ticket_id", primary_key=True),
    key("digest", LargeBinary),
    key("model_version", Text),
    required("model_label", Text),
    required("stratum", Text),
    Column("inclusion", Double),
    Column("since", TIME),
    now("drawn_at"),
    Column("leased_by", Text),
    Column("leased_until", TIME),
    CheckConstraint("stratum IN ('unsure', 'random')", name="stratum"),
    CheckConstraint("(stratum = 'random') = (inclusion IS NOT NULL AND since IS NOT NULL)", name="by_lot"),
    CheckConstraint("inclusion > 0 AND inclusion <= 1", name="inclusion"),
)

# A text to label for the first model, chosen by a trainer; `kind` as in `triagem.db.reviews.labelling.QuestionKind`.
Table(
    "label_questions",
    metadata,
    parent_id("tickets", "ticket_id", primary_key=True),
    required("digest", LargeBinary),
    required("kind", Text),
    required("position", Integer),
    now("asked_at"),
    CheckConstraint("kind IN ('random', 'chosen', 'suspicious')", name="kind"),
)

# The estimated quality of the model after a number of answers: `triagem.db.reviews.labelling.LabellingProgress`.
Table(
    "label_progress",
    metadata,
    row_id(),
    now("made_at"),
    required("answers", Integer),
    required("macro_f1", Double),
    required("low", Double),
    required("high", Double),
    required("answers_missing", Integer),
    Column("proof_missing", Integer),
)

# The accuracy that a version expects of itself, and the reviews' estimate if any: `triagem.db.reviews.expected`.
Table(
    "accuracy_reports",
    metadata,
    key("model_version", Text),
    key("day", Date),
    now("made_at"),
    required("texts", Integer),
    required("expected", Double),
    Column("reviewed", Double),
    Column("low", Double),
    Column("high", Double),
    required("sampled", Integer),
    required("diverged", Boolean),
)
