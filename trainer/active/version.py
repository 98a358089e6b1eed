"""Trains a head version: the frozen base with a linear head, calibrated out of fold, registered like any version.

Until the random answers prove the version's precision, a person reviews all its results (`Thresholds.automate`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

import numpy as np
import torch
from scipy.special import softmax

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import ROWS_FILE, UNREGISTERED, DataInfo, Manifest, SplitDigests
from triagem.contracts.prediction import Thresholds
from triagem.contracts.text import CLEANING_VERSION, digest
from triagem.engine.bert import packable
from triagem.registry import Registry
from triagem.trainer.active.embeddings import MAX_TOKENS
from triagem.trainer.active.linear import LinearHead, one_blas_thread
from triagem.trainer.active.pool import Pool
from triagem.trainer.bases.catalogue import find_base
from triagem.trainer.data.rows import Row, rows_digest
from triagem.trainer.evaluate.assess import assess, register_with_report
from triagem.trainer.evaluate.calibration import apply_temperature, calibrate, review_budget, review_threshold
from triagem.trainer.evaluate.metrics import Floats
from triagem.trainer.evaluate.report import ReviewThreshold
from triagem.trainer.fit.finetune import load_base, silenced
from triagem.trainer.fit.training_run import write_current_predictions

MIN_LABEL_ANSWERS: Final = 2  # one to train on and one to predict
TARGET_PRECISION: Final = 0.95
_SEED: Final = 42
_NOTE: Final = (
    "only the head is trained, on {} answers; the figures are of the {} random ones, each predicted by a head that "
    "was fitted without it"
)


@one_blas_thread
def train_head_version(
    registry: Registry,
    pool: Pool,
    texts: Sequence[str],
    base: str,
    *,
    conversations: Sequence[str] = (),
    job: str | None = None,
) -> tuple[Manifest, int | None]:
    """Register a version with the labels that have at least `MIN_LABEL_ANSWERS` answers. It is not promoted.

    Returns the manifest, and the number of further answers that would prove the precision: see `answers_to_proof`.

    Args:
        pool: its embeddings are of `base`.
        texts: the pool's texts, clean.
        conversations: digests of the conversations of which a text is one of several parts.
        job: marks the version, as `triagem.registry.Registry.find_job` finds it.

    Raises:
        InvalidInput: fewer than two labels have enough answers, or the base is not a BERT.
    """
    pool = _with_known_labels(pool)
    drawn = np.array([answer.random for answer in pool.labelled], dtype=bool)
    raw = softmax(pool.out_of_fold(_SEED), axis=1)
    calibration = calibrate(raw, pool.truth, "out-of-fold")
    probabilities = apply_temperature(raw, calibration.temperature)
    proof, thresholds = prove_precision(probabilities, pool.truth, drawn)
    rows = [Row(texts[answer.text], answer.label or "", stratum="chosen") for answer in pool.labelled]
    tested = np.flatnonzero(drawn)
    draft = Manifest(
        version=UNREGISTERED,
        labels=pool.labels,
        base=base,
        base_digest=find_base(base).verified_digest(),
        created_at=datetime.now(UTC),
        data=DataInfo(
            digest=rows_digest(rows), rows=len(rows), texts=len(rows), given=len(rows), given_texts=len(rows)
        ),
        temperature=calibration.temperature,
        thresholds=thresholds,
        max_tokens=MAX_TOKENS,
        pooling="mean",
        cleaning_version=CLEANING_VERSION,
        job=job,
        files={},
    )
    with registry.staging() as staged:
        network, tokenizer = _network(base, pool.labels, pool.fit().outside(pool.space))
        with silenced():  # its progress bar would be a line in the trainer's log that is not JSON
            network.save_pretrained(staged)
            tokenizer.save_pretrained(staged)
        digests = [digest(row.text).hex() for row in rows]
        split = SplitDigests(
            train=(*np.array(digests)[~drawn], *conversations),
            dev=(),
            calibration=(),
            test=tuple(np.array(digests)[drawn]),
        )
        (staged / ROWS_FILE).write_text(split.model_dump_json(), encoding="utf-8")
        if len(tested):
            assessment = assess(
                [rows[index] for index in tested],
                pool.labels,
                probabilities[tested],
                raw=raw[tested],
                notes=(_NOTE.format(len(rows), len(tested)), calibration.summary, proof.summary),
                seed=_SEED,
            )
            write_current_predictions(staged, registry, [rows[index] for index in tested])
            manifest = register_with_report(registry, staged, draft, assessment)
        else:
            manifest = registry.register(staged, draft)
    return manifest, answers_to_proof(proof, len(rows), len(tested))


def prove_precision(probabilities: Floats, truth: Any, drawn: Any) -> tuple[ReviewThreshold, Thresholds]:
    """Prove the precision by the random answers, and set the thresholds. Without a proof, nothing is automated.

    Args:
        probabilities: `[answers][labels]`, calibrated, out of fold.
        truth: `[answers]`, label numbers.
        drawn: `[answers]`, whether the text was drawn at random. The others were chosen because they are unusual.
    """
    confidence, correct = probabilities.max(axis=1)[drawn], (probabilities.argmax(axis=1) == truth)[drawn]
    proof = review_threshold(confidence, correct, TARGET_PRECISION)
    if proof.proven_precision is None:
        return proof, Thresholds(automate=False)
    return proof, Thresholds(review=proof.review, review_budget=review_budget(1 - float(correct.mean())))


def answers_to_proof(proof: ReviewThreshold, answers: int, drawn: int) -> int | None:
    """The number of further answers that would prove the precision, in steps of ten.

    It assumes that the same share of them is random. It is 0 if the precision is already proved, and None if no
    number of answers would prove it.
    """
    if proof.proven_precision is not None:
        return 0
    if proof.texts_missing is None:
        return None
    share = max(drawn, 1) / max(answers, 1) if drawn else 0.5
    return ceil(proof.texts_missing / share / 10) * 10


def _with_known_labels(pool: Pool) -> Pool:
    """The pool with only the labels that have enough answers."""
    answered = pool.answered(MIN_LABEL_ANSWERS)
    if len(answered.labels) < 2:
        counts = ", ".join(f"{label} {count}" for label, count in pool.counts().items())
        raise InvalidInput(
            f"a head needs {MIN_LABEL_ANSWERS} answers of each of two labels, there are: {counts}. Label more texts"
        )
    return answered


def _network(base: str, labels: Sequence[str], head: LinearHead) -> tuple[Any, Any]:
    """Build the base with the head as its classifier. The pooler is zero, because nothing reads it."""
    with silenced():
        tokenizer, network, _ = load_base(base, labels)
    if not packable(network):
        raise InvalidInput(f"the base {base!r} is a {type(network).__name__}: a head version needs a BERT")
    with torch.no_grad():
        network.bert.pooler.dense.weight.zero_()
        network.bert.pooler.dense.bias.zero_()
        network.classifier.weight.copy_(torch.from_numpy(head.weights))
        network.classifier.bias.copy_(torch.from_numpy(head.bias))
    return network, tokenizer
