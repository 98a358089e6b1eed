"""Sending one e-mail: only to a verified server; a failure becomes a send result without secrets."""

import socket
import ssl
import threading
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.mailbox import PASSWORD, USER, Mailbox
from tests.support.tls import HOST, Authority, authority
from triagem.notify.alert_rules import EmailChannel, Security
from triagem.notify.channels import send_mail
from triagem.notify.request import Delivered, Retry, SendResult, Undeliverable


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signed the server's certificate."""
    return authority(tmp_path_factory.mktemp("ca"), "ours")


def server_context(trusted: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusted.ca.issue_cert(HOST).configure_cert(context)
    return context


def client_context(trusted: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(trusted.file))


def mail(*to: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        "triagem@example.com",
        ", ".join(to or ("ana@example.com",)),
        "três",
    )
    message.set_content("dúvida")
    return message


def server(box: Mailbox, security: Security = "none", password: str | None = None) -> EmailChannel:
    login = {"user": USER, "password": password} if password else {}
    address = {"from": "triagem@example.com", "to": ["ana@example.com"], "host": HOST, "port": box.port}
    return EmailChannel.model_validate({"type": "email", "security": security, **address, **login})


def test_an_email_arrives_unchanged() -> None:
    with Mailbox().open() as box:
        assert send_mail(server(box), mail("ana@example.com", "rui@example.com")) == Delivered()
    (received,) = box.received
    assert (received["Subject"], received.get_content().strip()) == ("três", "dúvida")
    assert box.recipients == [["ana@example.com", "rui@example.com"]]


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_credentials_are_sent_to_a_verified_server(security: Security, trusted: Authority) -> None:
    with Mailbox().open(server_context(trusted), implicit=security == "ssl", login=True) as box:
        assert send_mail(server(box, security, PASSWORD), mail(), tls=client_context(trusted)) == Delivered()
    assert len(box.received) == 1


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_server_with_an_untrusted_certificate_gets_no_message(
    security: Security, trusted: Authority, tmp_path: Path
) -> None:
    untrusting = client_context(authority(tmp_path, "theirs"))
    with Mailbox().open(server_context(trusted), implicit=security == "ssl", login=True) as box:
        outcome = send_mail(server(box, security, PASSWORD), mail(), tls=untrusting)
    assert outcome == Retry("the certificate is not trusted")
    assert box.received == []


def test_without_starttls_nothing_is_sent_in_plain_text() -> None:
    with Mailbox().open() as box:
        outcome = send_mail(server(box, "starttls", PASSWORD), mail())
    assert isinstance(outcome, Undeliverable)
    assert box.received == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("451 try later", Retry("refused it (451)")),
        ("552 dúvida is too long".encode("ascii", "replace").decode(), Undeliverable("refused it (552)")),
    ],
)
def test_the_servers_reply_is_interpreted_by_its_code(reply: str, expected: SendResult) -> None:
    with Mailbox().open() as box:
        box.next_responses = [reply]
        assert send_mail(server(box), mail()) == expected


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        (["550 no such user"], Undeliverable("refused all recipients (550)")),
        (["550 no such user", "450 greylisted"], Retry("refused all recipients (450, 550)")),
        (["550 no such user", None], Delivered()),
    ],
)
def test_refused_recipients(replies: list[str | None], expected: SendResult) -> None:
    addresses = [f"{number}@example.com" for number in range(len(replies))]
    with Mailbox().open() as box:
        box.refused_recipients = {address: reply for address, reply in zip(addresses, replies, strict=True) if reply}
        assert send_mail(server(box), mail(*addresses)) == expected


def test_a_wrong_password_is_final_and_not_shown(trusted: Authority) -> None:
    with Mailbox().open(server_context(trusted), login=True) as box:
        outcome = send_mail(server(box, "starttls", "wrong-password"), mail(), tls=client_context(trusted))
    assert outcome == Undeliverable("refused user or password (535)")


def test_a_refused_connection_is_retried() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        box = Mailbox()
        box.port = free.getsockname()[1]
        assert send_mail(server(box), mail()) == Retry("connection refused")


def test_a_server_that_does_not_speak_smtp_is_retried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        box = Mailbox()
        box.port = listener.getsockname()[1]

        def respond() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=respond, daemon=True).start()
        assert isinstance(send_mail(server(box), mail()), Retry)
