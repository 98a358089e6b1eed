"""Data files to rows: cleaned as in serving, labels in the specified order, each error with its file and line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rows import SMALL_ROWS, jsonl
from triagem.contracts.errors import InvalidInput
from triagem.trainer.data.rows import UNREQUESTED, Corpus, Row, load, read_parts, rows_digest
from triagem.trainer.jobs.full import write_training_data

ROOT = Path(__file__).parents[2]


def corpus(folder: Path, train: str = jsonl(*SMALL_ROWS), test: str = jsonl(*SMALL_ROWS[:2])) -> Corpus:
    """Write both files and load them."""
    (folder / "train.jsonl").write_text(train, encoding="utf-8")
    (folder / "test.jsonl").write_text(test, encoding="utf-8")
    return load(folder)


def test_labels_have_the_specified_order_whatever_comes_first(tmp_path: Path) -> None:
    assert corpus(tmp_path, jsonl(*reversed(SMALL_ROWS))).labels == ("suporte", "venda")


def test_any_number_of_labels_is_used_in_sorted_order(tmp_path: Path) -> None:
    assert corpus(tmp_path, jsonl(*SMALL_ROWS, ("bye", "churn"), ("adeus", "churn"))).labels == (
        "churn",
        "suporte",
        "venda",
    )


def test_texts_are_cleaned_as_in_serving(tmp_path: Path) -> None:
    train = jsonl(("<p>minha   internet</p><p>caiu</p>", " suporte "), *SMALL_ROWS)

    assert corpus(tmp_path, train).train[0] == Row("minha internet caiu", "suporte")


def test_the_language_is_kept_and_other_columns_are_ignored(tmp_path: Path) -> None:
    train = jsonl(*SMALL_ROWS[:2], lang="pt", domain="telecom") + jsonl(
        *SMALL_ROWS[2:], domain={"not": ["the", "same"]}
    )

    assert [row.lang for row in corpus(tmp_path, train).train] == ["pt", "pt", "", ""]


def test_a_language_with_a_region_is_the_language_as_in_a_ticket(tmp_path: Path) -> None:
    train = jsonl(*SMALL_ROWS[:2], lang="pt-BR") + jsonl(*SMALL_ROWS[2:], lang="EN")

    assert [row.lang for row in corpus(tmp_path, train).train] == ["pt", "pt", "en", "en"]


CONVERSATION = [
    {"author": "customer", "text": "Quero um <b>orçamento</b> do plano anual"},
    {"author": "agent", "text": "Segue a proposta do plano"},
    {"author": "customer", "text": "Obrigado!"},
    {"author": "customer", "text": "Minha internet caiu e o sistema não funciona"},
]
COMPOSED = "Quero um orçamento do plano anual\n\nMinha internet caiu e o sistema não funciona"


def conversation(messages: object, **more: object) -> str:
    return json.dumps({"messages": messages, "completion": "suporte", **more}) + "\n"


@pytest.mark.parametrize("messages", [CONVERSATION, json.dumps(CONVERSATION)], ids=["list", "JSON, as in CSV"])
def test_the_text_of_a_conversation_is_composed_as_in_serving(tmp_path: Path, messages: object) -> None:
    train = conversation(messages, prompt="ignored") + jsonl(*SMALL_ROWS)

    row, single, *_ = corpus(tmp_path, train).train
    assert row == Row(COMPOSED, "suporte")
    assert ("\n\n".join(row.parts), row.parts[-1]) == (COMPOSED, "Minha internet caiu e o sistema não funciona")
    assert [*single.parts] == [single.text]


def test_every_row_of_exported_reviews_has_a_stratum_so_that_no_report_quotes_it(tmp_path: Path) -> None:
    for stratum in ("random", None):
        reviewed = jsonl(*SMALL_ROWS[:1], stratum=stratum)
        assert corpus(tmp_path, reviewed + jsonl(*SMALL_ROWS)).train[0].stratum == (stratum or UNREQUESTED)

    assert corpus(tmp_path).train[0].stratum == ""


def test_a_training_job_keeps_the_composed_text(tmp_path: Path) -> None:
    source = tmp_path / "train.jsonl"
    source.write_text(conversation(CONVERSATION) + jsonl(*SMALL_ROWS), encoding="utf-8")

    write_training_data(tmp_path / "data", source, None)

    assert read_parts(tmp_path / "data")[0]["train"] == read_parts(source)[0]["train"]


def test_a_training_job_names_what_to_do_about_a_single_label(tmp_path: Path) -> None:
    source = tmp_path / "train.jsonl"
    source.write_text(jsonl(SMALL_ROWS[0]), encoding="utf-8")

    with pytest.raises(InvalidInput, match="training rows have one label, 'suporte': review texts with another"):
        write_training_data(tmp_path / "data", source, None)


@pytest.mark.parametrize("messages", [None, [], ""])
def test_a_row_without_messages_has_a_prompt(tmp_path: Path, messages: object) -> None:
    train = conversation(messages, prompt="app crashes") + jsonl(*SMALL_ROWS)

    assert corpus(tmp_path, train).train[0].text == "app crashes"


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ("quero", '\'messages\': not JSON; expected [{"author": "customer", "text": "…"}, …]'),
        ({"author": "customer"}, "'messages': must be a list, in brackets"),
        (["quero cancelar"], "'messages': 0: must be an object with named fields"),
        ([{"author": "customer"}], "'messages': 0.text: is missing"),
        ([{"author": "user", "text": "a"}], "'messages': 0.author: must be one of customer, agent or bot"),
        ([{"text": "quero \ud800"}], "'messages': a text contains a lone surrogate"),
        ([{"author": "agent", "text": "Olá"}], "'messages' has no text of the customer"),
    ],
)
def test_bad_messages_are_named_with_their_line(tmp_path: Path, messages: object, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"train.jsonl:1: {re.escape(problem)}"):
        corpus(tmp_path, conversation(messages) + jsonl(*SMALL_ROWS))


def test_csv_gives_the_same_rows_as_jsonl(tmp_path: Path) -> None:
    (other := tmp_path / "jsonl").mkdir()
    for part, rows in (("train", SMALL_ROWS), ("test", SMALL_ROWS[:2])):
        lines = [f'"{prompt}",{completion},pt\r\n' for prompt, completion in rows]
        (tmp_path / f"{part}.csv").write_text("prompt,completion,lang\r\n" + "".join(lines), encoding="utf-8-sig")

    assert load(tmp_path) == corpus(other, jsonl(*SMALL_ROWS, lang="pt"), jsonl(*SMALL_ROWS[:2], lang="pt"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("one two three\n", "1 column, the header has 2"),
        (",venda\n", "'prompt' is empty"),
        ('"cut,venda', "a quote is not closed"),
    ],
)
def test_an_error_in_csv_is_named_with_its_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "train.csv").write_text(f'prompt,completion\n"two\nlines",suporte\n{line}', encoding="utf-8")
    (tmp_path / "test.csv").write_text("prompt,completion\na,suporte\n", encoding="utf-8")

    with pytest.raises(InvalidInput, match=rf"train\.csv:[34]: .*{reason}"):
        load(tmp_path)


def test_the_rows_with_a_problem_are_counted_and_their_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Mensagem,categoria\na,venda\n,venda\nb,\n", encoding="utf-8")

    with pytest.raises(InvalidInput, match=r"csv:3: 'prompt' \(Mensagem\) is empty; rows with a problem: 2$"):
        load(tmp_path)


def test_the_digest_depends_on_the_rows_not_on_their_order(tmp_path: Path) -> None:
    digest = rows_digest(corpus(tmp_path).train)

    assert rows_digest(corpus(tmp_path, jsonl(*reversed(SMALL_ROWS))).train) == digest
    assert rows_digest(corpus(tmp_path, jsonl(*SMALL_ROWS, ("one more", "venda"))).train) != digest


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param('{"prompt": "a", "completion":', "not valid JSON", id="cut"),
        pytest.param('["a", "venda"]', "not a JSON object", id="no object"),
        pytest.param('{"completion": "venda"}', "has no 'prompt'", id="no prompt"),
        pytest.param('{"prompt": "a"}', "has no 'completion'", id="no completion"),
        pytest.param('{"prompt": "  ", "completion": "venda"}', "'prompt' is empty", id="blank prompt"),
        pytest.param('{"prompt": "\u200b", "completion": "venda"}', "'prompt' is empty", id="nothing visible"),
        pytest.param('{"prompt": "a", "completion": ""}', "'completion' is empty: --label-map", id="blank label"),
        pytest.param('{"prompt": 7, "completion": "venda"}', "'prompt' is not a string", id="a number"),
        pytest.param('{"prompt": "a", "completion": null}', "'completion' is empty: --label-map", id="null"),
        pytest.param('{"prompt": "a", "completion": 0}', "not a string: map its values, as in --label-map", id="0"),
        pytest.param('{"prompt": "a\\ud800", "completion": "venda"}', "surrogate", id="half a character"),
        pytest.param(
            '{"prompt": "one", "completion": "spam"}', "only row with the label 'spam'", id="label of one row"
        ),
    ],
)
def test_an_error_is_named_with_its_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"train\.jsonl:6: .*{reason}"):
        corpus(tmp_path, jsonl(*SMALL_ROWS) + "\n" + line + "\n")


def test_a_test_label_that_no_training_row_has_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"test\.jsonl:2: 'spam' .* suporte, venda$"):
        corpus(tmp_path, test=jsonl(SMALL_ROWS[0], ("x", "spam")))


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        pytest.param(jsonl(*SMALL_ROWS[::2]), "every row has the label 'suporte'", id="one label"),
        pytest.param("\n \n", "is empty", id="no rows"),
    ],
)
def test_a_file_without_two_labels_is_refused(tmp_path: Path, train: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"train\.jsonl:? .*{reason}"):
        corpus(tmp_path, train)


def test_without_training_rows_the_error_names_the_files_of_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(jsonl(*SMALL_ROWS), encoding="utf-8")

    with pytest.raises(
        InvalidInput, match=r"train\.jsonl: no such file.*holds a train file.*calibration.*; or name the file itself"
    ):
        load(tmp_path)


@pytest.mark.parametrize("name", ["train.jsonl", "mensagens.jsonl", "mensagens.csv"])
def test_a_single_file_holds_training_rows_and_its_neighbours_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "test.jsonl").write_text("not even JSON", encoding="utf-8")
    table = "prompt,completion\n" + "".join(f'"{prompt}",{label}\n' for prompt, label in SMALL_ROWS)
    (tmp_path / name).write_text(table if name.endswith("csv") else jsonl(*SMALL_ROWS), encoding="utf-8")

    loaded = load(tmp_path / name)

    assert loaded.train == tuple(Row(*row) for row in SMALL_ROWS)
    assert loaded.held_out() == {}


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"missing: no such file or folder; a data folder holds"):
        load(tmp_path / "missing")


def test_validation_jsonl_holds_the_dev_rows(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(jsonl(*SMALL_ROWS), encoding="utf-8")
    (tmp_path / "validation.jsonl").write_text(jsonl(SMALL_ROWS[0]), encoding="utf-8")

    assert load(tmp_path).dev == (Row(*SMALL_ROWS[0]),)


@pytest.mark.parametrize("files", [("dev.jsonl", "validation.jsonl"), ("dev.jsonl", "dev.csv")])
def test_two_files_of_a_part_are_refused(tmp_path: Path, files: tuple[str, str]) -> None:
    for name in ("train.jsonl", *files):
        (tmp_path / name).write_text(jsonl(*SMALL_ROWS), encoding="utf-8")

    with pytest.raises(InvalidInput, match=rf"{files[0]} and .*{files[1]} both hold the dev rows: keep one"):
        load(tmp_path)


def test_a_column_that_is_read_occurs_once_in_the_header(tmp_path: Path) -> None:
    rows = "".join(f"{text},{label},x,y,z\n" for text, label in SMALL_ROWS)
    (tmp_path / "train.csv").write_text("texto,categoria,nota,nota,categoria\n" + rows, encoding="utf-8")

    with pytest.raises(InvalidInput, match=r"train\.csv: the header has the column 'categoria' twice"):
        load(tmp_path)

    (tmp_path / "train.csv").write_text("texto,categoria,nota,nota,outra\n" + rows, encoding="utf-8")
    assert len(load(tmp_path).train) == len(SMALL_ROWS)


def test_a_column_of_ticket_numbers_is_not_one_of_labels(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has 12 values in 13 rows, 11 of them once: it is not a column"):
        corpus(tmp_path, jsonl(*((f"text {number}", str(max(1, number))) for number in range(13))))


def test_a_part_has_the_rows_of_its_file_and_is_empty_without_one(tmp_path: Path) -> None:
    for part, row in zip(("dev", "calibration"), SMALL_ROWS, strict=False):
        (tmp_path / f"{part}.jsonl").write_text(jsonl(row), encoding="utf-8")
    (tmp_path / "train.jsonl").write_text(jsonl(*SMALL_ROWS), encoding="utf-8")

    loaded = load(tmp_path)

    assert (loaded.dev, loaded.calibration, loaded.test) == ((Row(*SMALL_ROWS[0]),), (Row(*SMALL_ROWS[1]),), ())
    assert list(loaded.held_out()) == ["dev", "calibration"]


def test_a_row_knows_its_file_and_line(tmp_path: Path) -> None:
    rows = corpus(tmp_path, jsonl(*SMALL_ROWS[:2]) + "\n" + jsonl(*SMALL_ROWS[2:])).train

    assert [row.where for row in rows] == [f"{tmp_path / 'train.jsonl'}:{line}" for line in (1, 2, 4, 5)]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_a_spreadsheet_saved_in_brazil_is_read(tmp_path: Path, encoding: str) -> None:
    rows = ["prompt;completion", *(f"{text} não, obrigado;{label}" for text, label in SMALL_ROWS)]
    (tmp_path / "train.csv").write_text("\r\n".join(rows), encoding=encoding)

    assert [row.text for row in load(tmp_path).train] == [f"{text} não, obrigado" for text, _ in SMALL_ROWS]


def test_loading_needs_no_torch_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    home.mkdir()
    corpus(data)
    script = (
        "import sys, pathlib, triagem.trainer.data.rows; triagem.trainer.data.rows.load(pathlib.Path(sys.argv[1]));"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    process = subprocess.run(
        [sys.executable, "-c", script, str(data)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (process.stdout, process.stderr) == ("set()\n", "")
    assert list(home.iterdir()) == []
