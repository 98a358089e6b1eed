"""The pre-flight page: a file is uploaded, rated by a job, and deleted; only administrators see the figures."""

import re
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.console import Person
from tests.support.gateway import services
from tests.support.rows import texts
from tests.support.windows import rows
from triagem.db import Database, training_jobs
from triagem.db.auth import Scope
from triagem.db.training_jobs import JobKind
from triagem.db.uploads import finish_upload, store_upload, sweep_uploads
from triagem.gateway.services import Services
from triagem.inbox import Inbox
from triagem.registry import Registry
from triagem.trainer.jobs.run import run_job
from triagem.trainer.settings import TrainerSettings

OPTIONS = {"label_column": "Grupo", "label_map": "N1=suporte,Comercial=venda", "by": "canal"}


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models)


@pytest.fixture
def admin(opened: Services) -> Person:
    return Person(opened, Scope.ADMIN)


def export() -> bytes:
    """Sixty closed tickets; one of them has the label of the others' texts."""
    words = {"N1": "a internet caiu e o modem pisca", "Comercial": "quero contratar o plano e saber o valor"}
    different = enumerate(texts(30))
    lines = [f"{n},{words[group]} {text},{group},web" for n, text in different for group in words]
    wrong = "99,quero contratar o plano Zuleide & filhos e saber o valor 5,N1,chat"
    return "\n".join(["id,mensagem,Grupo,canal", *lines, wrong]).encode()


def upload(person: Person, content: bytes, **fields: str) -> str:
    token = re.search(r'name="token" value="(\w+)"', person.see("preflight"))
    assert token
    answer = person.http.post(
        "/console/preflight/upload",
        data={"token": token[1], **fields},
        files={"file": ("fechados.csv", content, "text/csv")},
    )
    assert answer.status_code == 200, answer.text
    return answer.text


