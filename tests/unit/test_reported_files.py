"""Files that were reported as refused or misread, and others of their kinds, as `triagem enqueue` reads them."""

import json
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import Triagem

GOOD_ROWS = "".join(f"{number},texto {number}\n" for number in range(3, 1000))
TIMED = "id,subject,body,created_at\n"


def enqueue(bare: Triagem, content: str | bytes, *options: str, name: str = "export.csv") -> tuple[int, str]:
    """Exit status and output of a dry run."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = bare("enqueue", name, "--dry-run", *options)
    return result.status, " ".join((result.out + result.err).split())


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        ('id,body\n1,ok\n2,"tela preta\n' + GOOD_ROWS, "line 3: not CSV (a quote is not closed)"),
        ('id;body\n1;ok\n2;"tela preta\n' + GOOD_ROWS.replace(",", ";"), "line 3: not CSV (a quote is not closed)"),
    ],
)
def test_an_open_quote_costs_one_row(bare: Triagem, content: str, bad: str) -> None:
    status, out = enqueue(bare, content)

    assert status == 3
    assert "998 would be accepted" in out
    assert out.endswith(f"1 rejected {bad}")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("31/12/2025 14:05", "17:05"),
        ("2025-12-31 14:05", "17:05"),
        ("2025-12-31 14:05:00 UTC", "14:05"),
        ("2025-12-31 14:05:00 -0300", "17:05"),
        ("2025-12-31 14:05:00+00", "14:05"),
        ("12/31/2025 2:05 PM", "17:05"),
        ("2025-12-31T14:05:00.000+0000", "14:05"),
        ("1767189900000", "14:05"),
        ("1767189900", "14:05"),
        ("31/12/2025 às 14:05", "17:05"),
        ("31.12.25 14:05", "17:05"),
        ("31 de dezembro de 2025 14:05", "17:05"),
        ("Dec 31, 2025, 2:05 PM", "17:05"),
        ("31/dez/25 2:05 PM", "17:05"),
        ("20251231T140500Z", "14:05"),
        ("20251231T140500-0300", "17:05"),
        ("2025-12-31T14:05:00+03:00[Europe/Moscow]", "11:05"),
        ("31/12/2025 14h05min", "17:05"),
        ("31.12.2025 14.05", "17:05"),
        ("31/12/2025 14.05.09", "17:05"),
        ("[31/12/2025, 14:05]", "17:05"),
        ("miércoles, 31 de diciembre de 2025, 14:05", "17:05"),
    ],
)
def test_a_time_is_read_in_the_zone_of_the_file(bare: Triagem, written: str, shown: str) -> None:
    status, out = enqueue(bare, f'{TIMED}1,Fatura,Não chegou,"{written}"\n', "--timezone", "America/Sao_Paulo")

    assert status == 0, out
    assert f"import 1, 2025-12-31 {shown} UTC: Fatura Não chegou" in out


_EARLY: Final = "is before the year 2000, or not a time"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        *((number, _EARLY) for number in ("20251231", "202512311405", "2025", "0", "46022.58", "46022,58")),
        ("-1", "is a number, but not seconds or milliseconds since 1970"),
    ],
)
def test_a_bare_number_that_no_crm_means_as_a_time_is_refused(bare: Triagem, written: str, reason: str) -> None:
    status, out = enqueue(bare, f'{TIMED}1,Fatura,Não chegou,"{written}"\n')

    assert (status, f"revised_at: {reason}" in out) == (3, True)


@pytest.mark.parametrize(
    "written", ["2025-12-31 14:05:00 America/Sao_Paul", "2025-12-31 24:00", "31/02/2025", "ontem"]
)
def test_a_time_that_cannot_be_read_rejects_its_row(bare: Triagem, written: str) -> None:
    status, out = enqueue(bare, f'{TIMED}1,Fatura,Não chegou,"{written}"\n')

    assert (status, "line 2: revised_at: " in out) == (3, True)


def test_an_ambiguous_file_is_an_error_that_asks(bare: Triagem) -> None:
    status, out = enqueue(bare, f"{TIMED}1,Fatura,Não chegou,5/1/2026 9:05\n")

    assert (status, "give --date-format dmy or --date-format mdy" in out) == (1, True)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ('"Ticket ID","Subject","Description","Created at"', "1,a,b,2026-01-13 10:00"),
        ('"Ticket ID","Subject","Description","Created time"', "1,a,b,2026-01-13 10:00:00"),
        ('"Ticket ID","Ticket name","Ticket description","Create date"', "1,a,b,2026-01-13 10:00"),
        ('"Case Number","Subject","Description","Date/Time Opened"', "1,a,b,1/13/2026 10:00 AM"),
        ("Protocolo;Assunto;Descrição;Criado em", "1;a;b;13/01/2026 10:00"),
        ("ID HugMe;Título;Descrição;Data da reclamação", "1;a;b;13/01/2026 10:00"),
        ("Número;Assunto;Descrição da ação;Aberto em", "1;a;b;13/01/2026 10:00"),
        ("ID,Subject,Body,Created", "1,a,b,2026-01-13T10:00"),
        ("sep=;\nid;subject;body;created_at", "1;a;b;2026-01-13 10:00"),
        ('"sep=\t"\nid\tsubject\tbody\tcreated_at', "1\ta\tb\t2026-01-13 10:00"),
        ("id;subject;body;created_at", "1;a;b;2026-01-13 10:00;"),
        ("id|assunto|mensagem|data", "1|a|b|2026-01-13 10:00"),
        ("\ufeffid;subject;body;created_at\r", '1;a;"b";2026-01-13 10:00\r'),
    ],
)
def test_usual_columns_and_separators_are_found(bare: Triagem, header: str, row: str) -> None:
    for encoding in ("utf-8", "cp1252", "utf-16"):
        if encoding != "cp1252" or "\ufeff" not in header:
            status, out = enqueue(bare, f"{header}\n{row}\n".encode(encoding))
            assert status == 0, out
            assert "import 1, 2026-01-13 10:00 UTC: a b" in out


@pytest.mark.parametrize(
    ("content", "diagnosis"),
    [
        ("id,body,body\n1,cliente diz isto,\n", "2 columns are called 'body': rename one in the file"),
        ("Assunto,Mensagem\na,b\n", "no column for external_id found: the file has Assunto, Mensagem"),
        ("7,Fui cobrado\n8,Oi\n", "the file has 7, Fui cobrado; if this is not a header, add one; else name them"),
        ("id,text\n", "the file has a header, but no rows"),
        ("codigo_interno,nota\n1,b\n", "no column for external_id and text found: the file has codigo_interno, nota"),
    ],
)
def test_wrong_columns_are_one_diagnosis_for_the_file(bare: Triagem, content: str, diagnosis: str) -> None:
    status, out = enqueue(bare, content)

    assert (status, diagnosis in out) == (1, True)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ('external_id,text\n"5,00123E+17",a\n"5,00123E+17",b\n', "ids in scientific notation such as"),
        ("ticket_id,text\n7,a\n7,b\n7,Obrigado resolvido\n", "rows: 3, different ids: 1 (repeated: lines 3, 4)"),
    ],
)
def test_ids_that_may_be_wrong_are_noted(bare: Triagem, content: str, note: str) -> None:
    assert f"note: {note}" in enqueue(bare, content)[1]


@pytest.mark.parametrize(
    ("times", "note"),
    [
        (("2026-01-01", "", "-"), "2 rows have no time: the time of the import counts"),
        (("", "", "2026-01-01"), "2 rows have no time"),
        (("", "2026-01-01", "2026-01-01"), "1 row has no time"),
        (("2026-01-01", "2026-01-01", "2026-01-01"), None),
    ],
)
def test_rows_with_a_blank_time_are_counted(bare: Triagem, times: tuple[str, ...], note: str | None) -> None:
    content = "id,text,updated_at\n" + "".join(f"{n},a{n},{time}\n" for n, time in enumerate(times))

    out = enqueue(bare, content)[1]

    assert f"note: {note}" in out if note else "no time" not in out


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('id,body\n1,"Ele disse \\"oi\\", e saiu"\n', 'Ele disse "oi", e saiu'),
        ('id,body\n1,"C:\\dir\\"\n', "C:\\dir\\"),
        ('id,body\n1,tela de 15" quebrada\n', 'tela de 15" quebrada'),
        ('id,body\n1,"disse ""oi"""\n', 'disse "oi"'),
        ("id;subject, full;body, first;x, y, z;body\n1;a;b;c;oi\n", "oi"),
        ('id,body\n1,"linha 1\nlinha 2"\n', "linha 1 linha 2"),
    ],
)
def test_quotes_escapes_and_separators_inside_cells_are_text(bare: Triagem, content: str, text: str) -> None:
    status, out = enqueue(bare, content)

    assert status == 0, out
    assert f"UTC: {text} 1 would be accepted" in out


