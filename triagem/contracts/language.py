"""Decides a message's language, and whether the model learned that language, from a detector's probabilities.

Pure. A detector is unreliable on a few words, and many customers write only a few words ("net caiu"). So a language
without training rows needs clear evidence. Without evidence, the language is undetermined.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

UNDETERMINED: Final = "und"
# Galician is left out, because it is taken for Portuguese. Latin, Occitan and others are left out, because they get a
# part of the probability of every short text.
DETECTED: Final = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "hy", "id",
    "it", "ja", "ka", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh",
)  # fmt: skip
# The lowest limit that a version may have: hardly any short Portuguese or English message is above it, and nearly
# every message in another language is.
MIN_LIMIT: Final = 0.95
# A single language at 0.7 is as clear as all other languages together at 0.95: on a few words, many languages get a
# small probability.
_ONE_LANGUAGE: Final = 0.25
# Codes and abbreviations ("tv box", "cnpj mei", "vpn") get a small probability in many languages, and a high one in
# none: they are in no other language.
_LEAST_LIKELIEST: Final = 0.3
_ROUNDING: Final = 1e-3  # of probabilities that sum to 1
LIMIT_QUANTILE: Final = 0.995  # this share of the texts from which a limit is fitted stays within it
CUSTOMERS: Final = ("en", "pt")
_MIN_SHARE: Final = 0.7
_CERTAIN: Final = 0.9
_MIN_ROWS_SHARE: Final = 0.02

Probabilities = Mapping[str, float]


def other_language(probabilities: Probabilities, languages: Iterable[str]) -> float:
    """The evidence, from 0 to 1, that the text is in none of the given languages."""
    others = [probability for language, probability in probabilities.items() if language not in languages]
    likeliest = max(others, default=0.0)
    together = sum(others) if likeliest >= _LEAST_LIKELIEST else 0.0
    return min(1.0, max(together, likeliest + _ONE_LANGUAGE))


def is_other_language(probabilities: Probabilities, languages: Sequence[str], limit: float | None) -> bool:
    """Whether a text is clearly in a language that the model did not learn.

    Args:
        languages: `Thresholds.languages`, the languages of the version's training rows.
        limit: `Thresholds.other_language`; None for a version that was trained without it.
    """
    if limit is None or not probabilities:
        return False
    # The quick check decides for most texts: the other languages together do not exceed the rest.
    learned = sum([probabilities.get(language, 0.0) for language in languages])
    if 1.0 - learned + _ONE_LANGUAGE + _ROUNDING < limit:
        return False
    return other_language(probabilities, languages) > limit


def message_language(probabilities: Probabilities, languages: Sequence[str] = (), limit: float | None = None) -> str:
    """The text's language as an ISO 639-1 code, or `und`. The arguments are those of `is_other_language`."""
    if not probabilities:
        return UNDETERMINED
    learned = languages or CUSTOMERS
    if is_other_language(probabilities, learned, limit or MIN_LIMIT):
        return max(set(probabilities).difference(learned), key=probabilities.__getitem__)
    likely = {language: probabilities.get(language, 0.0) for language in {*CUSTOMERS, *learned}}
    best = max(likely, key=likely.__getitem__)
    return best if likely[best] >= _MIN_SHARE * sum(likely.values()) else UNDETERMINED


def training_languages(detected: Iterable[Probabilities]) -> tuple[str, ...]:
    """The languages of at least 2 % of the training texts whose language is clear, sorted."""
    best = (max(row.items(), key=lambda item: item[1]) for row in detected if row)
    counts = Counter(language for language, probability in best if probability >= _CERTAIN)
    return tuple(sorted(language for language, count in counts.items() if count >= _MIN_ROWS_SHARE * counts.total()))


def other_language_limit(detected: Sequence[Probabilities], languages: Sequence[str]) -> float | None:
    """The 99.5 % quantile of `other_language` on held-out texts, at least `MIN_LIMIT`.

    None if `languages` is empty: then no text counts as being in another language.
    """
    if not languages:
        return None
    scores = sorted(other_language(row, languages) for row in detected if row)
    return max(MIN_LIMIT, scores[math.ceil(LIMIT_QUANTILE * len(scores)) - 1]) if scores else MIN_LIMIT
