"""Chooses a base among the installed ones by cross-validation on the training rows, without fine-tuning.

A linear classifier on a base's frozen embeddings takes seconds. It ranks bases like fine-tuning if they differ
clearly, for example in a language that a base was not pretrained on (docs/explanation/model-quality.md). No test row
is used.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoTokenizer

from triagem.contracts.model import BaseChoice, BaseScore
from triagem.engine.precision import cpu_has_bf16
from triagem.trainer.bases.catalogue import find_base
from triagem.trainer.data.near_duplicates import distinct_rows, fold_numbers
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.metrics import label_metrics
from triagem.trainer.fit.checkpoints import clearly_better
from triagem.trainer.fit.finetune import silenced
from triagem.trainer.fit.head import INVERSE_PENALTY, last_states

# With 500 rows, one of eight random choices named the worse base (docs/explanation/model-quality.md).
MAX_ROWS: Final = 2000
MIN_LANGUAGE_ROWS: Final = 30
ALL: Final = "all"
_FOLDS: Final = 5
_MAX_TOKENS: Final = 128  # tokens; the beginning of a long text suffices to compare bases


def choose_base(
    bases: Sequence[str],
    rows: Sequence[Row],
    *,
    seed: int,
    on_notes: Callable[[Sequence[str]], None] = lambda _: None,
) -> tuple[str, BaseChoice | None]:
    """The best of `bases` for these rows, and the evidence. If there is nothing to compare: the first base, and None.

    Args:
        bases: the cheapest to serve first.
        rows: training rows. Copies count once, and at most `MAX_ROWS` rows are used.
        on_notes: called before the comparison, which may take a minute or more.
    """
    rows = [rows[index] for index in distinct_rows(rows)]
    if len(rows) > MAX_ROWS:
        rows = random.Random(seed).sample(rows, MAX_ROWS)
    folds = fold_numbers(rows, _FOLDS, seed)
    if len(bases) < 2 or len(set(folds)) < 2:
        return bases[0], None
    on_notes([f"comparing the installed bases on {len(rows):,} training rows: {', '.join(bases)}"])
    languages = comparable_languages(rows)
    scores = tuple(_score(base, rows, folds, languages) for base in bases)
    return best_base(scores, {lang: len(indices) for lang, indices in languages.items()}), BaseChoice(
        rows=len(rows), scores=scores
    )


def comparable_languages(rows: Sequence[Row]) -> dict[str, list[int]]:
    """The rows of each language with at least `MIN_LANGUAGE_ROWS`; if there is none, all rows together."""
    count = Counter(row.lang for row in rows if row.lang)
    frequent = sorted(lang for lang, number in count.items() if number >= MIN_LANGUAGE_ROWS)
    languages = {lang: [index for index, row in enumerate(rows) if row.lang == lang] for lang in frequent}
    return languages or {ALL: list(range(len(rows)))}


def best_base(scores: Sequence[BaseScore], rows: Mapping[str, int]) -> str:
    """The base with the best mean over the languages; a base that costs more must be better by a standard error.

    Args:
        scores: the cheapest base first.
        rows: of each language.
    """
    # The mean over languages has the variance of one macro-F1 measured on this many rows.
    effective = len(rows) ** 2 / sum(1 / number for number in rows.values())
    best, *others = scores
    for score in others:
        if clearly_better(score.mean, best.mean, round(effective)):
            best = score
    return best.base


def _score(base: str, rows: Sequence[Row], folds: Sequence[int], languages: Mapping[str, Sequence[int]]) -> BaseScore:
    labels = np.asarray([row.label for row in rows])
    embeddings = embed(base, [row.text for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000))
    predicted = cross_val_predict(model, embeddings, labels, cv=PredefinedSplit(folds))
    scores = {
        lang: label_metrics(labels[indices], predicted[indices])["macro_f1"] for lang, indices in languages.items()
    }
    return BaseScore(base=base, macro_f1=scores)


@torch.inference_mode()
def embed(base: str, texts: Sequence[str], max_tokens: int = _MAX_TOKENS) -> Any:
    """Embeddings `[texts][width]`: the means of each text's tokens in the last layer."""
    files = find_base(base)
    dtype = torch.bfloat16 if cpu_has_bf16() else torch.float32
    with silenced():
        tokenizer = AutoTokenizer.from_pretrained(files.path)
        network = AutoModel.from_pretrained(files.path, attn_implementation="sdpa", dtype=dtype).eval()
    rows = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    means = torch.empty(len(rows), network.config.hidden_size)
    for batch, states, mask in last_states(network, tokenizer, rows):
        tokens = mask.unsqueeze(-1)
        means[batch] = (states * tokens).sum(1) / tokens.sum(1)
    return means.numpy()
