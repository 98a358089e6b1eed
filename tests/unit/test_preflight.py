"""Tests the figures of `triagem preflight`; each text is predicted by a model that was fitted to other texts."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import Triagem
from tests.support.rows import texts
from triagem.trainer.active.preflight import TARGETS, expect, preflight
from triagem.trainer.data.rows import Row
from triagem.trainer.monitor.reference import Population

LABELS = ("suporte", "venda")


def labelled(count: int, *, wrong: float, seed: int = 1) -> tuple[list[Row], np.ndarray]:
    """Texts whose embeddings show the label, with a share of wrong labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=count)
    embeddings = rng.normal(size=(count, 8)) + truth[:, None] * 3
    given = np.where(rng.random(count) < wrong, 1 - truth, truth)
    return [Row(f"text {n}", LABELS[label], where=f"x:{n}") for n, label in enumerate(given)], embeddings


def test_clean_labels_prove_a_high_precision_and_noisy_ones_none() -> None:
    rows, embeddings = labelled(600, wrong=0.0)
    clean = preflight(rows, LABELS, embeddings)
    rows, embeddings = labelled(600, wrong=0.2)
    noisy = preflight(rows, LABELS, embeddings)

    assert clean.accuracy.accuracy > 0.98
    assert [promise.precision for promise in clean.promises] == list(TARGETS)
    assert clean.promises[1].share == pytest.approx(1.0)
    assert noisy.accuracy.low < 0.8 < noisy.accuracy.high
    assert [promise.share for promise in noisy.promises] == [None] * len(TARGETS)


def test_a_wrong_label_is_a_costly_mistake_with_its_place() -> None:
    rows, embeddings = labelled(200, wrong=0.0)
    rows[7] = Row(rows[7].text, LABELS[1 - LABELS.index(rows[7].label)], where="x:7")

    mistakes = preflight(rows, LABELS, embeddings).mistakes

    assert (mistakes[0].where, mistakes[0].label) == ("x:7", rows[7].label)
    assert [row.confidence for row in mistakes] == sorted((row.confidence for row in mistakes), reverse=True)


def test_the_accuracy_is_shown_by_label_and_part_and_more_labels_do_not_harm() -> None:
    rows, embeddings = labelled(300, wrong=0.1)
    grouped = [replace(row, group=group) for row, group in zip(rows, ["web", "chat", "chat"] * 100, strict=True)]
    figures = preflight(grouped, LABELS, embeddings)

    parts = {part.name: part.texts for part in figures.slices}
    assert (parts["group chat"], parts["group web"]) == (200, 100)
    assert parts["label suporte"] + parts["label venda"] == 300
    assert figures.accuracy.accuracy <= figures.more_labels <= 1


def population(embeddings: np.ndarray, confidence: float) -> Population:
    count = len(embeddings)
    return Population(embeddings, np.full(count, confidence), np.ones(count, int), ["a"] * count, [""] * count)


def test_texts_without_labels_are_judged_by_confidence_and_by_likeness_to_the_reference() -> None:
    rng = np.random.default_rng(1)
    alike, unlike = rng.normal(size=(200, 8)) + 5, rng.normal(size=(100, 8)) - 5
    reference = population(rng.normal(size=(400, 8)) + 5, 0.9)

    expected = expect(population(np.concatenate([alike, unlike]), 0.8), reference, 0.7)

    assert expected.accuracy == pytest.approx(0.8)
    assert expected.automated == 1
    assert expected.unlike is not None
    assert 1 / 3 <= expected.unlike < 0.4
    assert expect(reference, None, 0.95).unlike is None


def test_an_export_is_judged_and_nothing_is_stored(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagem.trainer.active.export.installed_bases", list)  # TF-IDF: no model is loaded
    words = {"N1": "a internet caiu e o modem pisca", "Comercial": "quero contratar o plano e saber o valor"}
    different = enumerate(texts(30))
    lines = [f"{n},{words[group]} {text},{group},web" for n, text in different for group in words]
    export = tmp_path / "closed.csv"
    export.write_text("\n".join(["id,mensagem,Grupo,canal", *lines, "99,spam,Lixo,web"]))
    before = sorted(tmp_path.rglob("*"))
    options = ["--label-column", "Grupo", "--label-map", "N1=suporte,Comercial=venda"]

    answer = bare("preflight", str(export), *options)
    out = answer.out
    figures = json.loads(bare("preflight", str(export), *options, "--json").out)

    assert "97% precision is not proved: 60 of the 60 most confident texts are right; about 62 more labelled" in out
    assert re.search("^source or channel web +60 texts", out, re.MULTILINE)
    assert {part["name"] for part in figures["slices"]} == {"label suporte", "label venda", "group web"}
    assert sorted(tmp_path.rglob("*")) == before
    assert "note: closed.csv: prompt = mensagem, completion = Grupo; ignored columns: id;" in answer.err
    assert "note: rows: 60, different texts: 60 (near-duplicates count as one)" in answer.err


def test_a_column_that_the_file_lacks_is_named(bare: Triagem, tmp_path: Path) -> None:
    (export := tmp_path / "closed.csv").write_text("id,mensagem,Grupo\n1,oi,N1\n")

    answer = bare("preflight", str(export), "--by", "loja")

    assert (answer.status, "--by 'loja': the file has no such column" in answer.err) == (1, True)
