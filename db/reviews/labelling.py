"""The questions that a person answers to make the first model, their answers, and the model's estimated quality.

A trainer chooses the questions and estimates the quality (`triagem.trainer.jobs.labelling`). Before its first choice,
texts are drawn at random, so that nobody has to wait. An answer is a review whose `stratum` is the question's kind.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import text

from triagem.contracts.conversation import judge
from triagem.contracts.ticket import PREDICT_SOURCE, OnReply
from triagem.db.connect import Database
from triagem.db.reviews.queue import UNREVIEWED, TicketText
from triagem.db.tickets.messages import JUDGED_MESSAGES, read_messages

POOL: Final = 10_000  # questions are chosen from this number of newest texts
MIN_ESTIMATED_LABEL: Final = 5  # answers of a label, for the estimate of the quality to cover it
MIN_ESTIMATED: Final = 20  # answers of such labels


class QuestionKind(StrEnum):
    """The reason of a question: a random text, one chosen as useful for training, or one with a suspicious answer."""

    RANDOM = "random"
    CHOSEN = "chosen"
    SUSPICIOUS = "suspicious"


@dataclass(frozen=True, slots=True)
class Question(TicketText):
    """A text to label. `given` is the earlier answer, if a person should check it again."""

    kind: QuestionKind
    given: str | None


@dataclass(frozen=True, slots=True)
class LabellingProgress:
    """The estimated macro-F1 on all texts after a number of answers, with its 90 % interval. It covers the labels
    with at least `MIN_ESTIMATED_LABEL` answers; `answers` are theirs.

    `answers_missing`: the estimated number of further answers until macro-F1 is 0.9. `proof_missing`: the number of
    further answers that prove the precision that automation needs; None if it is not known.
    """

    answers: int
    macro_f1: float
    low: float
    high: float
    answers_missing: int
    proof_missing: int | None = None


@dataclass(frozen=True, slots=True)
class PoolText:
    """A text of the pool with its answers, newest first, and the kind of its first question.

    `parts`: the cleaned texts of a conversation that are classified.
    """

    ticket_id: int
    digest: bytes
    text: str
    labels: Sequence[str | None]
    kind: str | None
    parts: Sequence[str] = ()


_COLUMNS: Final = "t.id, t.digest, t.source, t.external_id, t.text, t.revised_at, t.received_at"
_STORED: Final = text(f"""
SELECT {_COLUMNS}, q.kind, NULL FROM label_questions q JOIN tickets t ON (t.id, t.digest) = (q.ticket_id, q.digest)
WHERE q.kind <> 'suspicious' AND t.text IS NOT NULL AND t.id <> ALL(:skipped) AND {UNREVIEWED}
ORDER BY q.position LIMIT 1
""")  # noqa: S608 - built from the constants above, as all below
_SUSPICIOUS: Final = text(f"""
SELECT {_COLUMNS}, q.kind, v.label FROM label_questions q
JOIN tickets t ON (t.id, t.digest) = (q.ticket_id, q.digest)
JOIN LATERAL (
  SELECT label, reviewer, reviewed_at FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest)
  ORDER BY id DESC LIMIT 1
) AS v ON true
WHERE q.kind = 'suspicious' AND t.text IS NOT NULL AND t.id <> ALL(:skipped)
  AND v.reviewed_at < q.asked_at AND v.reviewer = :reviewer
ORDER BY q.position LIMIT 1
""")  # noqa: S608
# Ordered by a hash of ticket and reviewer, so that two people are seldom asked about the same text.
_RANDOM: Final = text(f"""
SELECT {_COLUMNS}, 'random', NULL FROM (
  SELECT id FROM tickets WHERE text IS NOT NULL AND source <> :predict ORDER BY received_at DESC, id DESC LIMIT :pool
) AS newest JOIN tickets t USING (id)
WHERE t.text IS NOT NULL AND t.id <> ALL(:skipped) AND {UNREVIEWED}
ORDER BY hashtextextended(t.id || :reviewer, 0) LIMIT 1
""")  # noqa: S608


def next_question(
    database: Database, reviewer: str, *, skipped: Collection[int] = (), suspicious: bool = False
) -> Question | None:
    """The next text to label, or the reviewer's next suspicious answer. None if there is none."""
    values = {"skipped": list(skipped), "predict": PREDICT_SOURCE, "pool": POOL, "reviewer": reviewer}
    for statement in (_SUSPICIOUS,) if suspicious else (_STORED, _RANDOM):
        if question := database.first(Question, statement, **values):
            return replace(question, kind=QuestionKind(question.kind))
    return None


