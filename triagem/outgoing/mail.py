"""Send one e-mail by SMTP, and say what became of it, as `triagem.outgoing.send` does of a request."""

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cache
from typing import Final, Literal

from triagem.outgoing.request import Again, Delivered, GiveUp, Verdict

Security = Literal["starttls", "ssl", "none"]

_TIMEOUT_S: Final = 10.0  # for each step of the dialogue; a delivery's lease is for all of them

_tls: Final = cache(ssl.create_default_context)


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mail is handed in. Nothing is said before the server's certificate was verified, but with `none`."""

    host: str
    port: int
    security: Security
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def send_mail(server: MailServer, mail: EmailMessage, *, tls: ssl.SSLContext | None = None) -> Verdict:
    """Hand it in once. Raises nothing: whatever goes wrong is a verdict, and no verdict holds what a server said."""
    try:
        _dialogue(server, mail, tls or _tls())
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        return _verdict(error)
    return Delivered()


def _dialogue(server: MailServer, mail: EmailMessage, tls: ssl.SSLContext) -> None:
    at = (server.host, server.port)
    made = (
        smtplib.SMTP_SSL(*at, timeout=_TIMEOUT_S, context=tls)
        if server.security == "ssl"
        else smtplib.SMTP(*at, timeout=_TIMEOUT_S)
    )
    try:
        if server.security == "starttls":
            made.starttls(context=tls)
        if server.user is not None:
            made.login(server.user, server.password or "")
        # A recipient that is refused beside others is the server's to report: it tells whom the mail is from.
        made.send_message(mail)
        # It has the mail: what goes wrong in parting must not send it again.
        with suppress(OSError, smtplib.SMTPException):
            made.quit()
    finally:
        made.close()


def _verdict(error: Exception) -> Verdict:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return _judged([code for code, _ in error.recipients.values()], "refused all recipients")
        case smtplib.SMTPNotSupportedError():
            return GiveUp("the server offers no STARTTLS, or no login")
        case smtplib.SMTPAuthenticationError():
            return _judged([error.smtp_code], "refused user or password")
        case smtplib.SMTPResponseException() if error.smtp_code > 0:  # what is no SMTP server has none
            return _judged([error.smtp_code], "refused it")
        case UnicodeError() if not isinstance(error, ssl.SSLError):
            return GiveUp("user and password must be ASCII")
    return Again(
        "the certificate is not trusted" if isinstance(error, ssl.SSLCertVerificationError) else type(error).__name__
    )


def _judged(codes: list[int], what: str) -> Verdict:
    """4xx is "not now", for any of them; 5xx is "never"."""
    reason = f"{what} ({', '.join(map(str, sorted(set(codes))))})"
    return Again(reason) if any(400 <= code < 500 for code in codes) else GiveUp(reason)
