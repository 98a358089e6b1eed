"""Detects texts that contain nothing a model could judge, so that no label may be used.

Pure. A classifier is confident about these texts too, so its probabilities do not reveal them. A person reads them
instead.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from triagem.contracts.cleaning.addition_patterns import COURTESIES
from triagem.contracts.cleaning.automatic import is_automatic
from triagem.contracts.language import LIMIT_QUANTILE, Probabilities, is_other_language
from triagem.contracts.model import Tokens
from triagem.contracts.prediction import AbstainReason, Thresholds

# Share of letters outside the Latin script above which a text is in another script. A Latin text may name a product
# in another script. No message of the sample data is above it (tests/unit/test_abstain.py).
MAX_OTHER_SCRIPT_SHARE: Final = 0.3
_MIN_CHARS: Final = 10
_MAX_DIGIT_SHARE: Final = 0.2
_SPECIAL_TOKENS: Final = 2
# Product codes, typing errors and slang have many tokens per character, but rarely look unlike all training
# languages. Gibberish has both properties. With both packaged bases nearly all of it is above this limit, and hardly
# a short message is (docs/measurements/abstain.py).
_UNKNOWN_WORDS: Final = 2.3
_OTHER_LANGUAGE_WEIGHT: Final = 1.4
_MIN_TEXTS: Final = 200
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
# Every letter below U+02B0 is Latin, but the micro sign.
_MAYBE_OTHER_SCRIPT: Final = re.compile("[^\x00-\xb4\xb6-\u02af]")
_WORD: Final = re.compile(r"[^\W_]+")
_DIGIT: Final = re.compile(r"\d")
_REPEATED: Final = re.compile(r"(.)\1+")
# "kkkkk", "hahaha", "asdasdasd": a word that is one to three characters, repeated three times or more.
_LAUGHTER: Final = re.compile(r"\b(\w{1,3}?)\1{2,}\b")
_PHRASES: Final = re.compile(
    r"(?i)\b(?:how are (?:you|u)|how's it going|(?:so|very) much|a lot|de nada|(?:re|res)(?= ?:)|"
    r"pel[ao] (?:aten[çc][ãa]o|retorno|ajuda|contato|resposta|atendimento)|for (?:your|the) (?:help|reply|support)|"
    r"(?:chamado|ticket|protocolo|caso|case)\b[ #:nº°]{0,4}[\d-]+)|\A\W*car[oa](?= \w)"
)


def _folded(word: str) -> str:
    """A word in lower case without repeated letters: people write `oiii` and `obrigadooo`."""
    return _REPEATED.sub(r"\1", word.casefold())


_ACKNOWLEDGEMENTS: Final = """
ok okay okey blz beleza valeu vlw brigado brigada obg obrigadão perfeito perfect certo great cool como vai está vão
you é muito so very mesmo grande um uma de bem e boa bye tchau até mais logo com vocês você tá td
bjs abs opa eai eae oie fala salve alô alo alow bomdia boatarde boanoite tdo tds gm yo howdy obgd obgda brigadão
brigadinha obrigadinha thx ty tks tnx u flw agradeço entendi entendido combinado show top rs rsrs
many viu mt mto ta vc vcs gratidão night tmj
"""
# "Caro" is also the word for "expensive": as a greeting, it stands before other words.
_SMALL_TALK: Final = frozenset(map(_folded, [*COURTESIES, *_ACKNOWLEDGEMENTS.split()])) - {"caro", "cara"}


def word_chars(cleaned: str) -> int | None:
    """The number of characters of a text; None for texts that say little about their language.

    These are short texts, texts in capitals, and texts with many digits or an address: their words are split into
    many tokens in any language.
    """
    if len(cleaned) < _MIN_CHARS or cleaned.isupper() or "@" in cleaned or "://" in cleaned:
        return None
    return len(cleaned) if sum(map(str.isdigit, cleaned)) < _MAX_DIGIT_SHARE * len(cleaned) else None


def tokens_per_char_limit(texts: Sequence[str], tokens: Sequence[Tokens]) -> float | None:
    """The 99.5 % quantile of tokens per character of different cleaned texts; None from fewer than 200."""
    ratios = sorted(
        (len(tokenized.ids) - _SPECIAL_TOKENS) / chars
        for text, tokenized in zip(texts, tokens, strict=True)
        if not tokenized.truncated and (chars := word_chars(text)) is not None
    )
    return ratios[math.ceil(LIMIT_QUANTILE * len(ratios)) - 1] if len(ratios) >= _MIN_TEXTS else None


def has_unknown_words(cleaned: str, tokens: Tokens, probabilities: Probabilities, thresholds: Thresholds) -> bool:
    """Whether a text has more tokens per character than nearly all training rows and is unlike their languages.

    Never if the version was trained on too few texts: then it has no `tokens_per_char`.
    """
    limit = thresholds.tokens_per_char
    if limit is None or not probabilities or tokens.truncated or (chars := word_chars(cleaned)) is None:
        return False
    other = 1.0 - sum(probabilities.get(language, 0.0) for language in thresholds.languages)
    ratio = (len(tokens.ids) - _SPECIAL_TOKENS) / chars / limit
    return ratio > 1.0 and ratio + _OTHER_LANGUAGE_WEIGHT * other > _UNKNOWN_WORDS


def unlearned_reason(
    cleaned: str, tokens: Tokens, probabilities: Probabilities, thresholds: Thresholds
) -> AbstainReason | None:
    """The reason not to judge a text that passed `abstain_reason`: the training rows were unlike it."""
    if is_other_language(probabilities, thresholds.languages, thresholds.other_language):
        return AbstainReason.OTHER_LANGUAGE
    if has_unknown_words(cleaned, tokens, probabilities, thresholds):
        return AbstainReason.UNKNOWN_WORDS
    return None


def abstain_reason(text: str, cleaned: str) -> AbstainReason | None:
    """The reason, found in the text alone, to make no decision; None if a model may judge the text.

    Args:
        text: subject, newline, body, as received.
        cleaned: the text as the model reads it.
    """
    if is_automatic(text):
        return AbstainReason.AUTOMATIC
    words = _NOT_WORDS.sub(" ", cleaned) if any(sign in cleaned for sign in ("<", "&", "/", "www", "[")) else cleaned
    if len(words) <= _MAX_GREETING_CHARS:
        words = _LAUGHTER.sub(" ", words)
    if not _TWO_LETTERS.search(words):
        return AbstainReason.NO_WORDS
    if _MAYBE_OTHER_SCRIPT.search(words):
        letters = len(_LETTER.findall(words))
        if letters - len(_LATIN.findall(words)) > MAX_OTHER_SCRIPT_SHARE * letters:
            return AbstainReason.OTHER_SCRIPT
    if len(words) <= _MAX_GREETING_CHARS:
        rest = _WORD.findall(_PHRASES.sub(" ", words))
        if all(_folded(word) in _SMALL_TALK for word in rest) and (rest or not _DIGIT.search(words)):
            return AbstainReason.GREETING
    return None