_COUNTS: Final = text("""
SELECT newest, count(*) FROM (
  SELECT array_agg(label) AS labels, (array_agg(label ORDER BY id DESC))[1] AS newest FROM (
    SELECT DISTINCT ON (ticket_id, digest, reviewer) ticket_id, digest, label, id FROM reviews
    ORDER BY ticket_id, digest, reviewer, id DESC
  ) AS latest GROUP BY ticket_id, digest
) AS texts WHERE 2 * cardinality(array_positions(labels, newest)) > cardinality(labels) AND newest IS NOT NULL
GROUP BY newest ORDER BY newest
""")
_LEFT: Final = text(f"""
SELECT count(*) FILTER (WHERE q.kind <> 'suspicious' AND {UNREVIEWED}) AS questions,
  count(*) FILTER (WHERE q.kind = 'suspicious' AND v.reviewed_at < q.asked_at
    AND (CAST(:reviewer AS text) IS NULL OR v.reviewer = :reviewer)) AS suspicious
FROM label_questions q JOIN tickets t ON (t.id, t.digest) = (q.ticket_id, q.digest)
LEFT JOIN LATERAL (
  SELECT reviewer, reviewed_at FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest)
  ORDER BY id DESC LIMIT 1
) AS v ON true
WHERE t.text IS NOT NULL
""")  # noqa: S608
_POOL_SIZE: Final = text("""
SELECT count(*) FROM (SELECT FROM tickets WHERE text IS NOT NULL AND source <> :predict LIMIT :pool) AS t
""")
_PROGRESS: Final = text("""
SELECT answers, macro_f1, low, high, answers_missing, proof_missing FROM label_progress ORDER BY id DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class LabellingState:
    """Answers by label, texts in the pool (at most `POOL`), remaining questions by kind, and the newest estimate."""

    answers: Mapping[str, int]
    texts: int
    questions: int
    suspicious: int
    progress: LabellingProgress | None

    @property
    def total(self) -> int:
        """The number of labelled texts."""
        return sum(self.answers.values())

    @property
    def enough(self) -> bool:
        """Whether the next training or choice of questions estimates the quality."""
        counts = [count for count in self.answers.values() if count >= MIN_ESTIMATED_LABEL]
        return len(counts) > 1 and sum(counts) >= MIN_ESTIMATED

    def left_out(self, labels: Iterable[str]) -> list[str]:
        """The labels that have too few answers for the estimate to cover them."""
        return [label for label in labels if self.answers.get(label, 0) < MIN_ESTIMATED_LABEL]


def count_answers(database: Database) -> dict[str, int]:
    """The number of texts by the label that their reviewers agree on: see `majority_label`."""
    return dict(database.rows(_COUNTS))


def count_start_answers(database: Database) -> int:
    """The number of answers to questions. A review of a text that was drawn for review has a model version."""
    return int(
        database.scalar_one(
            "SELECT count(*) FROM reviews WHERE stratum = ANY(:kinds) AND model_version IS NULL",
            kinds=list(QuestionKind),
        )
    )


def labelling_state(database: Database, reviewer: str | None = None) -> LabellingState:
    """The state of the labelling; of suspicious answers, only those of the reviewer."""
    texts = database.scalar_one(_POOL_SIZE, predict=PREDICT_SOURCE, pool=POOL)
    left, progress = database.one(_LEFT, reviewer=reviewer), database.first(LabellingProgress, _PROGRESS)
    return LabellingState(count_answers(database), texts, left.questions, left.suspicious, progress)


_READ_POOL: Final = text(f"""
SELECT t.id, t.digest, t.text, t.on_reply, CASE WHEN t.on_reply IS NOT NULL THEN {JUDGED_MESSAGES} END AS messages,
  array_remove(array_agg(v.label ORDER BY v.id DESC), NULL) AS labels, count(v.id) AS answers, (
    SELECT stratum FROM reviews o
    WHERE (o.ticket_id, o.digest) = (t.id, t.digest) AND o.stratum IN ('random', 'chosen') ORDER BY o.id LIMIT 1
  ) AS kind
FROM (
  (SELECT id FROM tickets WHERE text IS NOT NULL AND source <> :predict
   ORDER BY received_at DESC, id DESC LIMIT :pool)
  UNION SELECT ticket_id FROM reviews
) AS pool JOIN tickets t USING (id)
LEFT JOIN (
  SELECT DISTINCT ON (ticket_id, digest, reviewer) * FROM reviews ORDER BY ticket_id, digest, reviewer, id DESC
) AS v ON (v.ticket_id, v.digest) = (t.id, t.digest)
WHERE t.text IS NOT NULL AND t.source <> :predict GROUP BY t.id ORDER BY t.id
""")  # noqa: S608 - a constant


def read_pool(database: Database) -> list[PoolText]:
    """The newest texts, and all texts with an answer."""
    rows = database.rows(_READ_POOL, predict=PREDICT_SOURCE, pool=POOL)
    return [
        PoolText(
            row.id, row.digest, row.text, row.labels or ([None] if row.answers else []), row.kind,
            judge(read_messages(row.messages), OnReply(row.on_reply)).parts if row.on_reply else (),
        )
        for row in rows
    ]  # fmt: skip


_SAVE: Final = text("""
WITH incoming AS (
  SELECT * FROM unnest(CAST(:tickets AS bigint[]), CAST(:digests AS bytea[]), CAST(:kinds AS text[]))
    WITH ORDINALITY AS i(ticket_id, digest, kind, position)
), locked AS (
  SELECT t.id FROM tickets t JOIN incoming i ON i.ticket_id = t.id
  WHERE t.forgotten_at IS NULL ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR SHARE OF t
), removed AS (
  DELETE FROM label_questions WHERE ticket_id NOT IN (SELECT ticket_id FROM incoming)
)
INSERT INTO label_questions (ticket_id, digest, kind, position)
SELECT ticket_id, digest, kind, position FROM incoming WHERE ticket_id IN (SELECT id FROM locked) ORDER BY ticket_id
ON CONFLICT (ticket_id) DO UPDATE SET
  digest = excluded.digest, kind = excluded.kind, position = excluded.position, asked_at = now()
""")


def save_questions(
    database: Database, questions: Sequence[tuple[PoolText, QuestionKind]], progress: LabellingProgress | None
) -> None:
    """Replace the questions, in the order in which they are asked, and add the estimate if there is one."""
    database.execute(
        _SAVE, tickets=[question.ticket_id for question, _ in questions],
        digests=[question.digest for question, _ in questions], kinds=[str(kind) for _, kind in questions],
    )  # fmt: skip
    if progress is not None:
        database.execute(
            "INSERT INTO label_progress (answers, macro_f1, low, high, answers_missing, proof_missing) "
            "VALUES (:answers, :macro_f1, :low, :high, :answers_missing, :proof_missing)",
            **asdict(progress),
        )
