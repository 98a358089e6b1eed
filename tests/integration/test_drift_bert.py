"""Drift in a real BERT's embeddings: chance raises few alarms, another language or label is found."""

import json
from pathlib import Path

import pytest

from tests.support.command import Triagem
from tests.support.drift import concatenate, drifted, false_alarms, populations, subset
from triagem.engine.classify import EngineSettings, LoadedModel, load
from triagem.trainer.monitor.drift import compare
from triagem.trainer.monitor.reference import Population

EXAMPLES = Path(__file__).parents[2] / "examples" / "train.jsonl"
ROWS = 120  # rows per language or group: above the 100 rows that a drift check requires
GROUPS = ["en suporte", "en venda", "pt suporte", "pt venda"]


@pytest.fixture(scope="module")
def model(bert_models: Path) -> LoadedModel:
    return load(bert_models / "v1.0.0", EngineSettings(device="cpu"))


@pytest.fixture(scope="module")
def groups(model: LoadedModel) -> dict[str, Population]:
    """Language and label. With at most 40 words, each group has enough rows."""
    return populations(EXAMPLES, lambda row: f"{row['lang']} {row['completion']}", model, rows=ROWS, max_words=40)


@pytest.fixture(scope="module")
def languages(groups: dict[str, Population]) -> dict[str, Population]:
    """Each language with as many rows of one label as of the other."""
    half = range(ROWS // 2)
    return {
        lang: concatenate(subset(groups[f"{lang} {label}"], half) for label in ("suporte", "venda"))
        for lang in ("en", "pt")
    }


def test_another_language_is_drift(languages: dict[str, Population]) -> None:
    (embeddings, *_) = compare(languages["en"], languages["pt"])

    assert embeddings.shifted
    assert embeddings.now["shifted"] > 20


@pytest.mark.parametrize("lang", ["en", "pt"])
def test_one_language_raises_at_most_one_alarm_in_twenty(languages: dict[str, Population], lang: str) -> None:
    assert false_alarms(languages[lang], 40, recent=ROWS // 2) <= 2


@pytest.mark.parametrize("left_out", GROUPS)
def test_a_group_that_was_left_out_is_drift(groups: dict[str, Population], left_out: str) -> None:
    known = concatenate(population for name, population in groups.items() if name != left_out)

    assert drifted(known, groups[left_out])


def test_the_same_groups_raise_at_most_one_alarm_in_twenty(groups: dict[str, Population]) -> None:
    assert {name: len(population) for name, population in groups.items()} == dict.fromkeys(GROUPS, ROWS)
    assert false_alarms(concatenate(groups.values()), 60) <= 3


def test_an_export_without_labels_is_judged_by_the_current_version(
    bare: Triagem, bert_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))
    (export := tmp_path / "export.csv").write_text("id,mensagem\n1,a internet caiu\n2,quero um plano\n")

    figures = json.loads(bare("preflight", str(export), "--json").out)

    assert (figures["texts"], figures["unlike"]) == (2, None)  # the version has no reference
    assert 0.5 <= figures["accuracy"] <= 1
    assert "2 texts without labels: expected accuracy" in bare("preflight", str(export)).out
