"""Which language a text is in: to notice that customers write in another one. Nothing is classified by it."""

import functools
import re
from typing import Any, Final

_TAG: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_].*)?")
_SURE: Final = 0.5


def language(text: str, named: object = None) -> str:
    """The language as an ISO 639 code: the one that is named for it (`pt-BR` is `pt`), else the one it looks like;
    empty where neither says anything."""
    if isinstance(named, str) and (tag := _TAG.fullmatch(named.strip())):
        return tag[1].lower()
    if (identifier := load_languages()) is None:
        return ""
    found, confidence = identifier.classify(text)
    return str(found) if confidence >= _SURE else ""


@functools.cache
def load_languages() -> Any:
    """The identifier: half a second of a processor and 100 MB, once a process; None where it is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
