"""Mapping of columns to ticket fields: `--map`, and the standard column names for the rest."""

import re
from typing import Any

import pytest

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.producer.columns import field_map, require_columns


def mapped(row: dict[str, Any], mapping: str | None = None) -> dict[str, Any]:
    """A row's ticket fields, in a file with this row's columns."""
    return field_map(list(row), mapping).fields(row)


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("external_id", "external_id"),
        ("id", "external_id"),
        ("ticket_id", "external_id"),
        ("text", "text"),
        ("body", "text"),
        ("prompt", "text"),
        ("message", "text"),
        ("description", "text"),
        ("source", "source"),
        ("revised_at", "revised_at"),
        ("updated_at", "revised_at"),
        ("created_at", "revised_at"),
        ("metadata", "metadata"),
    ],
)
def test_a_column_with_a_standard_name_needs_no_mapping(column: str, field: str) -> None:
    assert mapped({column: "value"}) == {field: "value"}


@pytest.mark.parametrize("columns", [("subject", "body"), ("Assunto", "Texto"), ("DS_ASSUNTO", "DS_MENSAGEM")])
def test_subject_and_body_become_one_text(columns: tuple[str, str]) -> None:
    assert mapped(dict(zip(columns, ("Fatura", "Em dobro"), strict=True))) == {"text": "Fatura\nEm dobro"}


@pytest.mark.parametrize("empty", ["", None])
def test_joined_columns_leave_no_empty_line(empty: str | None) -> None:
    assert mapped({"subject": empty, "body": "Em dobro"}) == {"text": "Em dobro"}


def test_of_two_standard_names_the_preferred_one_is_used() -> None:
    assert mapped({"id": "1", "external_id": "2", "created_at": "a", "updated_at": "b"}) == {
        "external_id": "2",
        "revised_at": "b",
    }


def test_a_column_without_a_standard_name_is_left_out() -> None:
    assert mapped({"id": "1", "owner": "Ana"}) == {"external_id": "1"}


def test_a_mapping_takes_precedence_over_the_standard_names() -> None:
    row = {"id": "1", "protocolo": "P-1", "body": "b", "assunto": "a"}

    assert mapped(row, "external_id=protocolo,text=assunto+body") == {"external_id": "P-1", "text": "a\nb"}


def test_a_mapping_may_hold_spaces() -> None:
    assert mapped({"n": "1", "a": "x", "b": "y"}, " external_id = n , text = a + b ,") == {
        "external_id": "1",
        "text": "x\ny",
    }


def test_a_column_becomes_a_metadata_key() -> None:
    row = {"id": "1", "canal": "chat", "score": 3}

    assert mapped(row, "metadata.channel=canal,metadata.score=score")["metadata"] == {"channel": "chat", "score": 3}


