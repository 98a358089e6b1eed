"""Sends one alert message through its channel: Slack, a signed webhook, an e-mail by SMTP, or Apprise."""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from typing import Final

from triagem.notify.alert_rendering import AlertMessage, build_email, slack_payload, webhook_event
from triagem.notify.alert_rules import AppriseChannel, Channel, EmailChannel, SlackChannel, WebhookChannel
from triagem.notify.apprise_channel import send_by_apprise
from triagem.notify.request import (
    Delivered,
    Request,
    Retry,
    SendResult,
    Undeliverable,
    json_request,
    signed_request,
)

SendMessage = Callable[[Channel, AlertMessage], SendResult]


def channel_sender(post: Callable[[Request], SendResult]) -> SendMessage:
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


_TIMEOUT_S: Final = 10.0  # per SMTP command; a delivery's lease is longer than all of them together

_tls: Final = cache(ssl.create_default_context)


def send_mail(channel: EmailChannel, mail: EmailMessage, *, tls: ssl.SSLContext | None = None) -> SendResult:
    """Submit an e-mail once. Raises nothing: every failure is a result, which never contains the server's answer.

    Unless the channel's `security` is `none`, the certificate is verified before anything is sent.
    """
    try:
        _submit(channel, mail, tls or _tls())
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        return _failure(error)
    return Delivered()


def _submit(channel: EmailChannel, mail: EmailMessage, tls: ssl.SSLContext) -> None:
    address = (channel.host, channel.port)
    client = (
        smtplib.SMTP_SSL(*address, timeout=_TIMEOUT_S, context=tls)
        if channel.security == "ssl"
        else smtplib.SMTP(*address, timeout=_TIMEOUT_S)
    )
    try:
        if channel.security == "starttls":
            client.starttls(context=tls)
        if channel.user is not None:
            client.login(channel.user, channel.password.get_secret_value() if channel.password else "")
        # If the server refuses only some recipients, it sends the mail's sender a report.
        client.send_message(mail)
        # The server has accepted the mail: a failure of QUIT must not cause a second attempt.
        with suppress(OSError, smtplib.SMTPException):
            client.quit()
    finally:
        client.close()


def _failure(error: Exception) -> SendResult:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return _refusal([code for code, _ in error.recipients.values()], "refused all recipients")
        case smtplib.SMTPNotSupportedError():
            return Undeliverable("the server offers no STARTTLS, or no login")
        case smtplib.SMTPAuthenticationError():
            return _refusal([error.smtp_code], "refused user or password")
        case smtplib.SMTPResponseException() if error.smtp_code > 0:  # a server of another protocol sends no code
            return _refusal([error.smtp_code], "refused it")
        case UnicodeError() if not isinstance(error, ssl.SSLError):
            return Undeliverable("user and password must be ASCII")
    return Retry(
        "the certificate is not trusted" if isinstance(error, ssl.SSLCertVerificationError) else type(error).__name__
    )


def _refusal(codes: list[int], what_failed: str) -> SendResult:
    """Retry if any recipient got a temporary 4xx code; 5xx codes alone are permanent."""
    reason = f"{what_failed} ({', '.join(map(str, sorted(set(codes))))})"
    return Retry(reason) if any(400 <= code < 500 for code in codes) else Undeliverable(reason)
