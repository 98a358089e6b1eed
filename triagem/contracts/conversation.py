"""Decides which messages of a conversation the model reads, and combines its answers into one. Pure.

The label is kept until the evidence for another label is strong enough. The method is the forward filter of a hidden
Markov model. The state is the label of the customer's present subject. A message is small talk, and says nothing
about the label, with a probability that depends on its words (`SMALL_TALK`). Otherwise it may be about a new subject,
with the probability `CHANGE`. So the evidence of a message is bounded, however sure the model is. Decision 16 says
how rule and constants were chosen.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from typing import Final

from triagem.contracts.abstain import abstain_reason
from triagem.contracts.prediction import AbstainReason
from triagem.contracts.small_talk import SUBJECT_WORDS, evidence, telling_words
from triagem.contracts.text import clean
from triagem.contracts.ticket import Author, OnReply

# A longer conversation is judged by its beginning and its end, so that the cost of a new message is bounded. More
# messages are read than texts are judged: small talk does not push the customer's subject out.
FIRST_MESSAGES: Final = 4
NEWEST_MESSAGES: Final = 60
_NEWEST_PARTS: Final = 12
MAX_CHARS: Final = 16_000  # of a message, and of the newest ones together
CHANGE: Final = 0.4
SMALL_TALK: Final = (
    1.0,
    1.0,
    0.5,
    0.3,
    0.05,
)  # by the number of telling words (`small_talk.evidence`); the last: more


@dataclass(frozen=True, slots=True)
class ConversationMessage:
    """A message that is neither deleted nor purged, as received; `id` is empty for a whole text."""

    text: str
    author: Author = Author.CUSTOMER
    id: str = ""


@dataclass(frozen=True, slots=True)
class JudgedText:
    """The texts of a conversation that the model reads.

    Args:
        message_ids: the messages whose words it contains.
        parts: the cleaned texts, each classified on its own; empty until the customer writes.
        abstains: the reason that no label may be used.
    """

    message_ids: list[str]
    parts: list[str]
    abstains: AbstainReason | None

    @property
    def text(self) -> str:
        """The parts as one text. Do not clean it again: its lines come from several messages."""
        return "\n\n".join(self.parts)


def judge(messages: Sequence[ConversationMessage], on_reply: OnReply) -> JudgedText:
    """Choose the messages that the label is about.

    Customers' messages without a request, such as a greeting, are left out if there are other messages, because they
    do not affect the label. The messages up to the one that completes a subject form one text, because people split a
    sentence over several messages; it has no small talk after the first telling word.

    Args:
        messages: in the order in which they were written; at least the first and the newest ones of the customer.
    """
    read = [_ReadMessage(message.id, message.text[:MAX_CHARS]) for message in _bounded(messages)]
    requests = any(message.reason is None for message in read)
    groups = _groups(read, on_reply, requests=requests)
    return JudgedText(
        message_ids=[message.id for group in groups for message in group],
        parts=["\n\n".join(message.cleaned for message in group) for group in groups if group],
        abstains=None if requests else read[0].reason if read else AbstainReason.NO_WORDS,
    )


@dataclass
class _ReadMessage:
    """A message, cleaned and judged when that is needed: each new message of a long conversation judges it again."""

    id: str
    text: str

    @cached_property
    def cleaned(self) -> str:
        return clean(self.text)

    @cached_property
    def reason(self) -> AbstainReason | None:
        return abstain_reason(self.text, self.cleaned)


def _groups(read: Sequence[_ReadMessage], on_reply: OnReply, *, requests: bool) -> list[list[_ReadMessage]]:
    """The messages of each part. With `requests`, only messages that are one."""

    def chosen(messages: Iterable[_ReadMessage]) -> Iterator[_ReadMessage]:
        return (message for message in messages if not requests or message.reason is None)

    if on_reply is OnReply.LATEST:
        return [[*islice(chosen(reversed(read)), 1)]]
    remaining, opening, words = iter(read), list[_ReadMessage](), 0
    for message in chosen(remaining):
        telling = telling_words(message.cleaned)
        if telling or not words:
            opening.append(message)
        words += telling
        if words >= SUBJECT_WORDS:
            break
    if on_reply is OnReply.FIRST:
        return [opening]
    later = (message for message in chosen(remaining) if evidence(message.cleaned))
    first = [opening, *([message] for message in islice(later, FIRST_MESSAGES - 1))]
    newest = (message for message in chosen(reversed([*remaining])) if evidence(message.cleaned))
    return first + [[message] for message in islice(newest, _NEWEST_PARTS)][::-1]


def combine(parts: Sequence[str], probabilities: Sequence[Sequence[float]]) -> list[float]:
    """Combine the probabilities of a conversation's parts, in order, into those of the conversation.

    The probabilities of a single part are returned unchanged.
    """
    belief, *later = map(list, probabilities)
    others = len(belief) - 1
    for part, row in zip(parts[1:], later, strict=True):
        small_talk = SMALL_TALK[min(evidence(part), len(SMALL_TALK) - 1)]
        expected = [(1 - CHANGE) * before + CHANGE * (1 - before) / others for before in belief]
        joint = [
            small_talk * before / len(belief) + (1 - small_talk) * subject * probability
            for before, subject, probability in zip(belief, expected, row, strict=True)
        ]
        belief = [probability / sum(joint) for probability in joint]
    return belief


def combine_all(parts: Sequence[Sequence[str]], probabilities: Sequence[Sequence[float]]) -> list[list[float]]:
    """Combine the probabilities of all parts, in order, into those of each text or conversation."""
    if len(parts) == len(probabilities):  # one each
        return [*map(list, probabilities)]
    remaining = iter(probabilities)
    return [combine(of_text, list(islice(remaining, len(of_text)))) for of_text in parts]


def message_rows(messages: Sequence[ConversationMessage]) -> list[dict[str, str]]:
    """The messages as in the column `messages` of training rows."""
    return [{"author": message.author, "text": message.text} for message in messages]


def _bounded(messages: Sequence[ConversationMessage]) -> list[ConversationMessage]:
    """The customer's first and newest messages."""
    customer = [message for message in messages if message.author is Author.CUSTOMER]
    first, rest = customer[:FIRST_MESSAGES], customer[FIRST_MESSAGES:][-NEWEST_MESSAGES:]
    ends = accumulate(len(message.text) for message in reversed(rest))
    fitting = sum(end <= MAX_CHARS for end in ends) or 1
    return first + rest[-fitting:]
