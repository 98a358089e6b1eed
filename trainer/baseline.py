"""The TF-IDF baseline: n-grams and logistic regression on the same rows. A BERT that does not beat it is not needed.

The baseline is fitted for comparison only. It is neither stored nor served.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from triagem.trainer.data import Row
from triagem.trainer.metrics import Floats


def baseline(train: Sequence[Row], test: Sequence[Row], labels: Sequence[str]) -> Floats:
    """Probabilities `[test rows][labels]` of a baseline fitted on `train`.

    Pass dev and calibration rows in `train` too: the baseline has no checkpoint to choose.
    """
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=1000))
    model.fit([row.text for row in train], [labels.index(row.label) for row in train])
    probabilities = np.zeros((len(test), len(labels)))
    probabilities[:, model.classes_] = model.predict_proba([row.text for row in test])
    return probabilities
