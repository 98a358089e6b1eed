"""Exports as training data: columns by their usual names or `--map`, and labels by `--label-map`."""

from pathlib import Path

import pytest

from tests.support.rows import SMALL_ROWS
from triagem.contracts.errors import InvalidInput
from triagem.contracts.portuguese import in_portuguese
from triagem.records.columns import mapped_label, parse_label_map
from triagem.trainer.data.columns import ReadingRules
from triagem.trainer.data.rows import Row, load

EXPORT = "Nº do chamado;Assunto;Descrição;Fila\n" + "".join(
    f"{number};Assunto {number};{text};{label}\n" for number, (text, label) in enumerate(SMALL_ROWS)
)


def test_an_export_is_read_by_the_usual_names_of_its_columns_and_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(EXPORT.replace("Fila", "Categoria").encode("cp1252"))

    loaded = load(tmp_path / "export.csv")

    assert loaded.train[0] == Row("Assunto 0 minha internet caiu", "suporte")
    assert loaded.notes == (
        "export.csv: prompt = Assunto + Descrição, completion = Categoria; ignored columns: Nº do chamado",
    )


def test_titles_above_the_header_are_skipped_and_named(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(f"Relatório de chamados\n\n{EXPORT.replace('Fila', 'Categoria')}", encoding="utf-8")

    loaded = load(path)

    assert [row.label for row in loaded.train] == [label for _, label in SMALL_ROWS]
    assert "skipped above the header, lines 1 to 2: Relatório de chamados" in loaded.notes[0]


def test_missing_columns_are_asked_for_together(tmp_path: Path) -> None:
    (path := tmp_path / "export.csv").write_text("Protocolo,Relato do cliente,Fila\n1,oi,N1\n", encoding="utf-8")

    with pytest.raises(InvalidInput, match=r"has no 'prompt', 'completion'.*--map prompt=COLUMN,completion=COL"):
        load(path)


def test_a_label_column_with_another_name_is_asked_for_and_given(tmp_path: Path) -> None:
    (path := tmp_path / "export.txt").write_text(EXPORT, encoding="utf-8")

    with pytest.raises(
        InvalidInput, match=r"txt:2: has no 'completion': its columns are .*Fila; .*--map completion="
    ):
        load(path)
    loaded = load(path, rules=ReadingRules("prompt=Descrição,completion=Fila"))

    assert [(row.text, row.label) for row in loaded.train] == SMALL_ROWS
    with pytest.raises(InvalidInput, match="label=…: unknown field, use prompt, completion"):
        load(path, rules=ReadingRules("label=Fila"))


def test_words_of_the_company_are_mapped_and_other_rows_left_out(tmp_path: Path) -> None:
    (path := tmp_path / "export.csv").write_text(
        "protocolo,mensagem,grupo\n1,oi,N1\n2,quero comprar,Comercial\n3,a fatura,n1\n4,spam,Lixo\n5,nada,\n"
        "6,quero um plano,Comercial\n7,caiu,N1\n"
    )
    labels = {"n1": "suporte", "comercial": "venda"}

    loaded = load(path, rules=ReadingRules("completion=grupo", labels, own={"7": "suporte", "6": "suporte"}))

    rows = [("oi", "suporte"), ("quero comprar", "venda"), ("a fatura", "suporte"), ("quero um plano", "venda")]
    assert [(row.text, row.label) for row in loaded.train] == rows
    assert loaded.notes[0].endswith(
        "rows left out: 2, because their label is not in --label-map ('Lixo' 1, '' 1); "
        "rows left out: 1, because only Triagem set their label ('N1' 1)"
    )


def test_an_export_without_a_mapped_label_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "export.csv").write_text("mensagem,grupo\noi,N1\n")

    with pytest.raises(InvalidInput, match=r"has no rows: rows left out: 1, .* \('N1' 1\)"):
        load(path, rules=ReadingRules("completion=grupo", {"n2": "suporte"}))


def test_the_error_about_a_single_label_has_a_translation(tmp_path: Path) -> None:
    (path := tmp_path / "export.csv").write_text("mensagem,grupo\noi,N1\n")

    with pytest.raises(InvalidInput) as error:
        load(path, rules=ReadingRules("completion=grupo"))
    assert "são necessárias pelo menos duas categorias" in (in_portuguese(str(error.value)) or "")


def test_if_one_label_is_left_the_rows_left_out_are_named(tmp_path: Path) -> None:
    (path := tmp_path / "export.csv").write_text("mensagem,grupo\noi,N1\ncomprar,Comercial\num plano,Comercial\n")

    with pytest.raises(InvalidInput, match=r"every row has the label 'venda', .* rows left out: 1, .* \('N1' 1\)"):
        load(path, rules=ReadingRules("completion=grupo", {"comercial": "venda", "n9": "suporte"}))


@pytest.mark.parametrize("given", ["N1", "N1=", "=venda", "N1=suporte,,"])
def test_a_label_map_that_cannot_be_read_is_shown(given: str) -> None:
    with pytest.raises(InvalidInput, match="expected value=label"):
        parse_label_map(given)


def test_a_value_with_a_comma_is_quoted() -> None:
    assert parse_label_map('"Vendas, B2B=venda", N1 = suporte') == {"vendas, b2b": "venda", "n1": "suporte"}


def test_a_number_of_json_is_mapped_even_if_it_is_zero() -> None:
    assert mapped_label(0, parse_label_map("0=suporte,1=venda")) == "suporte"
