"""Reviewed texts with the labels that reviewers agree on: training data for the next version."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.ticket import Author, OnReply
from triagem.db.connect import Database
from triagem.db.reviews.accuracy import ReviewedText, SamplingRound, inclusion_probability, sampling_rounds

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """A raw text with its label. `inclusion`: the probability that it was randomly sampled; None if it was not.

    Without it, `stratum` is `unsure`, `crm`, `import`, or None if nobody requested the review. `messages` compose the
    text of a conversation, without agents' messages and small talk. `reviewer` gave the label at `reviewed_at`, to
    the text `digest` of a ticket of `source`; exports lack these four.
    """

    prompt: str
    completion: str
    lang: str | None
    stratum: str | None
    inclusion: float | None
    messages: Sequence[ConversationMessage] = ()
    reviewer: str = ""
    source: str = ""
    reviewed_at: datetime | None = None
    digest: bytes = b""


class Exclusion(StrEnum):
    """Reason to exclude a reviewed text from training data."""

    TEST = "test"
    UNCLEAR = "unclear"
    DISPUTED = "disputed"
    TEXT_GONE = "text_gone"


def majority_label(labels: Sequence[str | None]) -> str | Exclusion:
    """The newest of the reviewers' latest labels (given newest first), if more than half agree with it."""
    newest = labels[0]
    if newest is None:
        return Exclusion.UNCLEAR
    return newest if 2 * labels.count(newest) > len(labels) else Exclusion.DISPUTED


_LABELS: Final = """
SELECT digest, array_agg(label ORDER BY id DESC) AS labels FROM (
  SELECT DISTINCT ON (digest, reviewer) id, digest, label, reviewed_at FROM reviews ORDER BY digest, reviewer, id DESC
) AS latest
GROUP BY digest HAVING max(reviewed_at) >= coalesce(:since, '-infinity'::timestamptz) ORDER BY max(id)
"""
# If several tickets have the same text: the last reviewed ticket that still has it.
_TEXTS: Final = """
SELECT DISTINCT ON (r.digest) r.digest, t.text, t.metadata->>'lang' AS lang, t.received_at,
  coalesce(sampled.stratum, r.stratum) AS stratum, sampled.model_version, sampled.classified_at, sampled.inclusion,
  r.reviewer, r.reviewed_at, t.source, t.on_reply, CASE WHEN t.on_reply IS NOT NULL THEN (
    SELECT json_agg(json_build_array(m.message_id, m.author, m.text)
      ORDER BY m.written_at, length(m.message_id), m.message_id)
    FROM messages m WHERE m.ticket_id = t.id AND m.text IS NOT NULL
  ) END AS messages
FROM reviews r JOIN tickets t ON (t.id, t.digest) = (r.ticket_id, r.digest)
LEFT JOIN LATERAL (
  SELECT d.stratum, d.model_version, p.classified_at, d.inclusion
  FROM review_draws d JOIN predictions p USING (ticket_id, digest, model_version)
  WHERE (d.ticket_id, d.digest) = (r.ticket_id, r.digest) AND coalesce(r.stratum, '') NOT IN ('crm', 'import')
  ORDER BY d.inclusion IS NULL, d.drawn_at DESC LIMIT 1
) AS sampled ON true
WHERE r.digest = ANY(:digests) AND t.text IS NOT NULL AND t.forgotten_at IS NULL
ORDER BY r.digest, r.id DESC
"""


def labelled_examples(
    database: Database, *, since: datetime | None = None, test: Collection[bytes] = frozenset()
) -> Iterator[LabelledExample | Exclusion]:
    """Each text reviewed from `since` on, once. `test`: digests of texts that must never be used for training."""
    labels = [(row.digest, majority_label(row.labels)) for row in database.rows(_LABELS, since=since)]
    rounds = dict[str, list[SamplingRound]]()
    for start in range(0, len(labels), _PAGE):
        page = labels[start : start + _PAGE]
        texts = {row.digest: row for row in database.rows(_TEXTS, digests=[digest for digest, _ in page])}
        for digest, label in page:
            if digest in test:
                yield Exclusion.TEST
            elif isinstance(label, Exclusion):
                yield label
            elif (row := texts.get(digest)) is None:
                yield Exclusion.TEXT_GONE
            else:
                inclusion = _inclusion_probability(database, row, rounds)
                yield LabelledExample(
                    row.text, label, row.lang, row.stratum, inclusion, _messages(row), row.reviewer, row.source,
                    row.reviewed_at, digest,
                )  # fmt: skip


def _messages(row: Any) -> list[ConversationMessage]:
    """The messages from which a training composes the text: all, or the judged ones if `on_reply` excludes some.

    Empty if a new message has arrived meanwhile, because the messages then compose another text.
    """
    messages = [ConversationMessage(written, Author(author), name) for name, author, written in row.messages or ()]
    if messages and row.on_reply != OnReply.CONVERSATION:
        judged = judge(messages, OnReply(row.on_reply)).message_ids
        messages = [message for message in messages if message.id in judged]
    return messages if judge(messages, OnReply.CONVERSATION).text == row.text else []


def _inclusion_probability(database: Database, row: Any, rounds: dict[str, list[SamplingRound]]) -> float | None:
    if row.inclusion is None:
        return None
    if row.model_version not in rounds:
        rounds[row.model_version] = sampling_rounds(database, row.model_version)
    reviewed = ReviewedText(None, row.received_at, row.classified_at, row.inclusion)
    return inclusion_probability(reviewed, rounds[row.model_version])