def test_columns_with_commas_and_plus_signs_are_mapped_in_quotes(bare: Triagem) -> None:
    content = 'id,"Mensagem (1ª, última)","Assunto + corpo"\n1,a,b\n'
    mapping = 'external_id=id,text="Assunto + corpo"+"Mensagem (1ª, última)"'

    assert "UTC: b a 1 would" in enqueue(bare, content, "--map", mapping)[1]


@pytest.mark.parametrize("external_id", ["12", "12.0", '"12"'])
def test_ids_of_json_lines_are_whole_numbers(bare: Triagem, external_id: str) -> None:
    record = f'{{"id": {external_id}, "text": "oi\\u2028tchau"}}\n'

    assert "import 12, " in enqueue(bare, record, name="t.jsonl")[1]


class TestTraining:
    def rows(self, prompt: str, completion: str) -> str:
        words = [f"{word} {number}" for number in range(30) for word in ("fatura errada", "quero comprar")]
        return "".join(
            json.dumps(
                {"prompt": prompt.format(f"{text} pedido{hash(text) % 9973}"), "completion": completion.format(label)}
            )
            + "\n"
            for text, label in zip(words, ["suporte", "venda"] * 30, strict=True)
        )

    def test_markers_of_other_tools_are_noted(self, bare: Triagem) -> None:
        Path("train.jsonl").write_text(self.rows("{}\n\n###\n\n", " {} END"), encoding="utf-8")
        out = bare("train", "train.jsonl", "--check").out

        assert "60 of 60 prompts end in '###', which no message has: remove it" in out
        assert "all labels end in 'END': if another tool needed it, remove it" in out

    def test_usual_rows_have_no_such_note(self, bare: Triagem) -> None:
        Path("train.jsonl").write_text(self.rows("{}, obrigado!", "{}"), encoding="utf-8")
        out = bare("train", "train.jsonl", "--check").out

        assert "60 training rows" in out
        assert "remove it" not in out

    @pytest.mark.parametrize("as_json", [False, True])
    def test_the_audit_is_printed_also_when_the_rows_cannot_be_split(self, bare: Triagem, as_json: bool) -> None:
        rows = [("oi, tudo bem com o pedido?", "suporte"), ("quero comprar o plano anual", "venda")] * 24
        lines = [json.dumps({"prompt": text, "completion": label}) + "\n" for text, label in rows]
        Path("train.jsonl").write_text("".join(lines), encoding="utf-8")
        result = bare("train", "train.jsonl", "--check", *(["--json"] if as_json else []))

        assert result.status == 1
        assert "too few different texts: the 48 rows have only 2" in result.err
        if as_json:
            assert json.loads(result.out)["audit"]["copies"] == 46
            assert "too few different texts: the 48 rows have only 2" in json.loads(result.out)["rejected"]
        else:
            assert "training rows that repeat an earlier row of their label: 46 exactly, 0 nearly" in result.out


IGNORED = "ignored columns: extrnal_id (did you mean external_id?), channel; to keep one: --map metadata.NAME=COLUMN"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("export.csv", "id,body,channel,extrnal_id\n1,oi,email,9\n2,oi,chat,8\n"),
        ("t.jsonl", '{"id": "1", "body": "oi"}\n{"id": "2", "body": "oi", "channel": "chat", "extrnal_id": 8}\n'),
    ],
)
def test_columns_that_no_field_reads_are_named_once(bare: Triagem, name: str, content: str) -> None:
    _, out = enqueue(bare, content, name=name)
    answer = json.loads(bare("enqueue", name, "--dry-run", "--json").out)

    assert out.count(IGNORED) == out.count("channel") == 1
    assert answer["ignored_columns"] == ["channel", "extrnal_id"]
    assert answer["similar_fields"] == {"extrnal_id": "external_id"}


def test_a_column_that_is_kept_as_metadata_is_not_ignored(bare: Triagem) -> None:
    _, out = enqueue(bare, "id,body,channel\n1,oi,email\n", "--map", "metadata.channel=channel")

    assert "ignored" not in out