def run_next(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the requested job, with TF-IDF in place of a base model."""
    monkeypatch.setattr("triagem.trainer.active.export.installed_bases", list)
    job = training_jobs.claim(database, "trainer", lease_s=60)
    assert job
    run_job(database, Registry(folder), TrainerSettings(), job.id, "trainer")


def test_an_uploaded_export_is_rated_and_deleted(
    admin: Person, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "waits for <code>triagem trainer" not in admin.see("preflight")
    assert "waits for" in upload(admin, export(), **OPTIONS)
    assert [bytes(row["content"]) for row in rows(database, "uploads")] == [export()]

    run_next(database, tmp_path, monkeypatch)
    page = admin.see("preflight")

    assert [row["content"] for row in rows(database, "uploads")] == [None]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
    for part in ("label suporte", "label venda", "canal chat", "canal web"):
        assert f"<td>{part}</td>" in page
    assert ">fechados.csv:62<" in page
    assert "Zuleide &amp; filhos" in page
    assert re.search(r"200 more labels would bring about \d+\.\d% accuracy", page)
    assert rows(database, "tickets") == []
    unreviewed = "Once automated, nobody would review them."
    assert re.search(r"not reached: \d\d of the \d\d most confident texts are right", page)
    assert "rows: 61, different texts: 61 (near-duplicates count as one)" in page
    assert "text = mensagem, label = Grupo; ignored columns: id<" in page
    assert "texto = mensagem, categoria = Grupo; colunas ignoradas: id<" in admin.see("preflight", lang="pt")
    assert unreviewed not in page
    (stored,) = rows(database, "uploads")
    stored["result"]["promises"][0]["share"] = 0.5
    finish_upload(database, stored["id"], stored["result"])
    assert unreviewed in admin.see("preflight", lang="en")

    assert "were deleted" in admin.send("preflight", page)
    assert rows(database, "uploads") == []
    assert "The estimate was deleted" in admin.see("preflight")


def test_without_a_label_column_the_reason_of_a_failure_is_shown_and_the_file_is_deleted(
    admin: Person, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(admin, b"id,mensagem\n1,oi\n", by="loja")

    run_next(database, tmp_path, monkeypatch)

    assert "the file has no such column" in admin.see("preflight")
    assert rows(database, "uploads") == []


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"Protocolo,Assunto\n1,oi\n", {}),
        (b"id,texto,fila\n1,oi,N1\n2,olhe,N2\n", {"label_column": "fila", "label_map": "N1=suporte"}),
    ],
)
def test_an_error_names_the_persons_file(
    admin: Person,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    content: bytes,
    options: dict[str, str],
) -> None:
    upload(admin, content, **options)

    run_next(database, tmp_path, monkeypatch)
    page = admin.see("preflight")

    assert "fechados.csv" in page
    assert "export.csv" not in page
    assert str(tmp_path) not in page


def test_a_second_file_waits_until_the_first_is_rated_or_deleted(admin: Person, database: Database) -> None:
    upload(admin, export())
    assert "An estimate is still being computed" in upload(admin, b"other")
    assert len(rows(database, "uploads")) == 1

    admin.send("preflight", admin.see("preflight"))

    assert training_jobs.find_active(database, JobKind.PREFLIGHT) is None
    assert rows(database, "uploads") == []


def test_files_of_ended_jobs_and_old_figures_are_swept(database: Database) -> None:
    kept, ended, old, new = (store_upload(database, name, b"x") for name in ("kept", "ended", "old", "new"))
    training_jobs.request(database, JobKind.PREFLIGHT, requested_by="ana", parameters={"upload": kept})
    with database.autocommit() as connection:
        connection.execute(
            text("UPDATE uploads SET uploaded_at = now() - interval '2 hours' WHERE id <> :new"), {"new": new}
        )
        connection.execute(text("UPDATE uploads SET content = NULL, result = '{}' WHERE id = :old"), {"old": old})
    assert ended

    sweep_uploads(database)

    assert {row["name"] for row in rows(database, "uploads")} == {"kept", "new"}


def test_only_an_administrator_uploads_and_sees_figures(opened: Services) -> None:
    reviewer = Person(opened, Scope.READ, Scope.REVIEW)

    assert reviewer.http.get("/console/preflight").status_code == 403
    assert "/console/preflight" not in reviewer.see("start")


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        (export(), {"label_column": "nada"}, "o arquivo não tem a coluna 'nada', só id, mensagem, Grupo, canal"),
        (b"id,texto,fila\n1,oi,N1\n2,olhe,\n", {"label_column": "fila"}, "fechados.csv:3: a coluna fila está vazia<"),
        (b"id,texto,fila\n1,oi,N1\n2,,N2\n", {"label_column": "fila"}, "fechados.csv:3: a coluna texto está vazia<"),
        (
            b"1,25/11/2026,oi\n2,26/11/2026,olhe\n",
            {},
            ("se isso não é um cabeçalho, acrescente um; senão, use estes nomes de coluna: text, label<"),
        ),
        (
            b"id,mensagem\n1,oi\n",
            {},
            "o arquivo não tem coluna de categoria e ainda não há modelo: indique em “Coluna da categoria” a coluna",
        ),
    ],
)
def test_an_error_names_no_option_of_the_command(
    admin: Person,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    content: bytes,
    options: dict[str, str],
    error: str,
) -> None:
    upload(admin, content, **options)
    run_next(database, tmp_path, monkeypatch)

    for path in ("preflight", "models"):
        page = unescape(admin.see(path, lang="pt"))
        assert error in page
        assert not re.search("--|triagem train", page.partition("<main")[2])
    assert "avaliando" not in page


def test_after_a_failure_the_form_keeps_what_was_typed(
    admin: Person, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(admin, export(), **(OPTIONS | {"by": "nada"}))
    run_next(database, tmp_path, monkeypatch)

    page = admin.see("preflight")

    assert [name for name in ("Grupo", OPTIONS["label_map"], "nada") if f'value="{name}"' not in page] == []
