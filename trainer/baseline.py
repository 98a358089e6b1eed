"""The simplest model of the same rows: n-grams and logistic regression. A BERT that does not beat it is not needed.

Not a model to serve: it is fitted, compared and forgotten.
"""

from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from trainer.data import Row
from trainer.evaluate import compare
from trainer.report import Evaluation


def baseline(train: Sequence[Row], test: Sequence[Row]) -> Evaluation:
    """Fit on all rows but the test's, held out or not: it needs no checkpoint chosen. Compare on the test rows."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=1000))
    model.fit([row.text for row in train], [row.label for row in train])
    return compare(test, [str(label) for label in model.predict([row.text for row in test])])
