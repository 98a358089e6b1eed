"""Drift on what a real BERT sees of real messages: chance alone is silent, another domain or language is not."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from contracts.text import clean
from engine.classify import EngineSettings, LoadedModel, load
from trainer.data import Row
from trainer.drift import compare
from trainer.reference import Population, look

EXAMPLES = Path(__file__).parents[2] / "examples" / "train.jsonl"
DOMAINS = Path(__file__).parents[3] / "shared" / "data" / "train_en.jsonl"
EACH = 120
WORDS = 25  # of a text at most: the tests are about differences, not about length


@pytest.fixture(scope="module")
def model(bert_models: Path) -> LoadedModel:
    return load(bert_models / "v1.0.0", EngineSettings(device="cpu"))


def groups(file: Path, name: str, model: LoadedModel) -> dict[str, Population]:
    """What the model sees of the first short texts of each domain or language."""
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    short = [record for record in records if len(record["prompt"].split()) <= WORDS]
    return {
        group: look(model, [Row(clean(one["prompt"]), one["completion"]) for one in list(some)[:EACH]])
        for group, some in groupby(sorted(short, key=lambda one: str(one[name])), key=lambda one: str(one[name]))
    }


@pytest.fixture(scope="module")
def languages(model: LoadedModel) -> dict[str, Population]:
    return groups(EXAMPLES, "lang", model)


@pytest.fixture(scope="module")
def domains(model: LoadedModel) -> dict[str, Population]:
    if not DOMAINS.exists():
        pytest.skip(f"the labelled domains are not here: {DOMAINS}")
    return groups(DOMAINS, "domain", model)


def part(whole: Population, places: Sequence[int]) -> Population:
    """Some of its rows."""
    return Population(
        whole.embeddings[places],
        whole.confidences[places],
        whole.tokens[places],
        [whole.labels[place] for place in places],
        [whole.langs[place] for place in places],
    )


def together(some: Iterator[Population]) -> Population:
    """All their rows."""
    parts = list(some)
    return Population(
        np.concatenate([one.embeddings for one in parts]),
        np.concatenate([one.confidences for one in parts]),
        np.concatenate([one.tokens for one in parts]),
        [label for one in parts for label in one.labels],
        [lang for one in parts for lang in one.langs],
    )


def alarms(whole: Population, splits: int, *, recent: int = 100) -> int:
    """In how many seeded splits of one population its two parts are said to differ."""
    found = 0
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(whole)).tolist()
        found += any(one.found for one in compare(part(whole, order[recent:]), part(whole, order[:recent])))
    return found


def test_another_language_is_drift(languages: dict[str, Population]) -> None:
    (embeddings, *_) = compare(languages["en"], languages["pt"])

    assert embeddings.found
    assert embeddings.now["shifted"] > 20


@pytest.mark.parametrize("lang", ["en", "pt"])
def test_one_language_raises_at_most_one_alarm_in_twenty(languages: dict[str, Population], lang: str) -> None:
    assert alarms(languages[lang], 40, recent=EACH // 2) <= 2


@pytest.mark.parametrize("left_out", ["airline", "finance", "insurance", "insurance-calls", "media", "software"])
def test_a_domain_that_was_left_out_is_drift(domains: dict[str, Population], left_out: str) -> None:
    known = together(seen for name, seen in domains.items() if name != left_out)

    assert any(one.found for one in compare(known, domains[left_out]))


def test_the_same_domains_raise_at_most_one_alarm_in_twenty(domains: dict[str, Population]) -> None:
    assert alarms(together(iter(domains.values())), 60) <= 3


@pytest.mark.slow
def test_over_many_splits_too(domains: dict[str, Population], languages: dict[str, Population]) -> None:
    every = {"all domains": together(iter(domains.values())), **languages}
    counted = {name: alarms(one, 200, recent=min(100, len(one) // 2)) for name, one in every.items()}
    print(counted)
    assert max(counted.values()) <= 10
