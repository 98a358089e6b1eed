"""Unicode normalization of untrusted text in linear time. The only caller of `unicodedata.normalize`."""

import re
from typing import Final, Literal
from unicodedata import combining, normalize  # noqa: TID251 - bounded here

# unicodedata.normalize sorts the marks of a letter in quadratic time: 49,000 pairs took 8 s on Python 3.11.
# Unicode's Stream-Safe Text Format allows 30 (UAX #15).
MAX_MARKS: Final = 30
# Not combining themselves, but some normal form turns each into combining marks.
_COMPOSED_MARKS: Final = "\u0f73\u0f75\u0f81\uff9e\uff9f"
_MARK: Final = (
    "[" + "".join(char for char in map(chr, range(0x300, 0x1E94B)) if combining(char)) + _COMPOSED_MARKS + "]"
)
_MANY_MARKS: Final = re.compile(f"({_MARK}{{{MAX_MARKS}}}){_MARK}+")


def normalized(form: Literal["NFC", "NFKD"], text: str) -> str:
    """`text` in a normal form, with at most `MAX_MARKS` combining marks in a row; further ones are dropped."""
    return _few_marks(normalize(form, _few_marks(text)))  # a normal form may have more marks than the text


def _few_marks(text: str) -> str:
    return _MANY_MARKS.sub(r"\1", text)
