"""The command line: output, exit status, and one line for each user error."""

import io
import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from prometheus_client import REGISTRY
from typer.main import get_command

from tests.support.builders import manifest, ticket
from tests.support.command import Triagem, assert_one_line
from tests.support.engines import NoopModel
from tests.support.pipeline import running, stored
from tests.support.results import result
from tests.support.waiting import until
from triagem import Publisher
from triagem.cli.main import application
from triagem.cli.output import SafeConsole
from triagem.contracts.errors import DatabaseUnavailable
from triagem.contracts.prediction import Thresholds
from triagem.contracts.result import ResultPage
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.model_versions import record_version
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.queries import Filters, list_results
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.stack import Endpoints

EXPORT = "id;subject;body;created_at\n1;Fatura;cobrado duas vezes;2026-09-01T10:00:00-03:00\n2;;quero um plano;\n"


def test_enqueue_reads_a_csv_with_another_separator_and_prints_the_mapping(triagem: Triagem, inbox: Inbox) -> None:
    Path("export.csv").write_text("\ufeff" + EXPORT, encoding="utf-8")
    answer = triagem("enqueue", "export.csv", "--source", "crm")
    assert answer.status == 0
    assert "2 accepted" in answer.out
    assert "text = subject + body" in answer.out
    assert inbox.depth(Lane.BULK).waiting == 2


def test_a_bad_line_never_stops_a_file_and_is_named(triagem: Triagem, inbox: Inbox) -> None:
    lines = [
        b'{"external_id": "1", "text": "ok"}',
        b'{"external_id": "2", "text": "  "}',
        '{"external_id": "é", "text": "à'.encode() + b'caf\xe9"}',
        b'{"external_id": "4", "text": "x", "revised_at": "tomorrow"}',
        b'{"external_id": "4", "text": "x", "revised_at": "2026-01-01T00:00:00"}',
        b'{"external_id": "5"',
        b'{"external_id": 6, "text": "number as id"}',
    ]
    Path("t.jsonl").write_bytes(b"\n".join(lines))
    answer = triagem("enqueue", "t.jsonl", "--json")
    summary = json.loads(answer.out)
    assert answer.status == 3
    assert summary["accepted"] == 3
    assert [bad["line"] for bad in summary["rejected"]] == [2, 3, 4, 6]
    assert "UTF-8" in summary["rejected"][1]["reason"]
    assert inbox.depth(Lane.BULK).waiting == 3


def test_rejected_rows_of_a_parquet_file_are_kept_as_json_lines(triagem: Triagem, inbox: Inbox) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["oi", None], "plano": ["é", "á"]}), "t.parquet")
    answer = triagem("enqueue", "t.parquet", "--rejects", "bad.jsonl")

    assert (answer.status, inbox.depth(Lane.BULK).waiting) == (3, 1)
    assert Path("bad.jsonl").read_text(encoding="utf-8") == '{"id": 2, "text": null, "plano": "á"}\n'


def test_parquet_from_standard_input_is_read(triagem: Triagem, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["oi", "quero um plano"]}), out)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out.getvalue())))

    answer = triagem("enqueue", "-")

    assert "2 rows of Parquet" in answer.out
    assert inbox.depth(Lane.BULK).waiting == 2


@pytest.mark.parametrize("command", ["results", "audit", "dead list"])
def test_json_and_another_format_are_refused(triagem: Triagem, database: Database, command: str) -> None:
    for options in (("--json", "--format", "csv"), ("--format", "csv", "--json")):
        answer = triagem(*command.split(), *options)
        assert (answer.status, answer.out) == (2, "")
        assert "leave one of --json and --format csv out" in answer.err
    assert triagem(*command.split(), "--json", "--format", "json").status == 0


@pytest.mark.parametrize(
    ("command", "types"),
    [
        ("results", {"confidence": "double", "reviewer": "string", "received_at": "timestamp[us, tz=UTC]"}),
        ("results --changed-since start", {"unclear": "bool", "forgotten": "bool"}),
        ("audit", {"at": "timestamp[us, tz=UTC]", "actor": "string"}),
        ("alerts list", {"created_at": "timestamp[us, tz=UTC]", "confidence": "double", "summary": "string"}),
        ("deliveries list", {"id": "int64", "next_at": "timestamp[us, tz=UTC]", "state": "string"}),
        ("dead list", {"size": "int64", "lane": "string"}),
        ("labels list", {"retired_at": "timestamp[us, tz=UTC]"}),
        ("models list", {"training_started": "timestamp[us, tz=UTC]", "texts": "int64", "accuracy": "double"}),
    ],
)
def test_a_parquet_table_has_types_without_rows_too(
    triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch, command: str, types: dict[str, str]
) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)

    assert triagem(*command.split(), "--format", "parquet").status == 0

    written = pyarrow.parquet.read_schema(io.BytesIO(out.buffer.getvalue()))
    assert {name: str(written.field(name).type) for name in types} == types
    assert "null" not in map(str, written.types)


