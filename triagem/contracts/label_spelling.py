"""Compares the spellings of labels. Pure."""

import re
from typing import Final
from unicodedata import category

from triagem.contracts.unicode_form import normalized

_BETWEEN_WORDS: Final = re.compile(r"(?<=[^\W\d_]) ?[-_\u2010-\u2014] ?(?=[^\W\d_])")  # not in A-, -1, 1-2
_QUOTED: Final = re.compile(r"([\"'])[^\"']+\1")


def folded_label(label: str) -> str:
    """A label without case, accents, invisible characters and quotes; its words are separated by single spaces."""
    plain = (char for char in normalized("NFKD", label.casefold()) if category(char) not in {"Mn", "Cf"})
    words = _BETWEEN_WORDS.sub(" ", " ".join("".join(plain).split()))
    return words[1:-1].strip() if _QUOTED.fullmatch(words) else words
