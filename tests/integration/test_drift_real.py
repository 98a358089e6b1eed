"""Drift on what a real BERT sees of real messages: chance alone is silent, another domain or language is not."""

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from triagem.contracts.text import clean
from triagem.engine.classify import EngineSettings, LoadedModel, load
from triagem.trainer.data import Row
from triagem.trainer.drift import compare
from triagem.trainer.reference import Population, describe_rows

EXAMPLES = Path(__file__).parents[2] / "examples" / "train.jsonl"
DOMAINS = Path(__file__).parents[3] / "shared" / "data" / "train_en.jsonl"
EACH = 120
WORDS = 25  # of a text at most: the tests are about differences, not about length


@pytest.fixture(scope="module")
def model(bert_models: Path) -> LoadedModel:
    return load(Path(os.environ.get("DRIFT_MODEL") or bert_models / "v1.0.0"), EngineSettings(device="cpu"))


def groups(file: Path, name: str, model: LoadedModel, each: int = EACH) -> dict[str, Population]:
    """What the model sees of the first short texts of each domain or language."""
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    short = [record for record in records if len(record["prompt"].split()) <= WORDS]
    return {
        group: describe_rows(model, [Row(clean(one["prompt"]), one["completion"]) for one in list(some)[:each]])
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
    """In how many seeded splits of one population parts of it, one of 500 rows at most, are said to differ."""
    found = 0
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(whole)).tolist()
        found += any(
            one.shifted for one in compare(part(whole, order[recent : recent + 500]), part(whole, order[:recent]))
        )
    return found


def test_another_language_is_drift(languages: dict[str, Population]) -> None:
    (embeddings, *_) = compare(languages["en"], languages["pt"])

    assert embeddings.shifted
    assert embeddings.now["shifted"] > 20


@pytest.mark.parametrize("lang", ["en", "pt"])
def test_one_language_raises_at_most_one_alarm_in_twenty(languages: dict[str, Population], lang: str) -> None:
    assert alarms(languages[lang], 40, recent=EACH // 2) <= 2


@pytest.mark.parametrize("left_out", ["airline", "finance", "insurance", "insurance-calls", "media", "software"])
def test_a_domain_that_was_left_out_is_drift(domains: dict[str, Population], left_out: str) -> None:
    known = together(seen for name, seen in domains.items() if name != left_out)

    assert any(one.shifted for one in compare(known, domains[left_out]))


def test_the_same_domains_raise_at_most_one_alarm_in_twenty(domains: dict[str, Population]) -> None:
    assert alarms(together(iter(domains.values())), 60) <= 3


@pytest.mark.slow
def test_the_figures_of_the_documentation(model: LoadedModel) -> None:
    """Also on another version: `DRIFT_MODEL=models/v1.0.0 pytest -m slow -s` and this file."""
    if not DOMAINS.exists():
        pytest.skip(f"the labelled domains are not here: {DOMAINS}")
    domains, languages = groups(DOMAINS, "domain", model, each=300), groups(EXAMPLES, "lang", model, each=300)
    whole = together(iter(domains.values()))
    false = {f"all domains, {recent} against 500": alarms(whole, 200, recent=recent) for recent in (100, 500)}
    false |= {f"{name}, 100 against the rest": alarms(one, 200) for name, one in (domains | languages).items()}
    told = {
        (recent, share): sum(mixed(domains, name, recent, share, seed) for name in domains for seed in range(10))
        for recent in (100, 300)
        for share in (1.0, 0.5, 0.25)
    }
    print(false, told)

    assert max(false.values()) <= 10
    assert told[100, 1.0] == told[300, 1.0] == 60


def mixed(domains: dict[str, Population], new: str, recent: int, share: float, seed: int) -> bool:
    """Whether 500 messages of five domains are told from others of theirs with that share of a sixth among them."""
    rng = np.random.default_rng(seed)
    known = together(seen for name, seen in domains.items() if name != new)
    order, number = rng.permutation(len(known)).tolist(), min(round(share * recent), len(domains[new]))
    others = part(known, order[500 : 500 + recent - number])
    sixth = part(domains[new], rng.permutation(len(domains[new])).tolist()[:number])
    return any(one.shifted for one in compare(part(known, order[:500]), together(iter([others, sixth]))))
