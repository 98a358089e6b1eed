"""One e-mail: to a server whose certificate was verified, and what goes wrong is a verdict that says no secret."""

import socket
import ssl
import threading
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.mailbox import PASSWORD, USER, Mailbox
from tests.support.tls import HOST, Authority, authority
from triagem.outgoing import Again, Delivered, GiveUp, Verdict
from triagem.outgoing.mail import MailServer, Security, send_mail


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signed the server's certificate."""
    return authority(tmp_path_factory.mktemp("ca"), "ours")


def of_server(ours: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.ca.issue_cert(HOST).configure_cert(context)
    return context


def of_client(ours: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ours.file))


def mail(*to: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "triagem@example.com", ", ".join(to or ("ana@example.com",)), "três"
    made.set_content("dúvida")
    return made


def server(box: Mailbox, security: Security = "none", password: str | None = None) -> MailServer:
    return MailServer(HOST, box.port, security, USER if password else None, password)


def test_an_email_arrives_as_it_is() -> None:
    with Mailbox().open() as box:
        assert send_mail(server(box), mail("ana@example.com", "rui@example.com")) == Delivered()
    (came,) = box.came
    assert (came["Subject"], came.get_content().strip()) == ("três", "dúvida")
    assert box.recipients == [["ana@example.com", "rui@example.com"]]


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_user_and_password_travel_behind_a_verified_certificate(security: Security, ours: Authority) -> None:
    with Mailbox().open(of_server(ours), implicit=security == "ssl", login=True) as box:
        assert send_mail(server(box, security, PASSWORD), mail(), tls=of_client(ours)) == Delivered()
    assert len(box.came) == 1


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_certificate_of_somebody_else_is_not_spoken_to(security: Security, ours: Authority, tmp_path: Path) -> None:
    theirs = of_client(authority(tmp_path, "theirs"))
    with Mailbox().open(of_server(ours), implicit=security == "ssl", login=True) as box:
        found = send_mail(server(box, security, PASSWORD), mail(), tls=theirs)
    assert found == Again("the certificate is not trusted")
    assert box.came == []


def test_without_starttls_nothing_is_said_in_the_clear() -> None:
    with Mailbox().open() as box:
        found = send_mail(server(box, "starttls", PASSWORD), mail())
    assert isinstance(found, GiveUp)
    assert box.came == []


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("451 try later", Again("refused it (451)")),
        ("552 dúvida is too long".encode("ascii", "replace").decode(), GiveUp("refused it (552)")),
    ],
)
def test_what_the_server_says_is_judged_by_its_code(said: str, verdict: Verdict) -> None:
    with Mailbox().open() as box:
        box.first = [said]
        assert send_mail(server(box), mail()) == verdict


@pytest.mark.parametrize(
    ("refused", "verdict"),
    [
        (["550 no such user"], GiveUp("refused all recipients (550)")),
        (["550 no such user", "450 greylisted"], Again("refused all recipients (450, 550)")),
        (["550 no such user", None], Delivered()),
    ],
)
def test_recipients_that_are_refused(refused: list[str | None], verdict: Verdict) -> None:
    people = [f"{number}@example.com" for number in range(len(refused))]
    with Mailbox().open() as box:
        box.refuses = {one: said for one, said in zip(people, refused, strict=True) if said}
        assert send_mail(server(box), mail(*people)) == verdict


def test_a_wrong_password_is_given_up_and_not_said(ours: Authority) -> None:
    with Mailbox().open(of_server(ours), login=True) as box:
        found = send_mail(server(box, "starttls", "wrong-password"), mail(), tls=of_client(ours))
    assert found == GiveUp("refused user or password (535)")


def test_nobody_there_is_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        box = Mailbox()
        box.port = free.getsockname()[1]
        assert send_mail(server(box), mail()) == Again("ConnectionRefusedError")


def test_who_speaks_no_smtp_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        box = Mailbox()
        box.port = listener.getsockname()[1]

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert isinstance(send_mail(MailServer("127.0.0.1", box.port, "none"), mail()), Again)