def test_a_dry_run_shows_tickets_and_problems_and_needs_no_server(bare: Triagem) -> None:
    Path("export.csv").write_text(
        "Protocolo;Assunto;Descrição;Criado em\n1;Fatura;não chegou;31/12/2025 14:05\n2;;;\n", encoding="cp1252"
    )
    answer = bare("enqueue", "export.csv", "--source", "crm", "--timezone", "America/Sao_Paulo", "--dry-run")
    assert answer.status == 3
    assert "2 rows of CSV separated by semicolons, cp1252" in answer.out
    assert "day first" in answer.out
    assert "line 2: crm 1, 2025-12-31 17:05 UTC: Fatura não chegou" in answer.out
    assert "1 would be accepted" in answer.out
    assert "line 3: text" in answer.out


def test_rejected_rows_are_written_unchanged_to_be_corrected(triagem: Triagem, inbox: Inbox) -> None:
    content = 'sep=;\r\nid;text\r\n1;ação\r\n2;" "\r\n3;"aberta\r\n4;é\r\n'.encode("cp1252")
    Path("export.csv").write_bytes(content)
    assert triagem("enqueue", "export.csv", "--rejects", "tried.csv", "--dry-run").status == 3
    assert inbox.depth(Lane.BULK).waiting == 0
    assert triagem("enqueue", "export.csv", "--rejects", "bad.csv").status == 3
    assert Path("tried.csv").read_bytes() == Path("bad.csv").read_bytes()
    assert Path("bad.csv").read_bytes() == 'sep=;\r\nid;text\r\n2;" "\r\n3;"aberta\r\n'.encode("cp1252")
    assert inbox.depth(Lane.BULK).waiting == 2


def test_strict_stops_at_the_first_bad_line(triagem: Triagem) -> None:
    Path("t.jsonl").write_text('{"external_id": "1", "text": "ok"}\nnonsense\n', encoding="utf-8")
    assert_one_line(triagem("enqueue", "t.jsonl", "--strict"), "line 2", "1 records before it were accepted")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("enqueue", "absent.csv"), "no such file"),
        (("enqueue", "."), "is a directory"),
        (("enqueue", "empty.jsonl"), "is empty"),
        (("enqueue", "array.json"), "one JSON object a line"),
        (("enqueue", "export.csv", "--map", "text=nope"), "no column 'nope'"),
        (("show", "crm", "nobody"), "no ticket 'nobody'"),
        (("results", "--since", "yesterday"), "--since"),
        (("alerts", "list", "--kind", "drfit"), "--kind 'drfit': expected one of calibration, drift, "),
        (("results", "--after", "x"), "after: not a cursor from an earlier page"),
        (("models", "show", "v9.9.9"), "no model version v9.9.9"),
        (("models", "promote", "../../etc"), "is not a version name"),
        (("classify", " "), "empty"),
        (("classify", "absent.txt"), "absent.txt: no such file"),
    ],
)
def test_a_user_error_gets_one_line_and_exit_status_1(
    triagem: Triagem, arguments: tuple[str, ...], message: str
) -> None:
    Path("empty.jsonl").touch()
    Path("array.json").write_text("[{}]", encoding="utf-8")
    Path("export.csv").write_text(EXPORT, encoding="utf-8")
    assert_one_line(triagem(*arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("enqueue", "x.csv", "--lane", "express"), "Invalid value for '--lane': 'express' is not one of 'live', "),
        (("results", "--limit", "many"), "Invalid value for '--limit': must be a whole number, not 'many'"),
        (("dead", "list", "--limit", "0"), "Invalid value for '--limit': must be at least 1, not '0'"),
        (("jobs", "show", "x"), "Invalid value for 'ID': must be a whole number, not 'x'"),
        (("keys", "create", "x", "--scope", "a\x1b[2J"), "Invalid value for '--scope': 'a\\x1b[2J' is not one of"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_in_plain_words(
    bare: Triagem, arguments: tuple[str, ...], message: str
) -> None:
    answer = bare(*arguments)

    assert answer.status == 2
    assert message in answer.err


def test_the_source_of_a_file_without_one_is_named(triagem: Triagem) -> None:
    Path("t.jsonl").write_text('{"external_id": "1", "text": "ok"}\n', encoding="utf-8")
    answer = triagem("enqueue", "t.jsonl")
    assert answer.out.startswith("1 row of JSON lines")
    assert "fields: source = 'import' (--source), external_id" in answer.out
    assert "fields: source = 'zendesk' (--source), " in triagem("enqueue", "t.jsonl", "--source", "zendesk").out


def test_filters_that_match_no_result_are_named(triagem: Triagem, database: Database) -> None:
    assert "no result matches these filters" in triagem("results", "--label", "vendas").err
    assert "`triagem status`" in triagem("results").err


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("alerts", "list"), "no undelivered alerts"),
        (("audit",), "no entries"),
        (("dead", "list"), "no dead letters"),
        (("deliveries", "list"), "no deliveries"),
        (("jobs", "list"), "no jobs: `triagem retrain` and `triagem train --queue` request one"),
        (("keys", "list"), "no keys: create one with `triagem keys create NAME --scope enqueue`"),
        (("labels", "list"), "no labels: "),
    ],
)
def test_an_empty_list_is_one_line_without_a_header(triagem: Triagem, command: tuple[str, ...], line: str) -> None:
    answer = triagem(*command)

    assert (answer.status, answer.out) == (0, "")
    assert answer.err.startswith(line)
    assert answer.err.count("\n") == 1
    assert triagem(*command, "--json").out == "[]\n"


