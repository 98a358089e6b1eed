"""Detects a text's language with py3langid. Needs no torch; `triagem.contracts.language` interprets the result."""

import functools
import re
from typing import Any, Final

from triagem.contracts.language import DETECTED, UNDETERMINED, Probabilities, message_language
from triagem.contracts.ticket import language_code

_HEAD: Final = 100  # characters; with 80, 150 or 200, all decisions on the sample data are the same
_TWO_LETTERS: Final = re.compile(r"[^\W\d_].*?[^\W\d_]", re.DOTALL)


def language_probabilities(text: str) -> Probabilities:
    """The probability of each of the `DETECTED` languages; empty for fewer than two letters, or without py3langid."""
    head = text[:_HEAD]
    if not _TWO_LETTERS.search(head) or (identifier := load_language_identifier()) is None:
        return {}
    return dict(identifier.rank(head))


def detect_language(text: str, declared: object = None) -> str:
    """The language as an ISO 639 code: the declared one (`pt-BR` is `pt`), else the detected one, else empty."""
    if code := language_code(declared):
        return code
    detected = message_language(language_probabilities(text))
    return "" if detected == UNDETERMINED else detected


@functools.cache
def load_language_identifier() -> Any:
    """The language identifier, loaded once per process (0.5 s of CPU time, 100 MB); None if it is not installed."""
    try:
        import numpy as np  # noqa: PLC0415
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415
    except ImportError:
        return None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(DETECTED)
    # Halves and in columns as loaded; a text reads the rows of 90 of the 100,000 features.
    identifier.nb_ptc = np.ascontiguousarray(identifier.nb_ptc, dtype=np.float32)
    return identifier
