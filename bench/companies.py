"""The companies of the cold-start simulation: each domain of a JSONL file, and the samples in Portuguese.

A third of a company's near-duplicate groups is held out to evaluate the heads; the rest is its pool.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triagem.contracts.text import clean
from triagem.trainer.active.embeddings import embed_texts
from triagem.trainer.data.near_duplicates import duplicate_groups

COMPANIES: Final = ("airline", "insurance-calls", "media", "software")
ALL: Final = "all domains"
PORTUGUESE: Final = "samples in Portuguese"
LABELS: Final = ("suporte", "venda")
DESCRIPTIONS: Final = (
    "The customer has a problem, a question, a complaint or a request about something they already have.",
    "The customer wants to buy or subscribe to something, asks for a price, or wants to change or upgrade a plan.",
)
SALES_SHARE: Final = 0.04
_SPLIT_SEED: Final = 29

Texts = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Company:
    """Embeddings and label numbers of all messages, and the indexes of a company's pool and of its held-out third.

    `weights`: of the held-out texts.
    """

    name: str
    embeddings: NDArray[np.float32]
    truth: NDArray[np.intp]
    pool: Texts
    held_out: Texts
    weights: NDArray[np.float64]
    descriptions: NDArray[np.float32]


def thin_sales(company: Company, seed: int) -> Company:
    """The company with 4 % sales: fewer in the pool, and all of the held-out third with less weight.

    With 4 % of the held-out texts, macro-F1 would depend on five to eight texts.
    """
    support, sales = (company.pool[company.truth[company.pool] == number] for number in range(2))
    odds = SALES_SHARE / (1 - SALES_SHARE)
    kept = np.random.default_rng(seed).permutation(sales)[: round(len(support) * odds)]
    is_sale = company.truth[company.held_out] == 1
    weights = np.where(is_sale, odds * (~is_sale).sum() / is_sale.sum(), 1.0)
    return replace(company, pool=np.concatenate([support, kept]), weights=weights)


def read_companies(data: Path, samples: Path, base: str, cache: Path) -> list[Company]:
    """The companies with their embeddings, which are computed once."""
    records = [(row["domain"], row) for row in _read(data)]
    for part in ("train", "test"):
        records += [(PORTUGUESE, row) for row in _read(samples / f"{part}.jsonl") if row["lang"] == "pt"]
    texts = [clean(row["prompt"]) for _, row in records]
    names = np.array([name for name, _ in records])
    truth = np.array([LABELS.index(row["completion"]) for _, row in records], dtype=np.intp)
    different = list(dict.fromkeys([*texts, *DESCRIPTIONS]))
    embedded = dict(zip(different, embed_texts(base, different, cache), strict=True))
    embeddings, descriptions = (np.stack([embedded[text] for text in part]) for part in (texts, DESCRIPTIONS))
    held_out = np.zeros(len(texts), dtype=bool)
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        groups = np.array(duplicate_groups([texts[row] for row in members]))
        order = np.random.default_rng(_SPLIT_SEED).permutation(np.unique(groups))
        held_out[members] = np.isin(groups, order[: len(order) // 3])
    groups = np.array(duplicate_groups(texts))
    companies = []
    for name in (ALL, *COMPANIES, PORTUGUESE):
        member = names != PORTUGUESE if name == ALL else names == name
        pool, third = np.flatnonzero(member & ~held_out), np.flatnonzero(member & held_out)
        if name == ALL:  # a near-duplicate may be in another domain's pool
            third = third[~np.isin(groups[third], groups[pool])]
        companies.append(Company(name, embeddings, truth, pool, third, np.ones(len(third)), descriptions))
    return companies


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