def test_without_servers_a_command_names_the_setting_and_triagem_up(bare: Triagem) -> None:
    Path("t.jsonl").write_text('{"external_id": "1", "text": "ok"}\n', encoding="utf-8")
    assert_one_line(bare("enqueue", "t.jsonl"), "TRIAGEM_REDIS_URL", "triagem up")
    assert_one_line(bare("results"), "TRIAGEM_DATABASE_URL", "triagem up")


@pytest.mark.parametrize(
    ("setting", "command", "message"),
    [
        (("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0"), "backlog", "or correct TRIAGEM_REDIS_URL"),
        (("TRIAGEM_REDIS_URL", "nonsense"), "backlog", "TRIAGEM_REDIS_URL"),
        (
            ("TRIAGEM_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x"),
            "results",
            "`triagem doctor` shows the address",
        ),
        (("TRIAGEM_DATABASE_URL", "mysql://u:secret@127.0.0.1/x"), "results", "TRIAGEM_DATABASE_URL"),
        (("TRIAGEM_LIVE_HIGH_WATER", "many"), "backlog", "TRIAGEM_LIVE_HIGH_WATER"),
    ],
)
def test_a_wrong_setting_is_named_and_no_password_is_printed(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str], command: str, message: str
) -> None:
    monkeypatch.setenv(*setting)
    answer = triagem(command)
    assert_one_line(answer, message)
    assert "secret" not in answer.out + answer.err


