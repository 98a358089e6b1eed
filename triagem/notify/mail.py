"""Sends one e-mail by SMTP and returns the result."""

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from functools import cache
from typing import Final

from triagem.notify.alert_rules import EmailChannel
from triagem.notify.request import Delivered, Retry, SendResult, Undeliverable

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
