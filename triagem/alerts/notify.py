"""Sends alerts: matches them with the rules, creates digests, and delivers those that are due."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from triagem.alerts.rendering import AlertMessage, build_email, build_message, slack_body, webhook_body
from triagem.alerts.rules_file import AlertRules
from triagem.alerts.settings import Channel, EmailChannel, SlackChannel, WebhookChannel
from triagem.db import Database
from triagem.db.alert_digests import AlertDigest, create_digests, lease_digest, match_alerts
from triagem.db.deliveries import DeliveryState, due_targets, mark_delivery
from triagem.outgoing import Request, SendResult, Undeliverable
from triagem.outgoing.dispatch import AttemptState, delivery_outcome, dispatch
from triagem.outgoing.mail import MailServer, send_mail
from triagem.outgoing.standard_webhooks import signed_request

log = structlog.get_logger(__name__)

Send = Callable[[Channel, AlertMessage], SendResult]


def send_due_alerts(
    database: Database,
    rules: AlertRules,
    send: Send,
    *,
    console_url: str | None = None,
    jitter: Callable[[], float] = random.random,
) -> Counter[AttemptState]:
    """Create digests of new alerts and try to deliver those that are due, for a few seconds. Returns the outcomes.

    Raises:
        DatabaseUnavailable: a message sent but not recorded is sent again, with the same id, after its lease ends.
    """
    if rules.targets:  # without any, alerts wait for future rules
        match_alerts(database, rules.subscriptions)
        create_digests(database, rules.subscriptions)

    def deliver(digest: AlertDigest) -> SendResult | None:
        if digest.empty:
            return None
        if (target := rules.targets.get(digest.target)) is None:
            return Undeliverable(f"TRIAGEM_ALERTS_FILE has no rule and channel {digest.target}")
        return send(target.channel, build_message(digest, target.language, console_url))

    def attempt(target: str) -> AttemptState | None:
        if (digest := lease_digest(database, target)) is None:
            return None
        result = delivery_outcome(deliver(digest), digest.attempts, jitter())
        mark_delivery(
            database, digest, DeliveryState(result.state), reason=result.reason, retry_after_s=result.after_s
        )
        if result.state == "failed":
            log.warning("delivery_failed", delivery=digest.id, target=target, reason=result.reason)
        return result.state

    done = dispatch(due_targets(database, "alert"), attempt, at_once=1)
    if done:
        log.info("alerts_sent", **{str(state): count for state, count in done.items()})
    return done


def channel_sender(post: Callable[[Request], SendResult]) -> Send:
    """A function that sends a message through a channel; `post` performs HTTP requests."""

    def send(channel: Channel, message: AlertMessage) -> SendResult:
        match channel:
            case SlackChannel():
                headers = {"Content-Type": "application/json"}
                return post(Request("POST", channel.url.get_secret_value(), headers, slack_body(message)))
            case WebhookChannel():
                url, body = channel.url.get_secret_value(), webhook_body(message)
                return post(signed_request(message.key, url, body, channel.secret, datetime.now(UTC)))
            case EmailChannel():
                password = channel.password.get_secret_value() if channel.password else None
                server = MailServer(channel.host, channel.port, channel.security, channel.user, password)
                return send_mail(server, build_email(message, channel.sender, channel.to))

    return send