@pytest.mark.parametrize("variable", ["TRIAGEM_REDIS_URL", "TRIAGEM_DATABASE_URL"])
def test_a_wrong_password_is_distinguished_from_an_outage(
    triagem: Triagem, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    url = endpoints.redis_url if "REDIS" in variable else endpoints.database_url
    user, _, host = url.rpartition("@")
    monkeypatch.setenv(variable, f"{user.rpartition(':')[0]}:wrong@{host}")
    assert_one_line(triagem("backlog" if "REDIS" in variable else "results"), "password", variable)


def test_results_pages_by_cursor_and_shows_a_ticket_with_its_history(
    triagem: Triagem, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    Publisher(inbox).publish_many(
        [{"source": "crm", "external_id": str(number), "text": f"um texto {number}"} for number in range(5)]
    )
    with running(endpoints, instant_models):
        until(lambda: stored(database) == 5)
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = json.loads(triagem("results", "--limit", "2", "--format", "json", *after).out)
        seen += [row["external_id"] for row in page["results"]]
        if page["after"] is None:
            break
        after = ["--after", page["after"]]
    assert sorted(seen) == ["0", "1", "2", "3", "4"]
    shown = json.loads(triagem("show", "crm", "3", "--json").out)
    assert shown["ticket"]["text"] == "um texto 3"
    assert [row["model_version"] for row in shown["history"]] == ["v1.0.0"]
    assert (
        triagem("results", "--format", "csv")
        .out.removeprefix("\ufeff")
        .startswith("ticket_id,source,external_id,label")
    )
    assert "um texto 3" in triagem("show", "crm", "3").out
    record_version(database, "v1.0.0", manifest_digest=b"", created_at=datetime.now(UTC), labels=["venda"])
    for name, value, known in (("label", "vendas", "venda"), ("source", "CRM", "crm"), ("model", "1.0.0", "v1.0.0")):
        hint = triagem("results", f"--{name}", value).err
        assert f"no result matches these filters; --{name} {value!r} is unknown, known: " in hint
        assert known in hint.split("known: ")[1]
    hint = triagem("results", "--since", "2026-12-02", "--until", "2026-12-01").err
    assert hint == "no result matches these filters; --since is not before --until\n"


def test_on_a_narrow_terminal_results_have_fewer_columns(
    triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_window(database, [result("4711")])
    screen = SafeConsole(file=io.StringIO(), width=80, force_terminal=True)
    monkeypatch.setattr("triagem.cli.commands.results.console", screen)

    header = triagem("results").out.splitlines()[0]

    assert "received at" in header
    assert "model version" not in header


def test_a_file_of_results_has_all_rows_unless_a_limit_is_given(triagem: Triagem, database: Database) -> None:
    write_window(database, [result(str(number)) for number in range(60)])

    assert len(triagem("results").out.splitlines()) == 51
    assert len(triagem("results", "--format", "csv").out.splitlines()) == 61
    limited = triagem("results", "--format", "csv", "--limit", "55")
    assert len(limited.out.splitlines()) == 56
    assert limited.err.startswith("incomplete: there are more rows; next page: --after ")


def test_a_file_of_results_is_written_while_they_are_read(
    triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_window(database, [result("1")])

    def interrupted(*_: object, **__: object) -> Iterator[ResultPage]:
        yield list_results(database, Filters(), limit=1)
        raise DatabaseUnavailable("Postgres does not answer")

    monkeypatch.setattr("triagem.cli.commands.results.result_pages", interrupted)
    answer = triagem("results", "--format", "csv")

    assert answer.status == 1
    assert len(answer.out.splitlines()) == 2


def test_show_finds_a_ticket_that_waits_or_failed(
    triagem: Triagem, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    Publisher(inbox).publish(source="crm", external_id="77", text="a")
    insert_dead_letter(database, Lane.LIVE, b"1-0", encode(ticket(external_id="4711")), "the model failed")

    assert_one_line(triagem("show", "crm", "77"), "it has been waiting in the inbox since")
    assert_one_line(triagem("show", "zendesk", "4711"), "could not be processed: `triagem dead show ")
    monkeypatch.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")
    assert_one_line(triagem("show", "crm", "77"), "may wait in the inbox: `triagem backlog`")


def test_an_automatic_message_gets_no_decision_and_its_text_stays_whole(
    triagem: Triagem, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    texts = {
        "request": "Boleto\nNão chegou o boleto.\n\nAtt,\nAna Lima",
        "reply": "Automatic reply: Boleto\nI am out of the office.",
    }
    Publisher(inbox).publish_many([{"source": "crm", "external_id": name, "text": texts[name]} for name in texts])
    with running(endpoints, instant_models):
        until(lambda: stored(database) == 2)
    shown = {name: json.loads(triagem("show", "crm", name, "--json").out)["ticket"] for name in texts}
    assert shown["reply"]["band"] == "abstain"
    assert shown["request"]["band"] != "abstain"
    assert {name: shown[name]["text"] for name in texts} == texts
    cleaned = triagem("show", "crm", "request", "--cleaned").out
    assert cleaned.startswith("Boleto Não chegou o boleto.\n")
    assert "Ana Lima" not in cleaned


def test_a_message_in_a_language_that_the_model_did_not_learn_gets_no_decision(
    triagem: Triagem, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    texts = {"pt": "minha internet caiu de novo e ninguém atende", "es": "no puedo entrar a mi cuenta", "und": "4711"}
    thresholds = Thresholds(languages=("en", "pt"), other_language=0.95)
    counted = {language: languages_counted(language) for language in texts}
    Publisher(inbox).publish_many([{"source": "crm", "external_id": name, "text": texts[name]} for name in texts])
    with running(endpoints, instant_models, lambda _: NoopModel(manifest(version="v1.0.0", thresholds=thresholds))):
        until(lambda: stored(database) == 3)
        until(lambda: all(languages_counted(language) == counted[language] + 1 for language in texts))

    rows = {row["external_id"]: row for row in json.loads(triagem("results", "--format", "json").out)["results"]}

    assert {name: row["language"] for name, row in rows.items()} == {name: name for name in texts}
    assert {name for name, row in rows.items() if row["band"] == "abstain"} == {"es", "und"}
    assert (rows["es"]["abstain_reason"], rows["pt"]["abstain_reason"]) == ("other-language", None)
    assert "no decision: other-language" in triagem("show", "crm", "es").out
    spanish = json.loads(triagem("results", "--language", "ES", "--format", "json").out)["results"]
    assert [row["external_id"] for row in spanish] == ["es"]


def languages_counted(language: str) -> float:
    """The worker's count of committed tickets in this language."""
    return REGISTRY.get_sample_value("triagem_languages_total", {"language": language}) or 0.0


def test_backlog_counts_waiting_tickets(triagem: Triagem, inbox: Inbox) -> None:
    Publisher(inbox).publish_many([{"source": "crm", "external_id": str(number), "text": "x"} for number in range(3)])
    answer = json.loads(triagem("backlog", "--json").out)
    assert answer["lanes"]["live"]["waiting"] == 3
    assert (answer["workers"], answer["paused"]) == (0, False)
    triagem("pause")
    assert "paused" in triagem("backlog").out
    triagem("resume")
    assert "paused" not in triagem("backlog").out


def test_models_lists_promotes_and_rolls_back_versions(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, instant_models: Path
) -> None:
    shutil.copytree(instant_models, "mine")
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "mine")
    by_force = ("--force", "--reason", "they answer at once")
    assert "v1.1.0 is current (epoch 2), by force\n" in triagem("models", "promote", "v1.1.0", *by_force).out
    apply = "stored results stay; to change them back: `triagem reclassify apply --model v1.0.0`"
    assert triagem("models", "rollback").out == f"v1.0.0 is current (epoch 3)\n{apply}\n"
    listed = json.loads(triagem("models", "list", "--format", "json").out)
    assert [(row["version"], row["current"]) for row in listed] == [("v1.0.0", "*"), ("v1.1.0", "")]
    Path("mine/v1.1.0/weights.txt").write_text("changed", encoding="utf-8")
    assert_one_line(triagem("models", "promote", "v1.1.0", *by_force), "weights.txt changed")


def test_classify_needs_no_server(bare: Triagem, monkeypatch: pytest.MonkeyPatch, bert_models: Path) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))
    Path("texts.txt").write_text("minha internet caiu\n\nquero um orçamento\n", encoding="utf-8")
    rows = json.loads(bare("classify", "texts.txt", "--format", "json").out)
    assert [row["text"] for row in rows] == ["minha internet caiu", "quero um orçamento"]
    assert {row["label"] for row in rows} <= {"suporte", "venda"}


def test_classify_reads_the_texts_of_rows_and_decides_nothing_on_a_greeting(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, bert_models: Path
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))
    texts = ["bom dia", "minha internet caiu"]
    lines = [json.dumps({"prompt": text, "completion": "venda"}) for text in texts]
    Path("rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    Path("rows.csv").write_text("\n".join(["id;Texto", *(f"1;{text}" for text in texts)]), encoding="utf-8")
    Path("wrong.jsonl").write_text('{"words": "bom dia"}', encoding="utf-8")

    from_json, from_csv = (json.loads(bare("classify", f"rows.{kind}", "--json").out) for kind in ("jsonl", "csv"))

    assert from_csv == from_json
    assert [row["text"] for row in from_json] == texts
    assert [(row["band"] == "abstain", row["abstain_reason"]) for row in from_json] == [
        (True, "greeting"),
        (False, None),
    ]
    assert "abstain reason" in bare("classify", "bom dia").out
    assert_one_line(bare("classify", "wrong.jsonl"), "its columns are words; name the column of the messages `text`")


def test_the_version_is_that_of_the_package(bare: Triagem) -> None:
    assert bare("--version").out == f"triagem {version('triagem')}\n"


@pytest.mark.parametrize("arguments", [("--help",), ("enqueue", "--help"), ("models", "--help")])
def test_help_is_there_with_an_example(bare: Triagem, arguments: tuple[str, ...]) -> None:
    answer = bare(*arguments)
    assert answer.status == 0
    assert "Usage" in answer.out


def test_help_groups_the_commands(bare: Triagem) -> None:
    printed = bare("--help").out
    headings = ["Try and check", "Run", "Tickets", "Models", "Operate", "Administer"]
    places = [printed.index(f"─ {heading} ─") for heading in headings]
    assert places == sorted(places)


def test_each_command_that_prints_an_answer_prints_json_too() -> None:
    services = {"up", "worker", "ops", "beat", "gateway", "trainer"}
    no_answer = {"labels set"}
    assert {name for name, options in commands(get_command(application())) if "--json" not in options} == (
        services | no_answer
    )


def commands(command: Any, *names: str) -> Iterator[tuple[str, set[str]]]:
    """The name of each subcommand with its options."""
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, *names, name)
    if not getattr(command, "commands", None):
        yield " ".join(names), {option for parameter in command.params for option in parameter.opts}
