"""The original specification's author trains with the data of his exercise, and follows the commands' hints.

500 training and 100 test rows contain only 20 different sentences, and every test sentence is also in train.
"""

import json
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.support.command import CommandResult, Triagem, assert_one_line
from tests.support.training import tiny_base
from triagem.registry import Registry

SENTENCES: Final = {
    "suporte": (
        "não consigo entrar na minha conta, dá erro de senha",
        "o aplicativo trava toda vez que abro o relatório",
        "minha internet caiu e não volta desde ontem",
        "o sistema está muito lento hoje, podem verificar?",
        "a tela fica branca depois do login e dá erro",
        "meu boleto veio com erro e não consigo abrir",
        "o aplicativo não abre, aparece um erro de conexão",
        "perdi o acesso à minha conta e não consigo entrar",
        "a impressora parou de funcionar e dá erro",
        "o sistema está fora do ar e não consigo trabalhar",
    ),
    "venda": (
        "quero contratar o plano empresarial, qual o preço?",
        "quanto custa o plano anual para dez usuários?",
        "gostaria de um orçamento para minha empresa",
        "vocês têm desconto para contratar dois planos?",
        "quero comprar mais cinco licenças, qual o valor?",
        "qual o preço do plano básico por mês?",
        "gostaria de contratar o serviço para minha loja",
        "vocês vendem o plano premium? quero um orçamento",
        "quero saber o valor da assinatura mensal",
        "tenho interesse em comprar, podem enviar uma proposta?",
    ),
}
NEW: Final = {
    "suporte": (
        "não consigo entrar no sistema",
        "o aplicativo dá erro quando abro",
        "minha conta está com erro de senha",
        "a internet caiu de novo",
        "o relatório não abre e trava a tela",
    ),
    "venda": (
        "quero contratar um plano",
        "qual o preço da licença?",
        "gostaria de um orçamento",
        "quanto custa o plano premium?",
        "quero comprar dez licenças",
    ),
}


@pytest.fixture(autouse=True)
def _one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"MIN_STEPS": "50", "NUM_TRAIN_EPOCHS": "1", "LEARNING_RATE": "1e-4", "FOLDS": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(f"TRIAGEM_TRAIN_{name}", value)


def write_exercise(folder: Path, train_rows: int, test_rows: int) -> None:
    """Each sentence at least once in both files, and any number of copies."""
    folder.mkdir()
    labelled = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    random = Random(42)
    for name, number in (("train", train_rows), ("test", test_rows)):
        chosen = [*labelled, *random.choices(labelled, k=number - len(labelled))]
        lines = [json.dumps({"prompt": text, "completion": label}, ensure_ascii=False) for text, label in chosen]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def train_leaking(bare: Triagem, tmp_path: Path) -> Callable[..., CommandResult]:
    """Trains on few rows of the exercise, test included, with a very small base: these tests are not about scores."""
    write_exercise(tmp_path / "dados", 40, 20)
    return partial(bare, "train", "dados", "--base", tiny_base(tmp_path / "base"), "--allow-leakage")


def printed_command(answer: CommandResult, start: str) -> list[str]:
    """The first command in backticks that begins with `triagem` and `start`."""
    match = re.search(rf"`triagem ({start}[^`]*)`", " ".join((answer.out + answer.err).split()))
    assert match, answer
    return shlex.split(match[1])


def labels_of(bare: Triagem, texts: dict[str, Any]) -> list[tuple[str, str]]:
    """The expected and the predicted label of each text, by `triagem classify`."""
    Path("novas.txt").write_text("\n".join(text for group in texts.values() for text in group), encoding="utf-8")
    rows = json.loads(bare("classify", "novas.txt", "--format", "json").out)
    labels = [label for label, group in texts.items() for _ in group]
    return list(zip(labels, (row["label"] for row in rows), strict=True))


def test_following_the_printed_commands_he_has_a_current_model_in_two_commands(bare: Triagem, tmp_path: Path) -> None:
    write_exercise(tmp_path / "dados", 500, 100)

    refused = bare("train", "dados")
    trained = bare(*printed_command(refused, "train"))
    command, *_ = printed_command(trained, "classify")

    assert (refused.status, "train has 20 different texts, and test repeats all of them" in refused.err) == (1, True)
    assert trained.status == 0, trained
    assert "no dev part is split off: it would have 2 different texts, fewer than 10" in trained.err
    assert "test rows (4 different texts)" in trained.out
    assert "not calibrated: no text was held out" in trained.out
    assert "review below 0.700, the default" in trained.out
    assert Registry("models").current().version == "v1.0.0"
    assert command == "classify"
    for texts in (SENTENCES, NEW):
        assert all(expected == predicted for expected, predicted in labels_of(bare, texts))


def test_insisting_on_his_test_set_he_learns_that_nothing_is_verified(
    bare: Triagem, train_leaking: Callable[..., CommandResult]
) -> None:
    trained = train_leaking()
    unclassified = bare("classify", "quero um orçamento")

    assert trained.status == 3
    assert "no score counts and the gate cannot promote the version (add --promote-unverified" in trained.err
    assert "20 of 20 test rows are also training rows, or nearly" in trained.out
    assert "20 test rows of v1.0.0 are also training rows" in trained.out
    assert_one_line(unclassified, "v1.0.0 is registered but not current")
    assert "(leaked)" in bare("models", "list").out
    index = json.loads(Path("models/model_versions.json").read_text("utf-8"))["v1.0.0"]
    assert (index["dataset_size"], index["distinct_texts"], index["leaked_test_rows"]) == (60, 20, 20)

    promote = printed_command(unclassified, "models promote")
    assert bare(*promote).status == 3
    assert bare(*promote, "--force", "--reason", "an exercise").status == 0
    assert bare("classify", "quero um orçamento").status == 0


def test_a_version_promoted_unverified_is_current_and_the_log_says_so(
    train_leaking: Callable[..., CommandResult],
) -> None:
    trained = train_leaking("--promote-unverified")

    assert "v1.0.0 is current, unverified" in trained.out
    (promotion,) = Registry("models").promotions()
    assert (promotion.decision, promotion.forced) == ("reject", True)
    assert promotion.reason.startswith("--promote-unverified: 20 test rows are also training rows")
