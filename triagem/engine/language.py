"""Detects a text's language with py3langid. Needs no torch; `triagem.contracts.language` interprets the result."""

import functools
import re
from collections.abc import Sequence
from typing import Any, Final

from triagem.contracts.language import DETECTED, UNDETERMINED, Probabilities, message_language
from triagem.contracts.ticket import language_code

_HEAD: Final = 100  # characters; with 80, 150 or 200, all decisions on the sample data are the same
_FEW: Final = 16  # fewer texts than this are quicker one by one
_BATCH: Final = 256  # texts; larger batches take longer per text, because they exceed the processor's caches
_TWO_LETTERS: Final = re.compile(r"[^\W\d_].*?[^\W\d_]", re.DOTALL)


def language_probabilities(text: str) -> Probabilities:
    """The probability of each of the `DETECTED` languages; empty for fewer than two letters, or without py3langid."""
    head = text[:_HEAD]
    if not _TWO_LETTERS.search(head) or (identifier := load_language_identifier()) is None:
        return {}
    return dict(identifier.rank(head))


def all_language_probabilities(texts: Sequence[str]) -> list[Probabilities]:
    """As `language_probabilities` of each text, up to rounding. A batch takes 8 to 14 µs per text instead of 43."""
    if len(texts) < _FEW or load_language_identifier() is None:
        return [*map(language_probabilities, texts)]
    heads = [text[:_HEAD] for text in texts]
    results: list[Probabilities] = [{}] * len(heads)
    worded = [position for position, head in enumerate(heads) if _TWO_LETTERS.search(head)]
    for start in range(0, len(worded), _BATCH):
        batch = worded[start : start + _BATCH]
        for position, row in zip(batch, _batch_probabilities([heads[at] for at in batch]), strict=True):
            results[position] = dict(zip(load_language_identifier().nb_classes, row, strict=True))
    return results


def _batch_probabilities(heads: Sequence[str]) -> list[list[float]]:
    """`LanguageIdentifier.rank` for all heads together: a row per head, a column per language."""
    import numpy as np  # noqa: PLC0415 - installed with py3langid

    identifier, (moves, rows, outputs) = load_language_identifier(), _automaton()
    encoded = [identifier._encode(head) for head in heads]  # noqa: SLF001 - lower case, NFC, UTF-8
    lengths = np.fromiter(map(len, encoded), np.intp, len(encoded))
    width = int(lengths.max())
    padded = np.frombuffer(b"".join(text.ljust(width) for text in encoded), np.uint8)
    letters = padded.reshape(len(encoded), width).T.astype(np.intp)
    states = np.zeros((width + 1, len(encoded)), np.intp)
    for position in range(width):
        states[position + 1] = moves[rows[states[position]] + letters[position]]
    features = np.where(np.arange(width)[:, None] < lengths, outputs[states[1:]], -1)
    index, text = np.nonzero(features >= 0)
    size = len(identifier.nb_ptc)
    keys, counts = np.unique(text * size + features[index, text], return_counts=True)
    text, feature = np.divmod(keys, size)
    weighted = identifier.nb_ptc.take(feature, axis=0) * np.log1p(counts.astype(np.float32))[:, None]
    scores = np.zeros((len(encoded), weighted.shape[1]), np.float32)
    if len(text):
        present, starts = np.unique(text, return_index=True)
        scores[present] = np.add.reduceat(weighted, starts) + identifier.nb_pc
    scores /= np.sqrt(lengths)[:, None]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (scores / scores.sum(axis=1, keepdims=True)).tolist()  # type: ignore[no-any-return]


@functools.cache
def _automaton() -> tuple[Any, Any, Any]:
    """The identifier's automaton over bytes: next states, the row of each state in them, and each state's feature."""
    import numpy as np  # noqa: PLC0415

    identifier = load_language_identifier()
    moves = np.frombuffer(identifier.tk_nextmove, identifier.tk_nextmove.typecode)
    return moves, np.asarray(identifier.tk_row, np.intp) << 8, np.asarray(identifier.tk_output, np.intp)


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
