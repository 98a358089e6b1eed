"""Detects a text's language, for drift checks and evaluation. Classification does not use it."""

import functools
from typing import Any, Final

from triagem.contracts.metadata import language_code

_MIN_CONFIDENCE: Final = 0.5


def detect_language(text: str, declared: object = None) -> str:
    """The language as an ISO 639 code: the declared one (`pt-BR` is `pt`), else the detected one, else empty."""
    if code := language_code(declared):
        return code
    if (identifier := load_language_identifier()) is None:
        return ""
    detected, confidence = identifier.classify(text)
    return str(detected) if confidence >= _MIN_CONFIDENCE else ""


@functools.cache
def load_language_identifier() -> Any:
    """The language identifier, loaded once per process (0.5 s of CPU time, 100 MB); None if it is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
