"""The simplest model of the same rows: n-grams and logistic regression. A BERT that does not beat it is not needed.

Not a model to serve: it is fitted, compared and forgotten.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from triagem.trainer.data import Row
from triagem.trainer.measures import Floats


def baseline(train: Sequence[Row], test: Sequence[Row], labels: Sequence[str]) -> Floats:
    """Fit on all rows but the test's, held out or not, as it needs no checkpoint chosen: `[test rows][labels]`."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=1000))
    model.fit([row.text for row in train], [labels.index(row.label) for row in train])
    said = np.zeros((len(test), len(labels)))
    said[:, model.classes_] = model.predict_proba([row.text for row in test])
    return said
