"""Tell people: alerts are matched with the rules, gathered, and what is due is leased, sent, settled."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from triagem.alerts.message import Message, mail, message, slack_body, webhook_body
from triagem.alerts.rules_file import Rules
from triagem.alerts.settings import Channel, Mail, Slack, Webhook
from triagem.db import Database
from triagem.db.deliveries import State, due, settle
from triagem.db.notices import Notice, gather, lease, match
from triagem.outgoing import GiveUp, Request, Verdict
from triagem.outgoing.mail import MailServer, send_mail
from triagem.outgoing.standard import signed
from triagem.outgoing.turn import Became, outcome, turn

log = structlog.get_logger(__name__)

Send = Callable[[Channel, Message], Verdict]


def tell(
    database: Database,
    rules: Rules,
    send: Send,
    *,
    console_url: str | None = None,
    jitter: Callable[[], float] = random.random,
) -> Counter[Became]:
    """Make messages of what was raised, and try those that are due, for a few seconds; how many became what.

    Raises:
        DatabaseAway: what was sent and not noted is sent again, with the same id, when its lease has ended.
    """
    if rules.targets:  # without any, all stays as it is for rules to come
        match(database, rules.wanted)
        gather(database, rules.wanted)

    def verdict(notice: Notice) -> Verdict | None:
        if notice.empty:
            return None
        if (target := rules.targets.get(notice.target)) is None:
            return GiveUp(f"TRIAGEM_ALERTS_FILE has no rule and channel {notice.target}")
        return send(target.channel, message(notice, target.language, console_url))

    def attempt(target: str) -> Became | None:
        if (notice := lease(database, target)) is None:
            return None
        found = outcome(verdict(notice), notice.attempts, jitter())
        settle(database, notice, State(found.state), reason=found.reason, after_s=found.after_s)
        if found.state == "gave-up":
            log.warning("given up", delivery=notice.id, target=target, reason=found.reason)
        return found.state

    done = turn(due(database, "alert"), attempt, at_once=1)
    if done:
        log.info("alerts told", **{str(state): count for state, count in done.items()})
    return done


def sender(post: Callable[[Request], Verdict]) -> Send:
    """Sends a message through a channel, requests by `post`."""

    def send(channel: Channel, message: Message) -> Verdict:
        match channel:
            case Slack():
                headers = {"Content-Type": "application/json"}
                return post(Request("POST", channel.url.get_secret_value(), headers, slack_body(message)))
            case Webhook():
                url, body = channel.url.get_secret_value(), webhook_body(message)
                return post(signed(message.key, url, body, channel.secret, datetime.now(UTC)))
            case Mail():
                password = channel.password.get_secret_value() if channel.password else None
                server = MailServer(channel.host, channel.port, channel.security, channel.user, password)
                return send_mail(server, mail(message, channel.sender, channel.to))

    return send
