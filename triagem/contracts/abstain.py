"""Decides from the text alone that no label may be used: there is nothing in it that a model could judge. Pure.

These texts look confident to a classifier, so its probabilities cannot tell them apart. A person sees them instead.
"""

import re
from enum import StrEnum
from typing import Final

from triagem.contracts.cleaning.addition_patterns import COURTESIES
from triagem.contracts.cleaning.automatic import is_automatic

# Share of letters outside the Latin scripts from which a text is in another script. Of 521 texts out of scope all in
# other scripts were above it, and no message of the sample data.
MAX_OTHER_SCRIPT_SHARE: Final = 0.3
_MAX_GREETING_CHARS: Final = 60
_NOT_WORDS: Final = re.compile(
    r"<[^<>]*>|& ?(?:[a-z]\w*|#\w+);|(?:https?://|www\.)\S+|\[(?:cid|image|imagem)\b[^\]]*\]", re.IGNORECASE
)
_TWO_LETTERS: Final = re.compile(r"[^\W\d_].*?[^\W\d_]", re.DOTALL)
_LETTER: Final = re.compile(r"[^\W\d_]")
# Latin to Extended-B, phonetic and additional letters, ligatures, full width, mathematical letters.
_LATIN: Final = re.compile(
    "[a-zA-Z\xaa\xba\xc0-\u02af\u1d00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\ufb00-\ufb06\uff21-\uff5a\U0001d400-\U0001d7ff]"
)
_WORD: Final = re.compile(r"[^\W_]+")
_REPEATED: Final = re.compile(r"(.)\1+")


def _folded(word: str) -> str:
    """A word in lower case without repeated letters: people write `oiii` and `obrigadooo`."""
    return _REPEATED.sub(r"\1", word.casefold())


_ACKNOWLEDGEMENTS: Final = """
ok okay okey blz beleza valeu vlw brigado brigada obg obrigadão perfeito perfect certo great cool como vai está vão
how are you é muito so much very mesmo grande um uma de nada bem e boa bye tchau até mais logo com vocês você tá td
bjs abs
"""
_SMALL_TALK: Final = frozenset(map(_folded, [*COURTESIES, *_ACKNOWLEDGEMENTS.split()]))


class AbstainReason(StrEnum):
    """The reason that a text gets no decision."""

    AUTOMATIC = "automatic"
    NO_WORDS = "no-words"
    GREETING = "greeting"
    OTHER_SCRIPT = "other-script"


def abstain_reason(text: str, cleaned: str) -> AbstainReason | None:
    """The reason that a text must get no decision, or None if a model may judge it.

    Args:
        text: subject, newline, body, as received.
        cleaned: the text as the model reads it.
    """
    if is_automatic(text):
        return AbstainReason.AUTOMATIC
    words = _NOT_WORDS.sub(" ", cleaned) if any(sign in cleaned for sign in ("<", "&", "/", "www", "[")) else cleaned
    if not _TWO_LETTERS.search(words):
        return AbstainReason.NO_WORDS
    if not words.isascii():
        letters = len(_LETTER.findall(words))
        if letters - len(_LATIN.findall(words)) > MAX_OTHER_SCRIPT_SHARE * letters:
            return AbstainReason.OTHER_SCRIPT
    if len(words) <= _MAX_GREETING_CHARS and all(_folded(word) in _SMALL_TALK for word in _WORD.findall(words)):
        return AbstainReason.GREETING
    return None