def test_mapped_metadata_takes_precedence_over_a_metadata_column() -> None:
    row = {"metadata": "as exported", "canal": "chat"}

    assert mapped(row, "metadata.channel=canal") == {"metadata": {"channel": "chat"}}


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ("external_id", "'external_id': expected field=column"),
        ("external_id=", "external_id=: expected field=column"),
        ("=id", "=id: unknown field, use one of source, external_id"),
        ("subject=id", "subject=id: unknown field, use one of source, external_id"),
        ("metadata.=id", "metadata.=id: unknown field"),
        ("text=assunto", "text=assunto: the file has no column 'assunto', only id, body"),
        ("text=id+assunto", "text=id+assunto: the file has no column 'assunto', only id, body"),
        ("body=text", "body=text: the file has no column 'text', only id, body; did you mean text=body?"),
        ("text=id+", "the file has no column ''"),
        ('text="body"x', "the file has no column '\"body\"x'"),
        ('text="body,external_id=id', "the file has no column '\"body'"),
        ("text=body,external_id=id,text=id", "gives text twice: join its columns, as in text=body+id"),
        ("metadata=id,metadata.a=body", "use metadata or metadata.NAME, not both"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_why(mapping: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="^--map.*" + re.escape(reason)):
        field_map(["id", "body"], mapping)


def test_true_is_neither_a_number_nor_an_id() -> None:
    assert mapped({"id": True}) == {"external_id": True}


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_cell_of_an_optional_field_is_left_out(empty: str | None) -> None:
    row = {"id": "1", "text": "a", "source": empty, "revised_at": empty, "metadata": empty}

    assert mapped(row) == {"external_id": "1", "text": "a"}


def test_an_empty_cell_of_a_required_field_is_left_to_validation() -> None:
    assert mapped({"id": "", "text": None}) == {"external_id": "", "text": None}


def test_a_record_without_a_required_column_is_refused_by_field() -> None:
    fields = field_map(["id", "text"], None)

    with pytest.raises(InvalidTicket, match="external_id: no 'id' in this row"):
        fields.fields({"text": "a"})


def test_a_record_with_some_of_the_joined_columns_is_mapped() -> None:
    fields = field_map(["id", "subject", "body"], None)

    assert fields.fields({"id": "1", "body": "b"})["text"] == "b"


def test_a_record_without_an_optional_column_is_mapped() -> None:
    assert field_map(["id", "source"], None).fields({"id": "1"}) == {"external_id": "1"}


def test_a_record_may_have_a_field_that_the_first_one_lacks() -> None:
    fields = field_map(["id", "text"], None)

    assert fields.fields({"id": "1", "text": "a", "updated_at": "b"})["revised_at"] == "b"


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        ('text="Mensagem (1ª, última)"', "a"),
        ('text="Assunto + corpo"+"Mensagem (1ª, última)"', "b\na"),
        (' text = "Assunto + corpo" ', "b"),
        ('text="diz ""oi"""', "c"),
    ],
)
def test_a_column_with_a_comma_or_plus_sign_is_mapped_in_quotes(mapping: str, text: str) -> None:
    row = {"id": "1", "Mensagem (1ª, última)": "a", "Assunto + corpo": "b", 'diz "oi"': "c"}

    assert mapped(row, mapping)["text"] == text


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        (("Ticket ID", "Subject", "Description", "Created at"), ("external_id", "text", "text", "revised_at")),
        (("ID", "Subject", "Body"), ("external_id", "text", "text")),
        (("Protocolo", "Assunto", "Descrição", "Criado em"), ("external_id", "text", "text", "revised_at")),
        (("Nº do chamado", "Mensagem", "Data de abertura"), ("external_id", "text", "revised_at")),
        (("Número do Chamado", "Título", "Conteúdo", "Origem"), ("external_id", "text", "text", "source")),
        (
            ("Número do caso", "Assunto", "Descrição", "Data/Hora de abertura"),
            ("external_id", "text", "text", "revised_at"),
        ),
        (("ID do registro", "Nome do ticket", "Descrição do ticket"), ("external_id", "text", "text")),
        (("ID", "Assunto", "Descrição", "Solicitado em"), ("external_id", "text", "text", "revised_at")),
        (("ID do ticket", "Detalhes", "Hora de criação"), ("external_id", "text", "revised_at")),
        (("Nº do protocolo", "Relato", "Data de registro"), ("external_id", "text", "revised_at")),
        (
            ("Issue key", "Issue id", "Summary", "Description", "Created"),
            ("external_id", None, "text", "text", "revised_at"),
        ),
        (("Number", "Short description", "Description", "Opened"), ("external_id", "text", "text", "revised_at")),
        (("conversationId", "messageBody", "createdAt"), ("external_id", "text", "revised_at")),
        (("Issue key", "Description", "Created", "Updated"), ("external_id", "text", None, "revised_at")),
        (("Nº", "Cliente", "Mensagem", "Data"), ("external_id", None, "text", "revised_at")),
        (("Ticket Id", "Description", "Last updated time"), ("external_id", "text", "revised_at")),
        (("Conversation ID", "Conversation started at", "First message"), ("external_id", "revised_at", "text")),
        (
            ("conversation_id", "started_at (America/Sao_Paulo)", "first_message"),
            ("external_id", "revised_at", "text"),
        ),
        (
            (
                "message_id",
                "message_body",
                "message_created_at",
                "message_author_type",
                "conversation_id",
                "author",
            ),
            ("message_id", "text", "revised_at", "author", "external_id", None),
        ),
        (("Message ID", "Direction", "Message date", "Text"), ("message_id", "author", "revised_at", "text")),
        (("Case ID", "Agent ID", "Description", "Closed time"), ("external_id", None, "text", None)),
        (("Ticket Id", "Description", "Created Time (Ticket)"), ("external_id", "text", "revised_at")),
        (("Ticket ID", "Description", "Last update time"), ("external_id", "text", "revised_at")),
        (("Código do ticket", "Mensagem", "Data de criação do ticket"), ("external_id", "text", "revised_at")),
        (("ID do chamado", "Descrição do problema", "Dt. Abertura"), ("external_id", "text", "revised_at")),
        (("Nº Protocolo", "Texto da mensagem", "Data da solicitação"), ("external_id", "text", "revised_at")),
        (("ID", "Descrição da reclamação", "Data da reclamação"), ("external_id", "text", "revised_at")),
        (("ID", "Descrição - Descrição", "Status do chamado"), ("external_id", "text", None)),
        (("Chave da item", "ID da item", "Descrição", "Atualizado(a)"), ("external_id", None, "text", "revised_at")),
    ],
)
def test_columns_are_found_by_their_usual_names(columns: tuple[str, ...], fields: tuple[str | None, ...]) -> None:
    mapping = field_map(list(columns), None).columns

    assert [next((field for field, names in mapping.items() if column in names), None) for column in columns] == list(
        fields
    )


