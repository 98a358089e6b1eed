"""Notes and errors about an uploaded file name no option of the command line, in both languages."""

import io

import pytest

from triagem.contracts.errors import InvalidInput
from triagem.contracts.portuguese import in_portuguese
from triagem.gateway.console.upload_advice import browser_advice
from triagem.producer.survey import survey_file
from triagem.records.text_file import read_bytes

FILES: dict[str, str | bytes] = {
    "sources": "id,texto,origem\n1,caiu,loja\n2,caiu,site\n",
    "repeated ids": "id,texto\n1,caiu\n1,voltou\n",
    "messages": "id,texto,message_id\n1,caiu,a\n1,voltou,b\n",
    "no id": "a,texto\n1,caiu\n",
    "no text": "id,a\n1,2\n",
    "no columns": "a,b\n1,2\n",
    "no times": "id,texto,data\n1,a,x\n2,b,x\n3,c,x\n",
    "ambiguous times": "id,texto,data\n1,a,01/02/2026\n",
    "both orders": "id,texto,data\n1,a,01/13/2026\n2,b,13/01/2026\n",
    "unknown encoding": "id;text\n1;Giriş, Doğan\n".encode("cp1254"),
}


def advice(content: str | bytes) -> str:
    """The notes about a file, or the error."""
    raw = content if isinstance(content, bytes) else content.encode()
    try:
        return "\n".join(survey_file(read_bytes(io.BytesIO(raw), "a.csv"), name="a.csv", source="upload").notes)
    except InvalidInput as error:
        return str(error)


@pytest.mark.parametrize("name", FILES)
def test_what_helps_in_a_browser_is_in_both_languages_without_options(name: str) -> None:
    on_the_command_line = advice(FILES[name])
    assert "--" in on_the_command_line

    in_a_browser = browser_advice(on_the_command_line)

    assert "--" not in in_a_browser
    assert "COLUMN" not in in_a_browser
    assert "external_id" not in in_a_browser
    assert in_portuguese(in_a_browser)


@pytest.mark.parametrize(
    ("rejected", "portuguese"),
    [
        ("text: is empty", "texto da mensagem: vazio"),
        ("external_id: is missing or not an id", "ID: ausente ou não é um ID"),
        ("revised_at: is missing", "data e hora: ausente"),
        ("a (1).csv:2: 'prompt' is empty", "a (1).csv:2: a coluna prompt está vazia"),
        (
            "a.jsonl:1: 'completion' is not a string: map its values, as in --label-map 0=suporte,1=venda",
            "a.jsonl:1: 'label' não é um texto: indique a categoria de cada valor, como em 0=suporte,1=venda",
        ),
        (
            "a.csv: the header has the column 'completion' twice: rename or delete one of them",
            "a.csv: o cabeçalho tem a coluna 'completion' duas vezes: renomeie ou exclua uma delas",
        ),
    ],
)
def test_a_rejected_row_names_no_field(rejected: str, portuguese: str) -> None:
    assert in_portuguese(browser_advice(rejected)) == portuguese
