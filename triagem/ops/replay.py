"""Replays dead letters: puts them into the inbox, then deletes them. A crash in between delivers one twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.tickets import dead_letters
from triagem.db.tickets.dead_letters import TASK_LANE, WEBHOOK_LANE_PREFIX, DeadLetterWithPayload
from triagem.inbox import Inbox
from triagem.producer.crm import AcceptedWebhook, CrmConfig, UnreadableWebhook, Webhook, read_body


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The number of replayed dead letters, and the ids of those that were not replayed.

    `without_payload`: the entry lacked the payload field. `not_found`: replayed or dropped before. `unreadable`:
    webhooks that still cannot be read, with `reasons` by id. `invalid`: arguments of tasks, which the service must
    submit again.
    """

    replayed: int = 0
    without_payload: list[int] = field(default_factory=list)
    not_found: list[int] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    invalid: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)


def replay(
    database: Database,
    inbox: Inbox,
    *,
    ids: Sequence[int] | None = None,
    crm: CrmConfig | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> ReplayResult:
    """Put dead letters back into their lanes, oldest first; `None` for `ids` means all.

    A webhook is parsed again with its source in `crm`, as of the time it arrived. It stays if any part of it still
    cannot be read. A dead letter without a payload stays too: there is nothing to put.

    Raises:
        InboxFull: a lane is full. Dead letters that were put before are deleted, the rest stay.
    """
    replayed, found_ids, without_payload, invalid, reasons = 0, set[int](), [], list[int](), dict[int, str]()
    for page in dead_letters.dead_letter_pages(database, ids=ids):
        found_ids.update(letter.id for letter in page)
        without_payload += [letter.id for letter in page if not letter.payload]
        for lane in Lane:
            waiting = [letter for letter in page if letter.lane == lane and letter.payload]
            while waiting:
                try:
                    count = inbox.put_fitting(lane, [letter.payload for letter in waiting])
                except InboxFull as error:
                    raise InboxFull(f"{error}; {replayed:,} dead letters were replayed, the rest stay") from None
                dead_letters.delete_dead_letters(database, [letter.id for letter in waiting[:count]])
                waiting = waiting[count:]
                replayed += count
                on_progress(replayed)
        for letter in (letter for letter in page if letter.lane.startswith(WEBHOOK_LANE_PREFIX)):
            if reason := _replay_webhook(inbox, letter, crm or CrmConfig({})):
                reasons[letter.id] = reason
            else:
                dead_letters.delete_dead_letters(database, [letter.id])
                replayed += 1
            on_progress(replayed)
        invalid += [letter.id for letter in page if letter.lane == TASK_LANE]
    return ReplayResult(replayed, without_payload, sorted(set(ids or ()) - found_ids), [*reasons], invalid, reasons)


def _replay_webhook(inbox: Inbox, letter: DeadLetterWithPayload, crm: CrmConfig) -> str:
    """Put the webhook's tickets; returns why some could not be read. Its signature was verified when it arrived."""
    name = letter.lane.removeprefix(WEBHOOK_LANE_PREFIX)
    if (source := crm.sources.get(name)) is None:
        return f"TRIAGEM_CRM_FILE has no source {name}"
    match read_body(Webhook(letter.payload), source, letter.died_at):
        case AcceptedWebhook(tickets, unread):
            inbox.put(Lane.LIVE, [encode(ticket) for ticket in tickets])
            return "; ".join(unread)
        case UnreadableWebhook(reason):
            return reason
    return ""