def test_a_table_without_a_column_for_the_id_or_text_is_refused_at_once() -> None:
    with pytest.raises(
        InvalidInput, match=r"no column for external_id and text found: the file has Dono, Fila;.*--map"
    ):
        require_columns(field_map(["Dono", "Fila"], None), ["Dono", "Fila"])


@pytest.mark.parametrize(
    "columns", [["ID", "Texto", "texto"], ["id", "ID", "text"], ["id", "Descrição", "descricao"]]
)
def test_columns_that_differ_only_in_case_or_accents_are_refused_unless_chosen(columns: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"2 columns are called '\w+' or '\w+'"):
        field_map(columns, None)
    assert field_map(columns, f"external_id={columns[0]},text={columns[2]}").columns["text"] == (columns[2],)


@pytest.mark.parametrize("absent", ["-", "NULL", "NaT", "N/A", r"\N", "0000-00-00 00:00:00", " "])
def test_an_absent_time_is_left_out(absent: str) -> None:
    assert "revised_at" not in field_map(["id", "text", "created"], None).fields(
        {"id": 1, "text": "a", "created": absent}
    )


def test_a_date_and_a_time_of_day_in_usual_columns_are_one_time() -> None:
    assert mapped({"id": 1, "Data": "31/12/2025", "Hora": "14:05"})["revised_at"] == "31/12/2025\n14:05"
    dated = {"id": 1, "Data de abertura": "31/12/2025", "Hora de abertura": "14:05", "Hora": "1"}
    assert mapped(dated)["revised_at"] == "31/12/2025\n14:05"
    assert mapped({"id": 1, "Created at": "31/12/2025", "Time": "3 h"})["revised_at"] == "31/12/2025"


@pytest.mark.parametrize("null", ["NULL", r"\N"])
def test_the_null_of_a_database_is_an_empty_cell(null: str) -> None:
    assert mapped({"id": 1, "subject": "Plano", "body": null, "source": null}) == {"external_id": 1, "text": "Plano"}
    assert mapped({"id": 1, "text": null})["text"] == ""


def test_an_empty_time_is_taken_from_the_next_usual_column() -> None:
    row = {"id": 1, "text": "a", "updated_at": "-", "created_at": "2025-12-31"}

    assert mapped(row)["revised_at"] == "2025-12-31"
    assert "revised_at" not in mapped(row, "revised_at=updated_at")


def test_a_column_that_occurs_twice_is_refused_if_it_is_needed() -> None:
    with pytest.raises(InvalidInput, match="2 columns are called 'body'"):
        field_map(["id", "body", "body"], None)
    assert field_map(["id", "body", "tag", "tag"], None).columns["text"] == ("body",)


def test_a_field_is_left_out_by_mapping_it_to_nothing() -> None:
    assert mapped({"id": "1", "created_at": "ontem"}, "revised_at=") == {"external_id": "1"}


def test_a_mapping_applies_to_every_record() -> None:
    fields = field_map(["protocolo"], "external_id=protocolo")

    assert fields.fields({"protocolo": "P-1", "external_id": "1"})["external_id"] == "P-1"


def test_an_error_does_not_show_a_column_name_as_long_as_a_text() -> None:
    text = "minha internet caiu e quero cancelar o plano"

    with pytest.raises(InvalidInput, match=r"no column 'x', only id, \(44 characters\)") as caught:
        field_map(["id", text], "text=x")
    assert text not in str(caught.value)


def test_message_id_and_author_make_a_row_a_message_of_its_conversation() -> None:
    row = {"id": "c-1", "message_id": "m-1", "author": "Cliente", "text": "Quanto custa?"}
    assert mapped(row) == {
        "external_id": "c-1",
        "text": "Quanto custa?",
        "message_id": "m-1",
        "author": "customer",
    }


def test_a_row_without_a_message_id_is_a_whole_text() -> None:
    row = {"id": "c-1", "message_id": "", "author": "Ana", "text": "Quanto custa?"}
    assert mapped(row) == {"external_id": "c-1", "text": "Quanto custa?"}


@pytest.mark.parametrize(
    ("word", "author"),
    [
        ("end-user", "customer"),
        ("lead", "customer"),
        ("Inbound", "customer"),
        ("Agente", "agent"),
        ("outgoing", "agent"),
        ("Robô", "bot"),
        ("Ana Lima", "Ana Lima"),
    ],
)
def test_usual_words_for_authors_are_understood(word: str, author: str) -> None:
    row = {"id": "c-1", "n": 7, "quem": word, "text": "a"}
    fields = mapped(row, "message_id=n,author=quem")
    assert (fields["message_id"], fields["author"]) == (7, author)


def test_an_author_without_a_message_id_is_refused() -> None:
    with pytest.raises(InvalidInput, match="message_id"):
        mapped({"id": "1", "text": "a", "quem": "agent"}, "author=quem")
