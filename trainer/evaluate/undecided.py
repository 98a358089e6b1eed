"""Counts the held-out texts to which a version gives no decision: customers' messages, so each is an error."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from triagem.contracts.abstain import abstain_reason, unlearned_reason
from triagem.contracts.model import Model
from triagem.engine.language import language_probabilities
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.calibration import lower_bound


def undecided_note(model: Model, rows: Sequence[Row]) -> str:
    """A line for a person: the texts without a decision by reason, and the upper bound of their share.

    Args:
        rows: test rows, which set none of the model's limits.
    """
    texts = [rows[index].text for index in distinct_rows(rows)]
    reasons = Counter(
        reason.value
        for text, tokens in zip(texts, model.tokenize(texts), strict=True)
        if (
            reason := abstain_reason(text, text)
            or unlearned_reason(text, tokens, language_probabilities(text), model.thresholds)
        )
    )
    bound = 1 - float(lower_bound(np.int_(len(texts) - reasons.total()), np.int_(len(texts))))
    named = f" ({', '.join(f'{reason} {count}' for reason, count in reasons.most_common())})" if reasons else ""
    return (
        f"{reasons.total()} of {len(texts)} test texts get no decision{named}: with 95% confidence, at most "
        f"{bound:.1%} of such messages"
    )
