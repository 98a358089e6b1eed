"""A real SMTP server that keeps what it takes, and answers as told."""

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
FINE: Final = "250 OK"


class Mailbox:
    """`first` are the first answers to a message; then it takes them. `came` is what came, also what was refused."""

    def __init__(self) -> None:
        self.came: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.first: list[str] = []
        self.refuses: dict[str, str] = {}
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.refuses.get(address):
            return said
        envelope.rcpt_tos.append(address)
        return FINE

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.came.append(message_from_bytes(cast("bytes", envelope.content), policy=default))
        self.recipients.append(envelope.rcpt_tos)
        return self.first.pop(0) if self.first else FINE

    @contextmanager
    def open(
        self, tls: ssl.SSLContext | None = None, *, implicit: bool = False, login: bool = False
    ) -> Iterator["Mailbox"]:
        """Listens until the end: with STARTTLS or, `implicit`, TLS from the start, if a context is given."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        options: dict[str, Any] = {"ssl_context": tls} if implicit else {"tls_context": tls}
        if login:
            options |= {
                "authenticator": _known,
                "auth_required": True,
                "auth_require_tls": tls is not None and not implicit,
            }
        controller = Controller(self, hostname="localhost", port=self.port, **options)
        controller.start()
        try:
            yield self
        finally:
            controller.stop()


def _known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)
