"""Sends alerts: matches them with the rules, creates digests, and delivers due digests."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from triagem.db import Database
from triagem.db.outbox.alert_digests import AlertDigest, create_digests, lease_digest, match_alerts
from triagem.db.outbox.deliveries import DeliveryState
from triagem.notify import Request, SendResult, Undeliverable
from triagem.notify.alert_rendering import AlertMessage, build_email, build_message, slack_payload, webhook_event
from triagem.notify.alert_rules import (
    AlertRules,
    AppriseChannel,
    Channel,
    EmailChannel,
    Links,
    SlackChannel,
    WebhookChannel,
)
from triagem.notify.apprise_channel import send_by_apprise
from triagem.notify.dispatch import send_due
from triagem.notify.mail import send_mail
from triagem.notify.request import json_request, signed_request

Send = Callable[[Channel, AlertMessage], SendResult]


def send_due_alerts(
    database: Database,
    rules: AlertRules,
    send: Send,
    *,
    links: Links = Links(),  # noqa: B008 - frozen
    jitter: Callable[[], float] = random.random,
) -> Counter[DeliveryState]:
    """Create digests of new alerts and try to deliver those that are due, for a few seconds. Returns the outcomes.

    Raises as `send_due`.
    """
    if rules.targets:  # without rules, alerts wait until there are rules
        match_alerts(database, rules.subscriptions)
        create_digests(database, rules.subscriptions)

    def deliver(_: str, digest: AlertDigest) -> SendResult | None:
        if digest.empty:
            return None
        if (target := rules.targets.get(digest.target)) is None:
            return Undeliverable(f"TRIAGEM_ALERTS_FILE has no rule and channel {digest.target}")
        return send(target.channel, build_message(digest, target.language, links))

    return send_due(database, "alert", lease_digest, deliver, at_once=1, jitter=jitter)


def channel_sender(post: Callable[[Request], SendResult]) -> Send:
    """A function that sends a message through a channel; `post` performs HTTP requests."""

    def send(channel: Channel, message: AlertMessage) -> SendResult:
        match channel:
            case SlackChannel():
                return post(json_request("POST", channel.url.get_secret_value(), slack_payload(message)))
            case WebhookChannel():
                url, event = channel.url.get_secret_value(), webhook_event(message)
                return post(signed_request(message.key, url, event, channel.secret, datetime.now(UTC)))
            case EmailChannel():
                return send_mail(channel, build_email(message, channel.sender, channel.to))
            case AppriseChannel():
                text = "\n".join(message.lines) or message.subject  # Apprise does not send a message without a body
                return send_by_apprise(channel.url.get_secret_value(), message.subject, text)

    return send
