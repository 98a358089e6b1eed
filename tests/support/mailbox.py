"""A real SMTP server that stores messages and sends scripted replies."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Final, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER: Final = "triagem"
PASSWORD: Final = "mail-password"
OK: Final = "250 OK"


class Mailbox:
    """Replies with `next_responses` first, then accepts. `received` has every message, including refused ones."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.next_responses: list[str] = []
        self.refused_recipients: dict[str, str] = {}
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.refused_recipients.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.received.append(message_from_bytes(cast("bytes", envelope.content), policy=default))
        self.recipients.append(envelope.rcpt_tos)
        return self.next_responses.pop(0) if self.next_responses else OK

    @contextmanager
    def open(
        self, tls: ssl.SSLContext | None = None, *, implicit: bool = False, login: bool = False
    ) -> Iterator["Mailbox"]:
        """Listen until the context ends: with STARTTLS, or `implicit` TLS, if a TLS context is given."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        options: dict[str, Any] = {"ssl_context": tls} if implicit else {"tls_context": tls}
        if login:
            options |= {
                "authenticator": _authenticate,
                "auth_required": True,
                "auth_require_tls": tls is not None and not implicit,
            }
        controller = Controller(self, hostname="localhost", port=self.port, **options)
        controller.start()
        try:
            yield self
        finally:
            controller.stop()


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    valid = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=valid, handled=False)
