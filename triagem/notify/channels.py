"""Sends one HTTP request, or one alert message through its channel: Slack, a webhook, an e-mail by SMTP, or Apprise.

HTTP requests go only to checked addresses, in bounded time, without following redirects. This module resolves a name
once, checks its addresses and connects to one of them. If an HTTP library resolved the name again, the second answer
could be an unchecked address. TLS still verifies the certificate against the name.
"""

import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from typing import Any, Final

import httpcore2

from triagem.contracts.errors import InvalidInput
from triagem.notify.alert_rendering import AlertMessage, build_email, slack_payload, webhook_event
from triagem.notify.alert_rules import AppriseChannel, Channel, EmailChannel, SlackChannel, WebhookChannel
from triagem.notify.apprise_channel import send_by_apprise
from triagem.notify.hosts import check_address, check_url
from triagem.notify.request import (
    Delivered,
    Request,
    Retry,
    SendResult,
    Undeliverable,
    interpret_response,
    json_request,
    signed_request,
)

Resolve = Callable[[str, int], Sequence[str]]

_MAX_RESPONSE_BYTES: Final = 1_000_000


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the system's order. Raises OSError."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror("not a name that can be resolved") from None
    return [str(address[0]) for *_, address in entries]


_tls: Final = cache(httpcore2.default_ssl_context)


class Sender:
    """Sends requests to allowed hosts. A sender keeps no connection open, so threads may share it.

    Args:
        allowed: `allowed_hosts` of the CRM file.
        timeout_s: limit for a whole request, from connect to the end of the response. For name resolution, the
            timeout of the system's resolver applies instead.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        *,
        timeout_s: float = 10.0,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._timeout_s, self._resolve = tuple(allowed), timeout_s, resolve
        self._tls = tls or _tls()

    def send(self, request: Request) -> SendResult:
        """Send a request once. Raises nothing: every failure is a result."""
        try:
            check_url(request.url, self._allowed, "the address")
            return self._exchange(request)
        except InvalidInput as error:
            return Undeliverable(str(error))
        except (OSError, httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            return Retry(_explain(error))

    def _exchange(self, request: Request) -> SendResult:
        url = httpcore2.URL(request.url)
        network = _CheckedBackend(self._allowed, self._resolve, time.monotonic() + self._timeout_s)
        with (
            closing(
                httpcore2.HTTPConnection(url.origin, ssl_context=self._tls, network_backend=network)
            ) as connection,
            connection.stream(
                request.method, url, headers=list(request.headers.items()), content=request.body
            ) as response,
        ):
            headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
            has_body = request.method == "GET" and response.status < 300
            body = _read(response) if has_body else b""
            return interpret_response(response.status, headers, datetime.now(UTC), body)


def _read(response: httpcore2.Response) -> bytes:
    body = b""
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > _MAX_RESPONSE_BYTES:
            raise InvalidInput(f"the response is larger than {_MAX_RESPONSE_BYTES:,} bytes")
    return body


class _CheckedBackend(httpcore2.NetworkBackend):
    """A network backend that connects only to addresses it has resolved and checked, until a deadline."""

    def __init__(self, allowed: Sequence[str], resolve: Resolve, deadline: float) -> None:
        self._allowed, self._resolve, self._deadline = allowed, resolve, deadline
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline applies
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        addresses = self._resolve(host.strip("[]"), port)
        for address in addresses:
            check_address(address, self._allowed, "the address")
        failure: Exception = httpcore2.ConnectError("no address")
        for address in addresses:
            try:
                stream = self._network.connect_tcp(address, port, _remaining_s(self._deadline))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection with one deadline for all reads and writes: a server that sends slowly cannot extend it."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _remaining_s(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _remaining_s(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _remaining_s(self._deadline))
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining_s(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise httpcore2.ReadTimeout
    return remaining


# Reasons by the class of an error or of its cause, the most specific first.
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (ssl.SSLCertVerificationError, "the certificate is not trusted"),
    (ssl.SSLError, "TLS failed: perhaps the server does not use TLS on this port"),
    (ConnectionRefusedError, "connection refused"),
    (socket.gaierror, "the name of the host cannot be resolved"),
    (TimeoutError, "no answer in time"),
    (httpcore2.TimeoutException, "no answer in time"),
    (httpcore2.ProtocolError, "the server does not answer in HTTP"),
    (smtplib.SMTPServerDisconnected, "the server closed the connection"),
    (ConnectionError, "the server closed the connection"),
)


def _explain(error: Exception) -> str:
    """The reason of a failed connection, in plain words."""
    errors = (error.__cause__ or error.__context__, error)
    reasons = (reason for kind, reason in _REASONS if any(isinstance(error, kind) for error in errors))
    return next(reasons, type(error).__name__)


SendMessage = Callable[[Channel, AlertMessage], SendResult]


def channel_sender(allowed: Sequence[str]) -> SendMessage:
    """A function that sends a message through a channel, by HTTP only to allowed hosts."""
    post = Sender(allowed).send

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

_smtp_tls: Final = cache(ssl.create_default_context)


def send_mail(channel: EmailChannel, mail: EmailMessage, *, tls: ssl.SSLContext | None = None) -> SendResult:
    """Submit an e-mail once. Raises nothing: every failure is a result, which never contains the server's answer.

    Unless the channel's `security` is `none`, the certificate is verified before anything is sent.
    """
    try:
        _submit(channel, mail, tls or _smtp_tls())
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
    return Retry(_explain(error))


def _refusal(codes: list[int], what_failed: str) -> SendResult:
    """Retry if any recipient got a temporary 4xx code; 5xx codes alone are permanent."""
    reason = f"{what_failed} ({', '.join(map(str, sorted(set(codes))))})"
    return Retry(reason) if any(400 <= code < 500 for code in codes) else Undeliverable(reason)
