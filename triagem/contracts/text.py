"""Clean a message: strip HTML, quoted replies, disclaimers and signatures. Pure, versioned, linear in length.

Removing too much loses a customer's words; removing too little costs tokens. So a line is removed only on evidence
that it is not the customer's own text. Words are never changed and personal data is not masked.
"""

from hashlib import sha256
from itertools import groupby
from typing import Final, NamedTuple

from triagem.contracts.cleaning.automatic import is_automatic
from triagem.contracts.cleaning.mail import Line, Part, label
from triagem.contracts.cleaning.readable import BLOCK_QUOTE, MARKS, MARKUP_QUOTE, SIGNATURE, readable, sealed, visible

__all__ = ["CLEANING_VERSION", "Part", "Segment", "clean", "digest", "is_automatic", "plain", "segments"]

CLEANING_VERSION: Final = 2
_PASSES: Final = 8


class Segment(NamedTuple):
    """Consecutive lines of the same origin, as a person reads them."""

    part: Part
    text: str


def clean(text: str) -> str:
    """Clean `text` (subject, newline, body; plain or HTML) for classification: one line in Unicode NFC.

    Quoted mail, signatures, disclaimers and footers are removed. The first line, the subject, is never removed. In a
    text of one line only encodings and white space are normalized, so that `clean(clean(x)) == clean(x)`. The result
    is empty only if `text` has no visible character.
    """
    decoded = readable(text)
    if len(decoded.splitlines()) > 1:
        decoded = " ".join(line.text.lstrip(MARKS) for line in _lines(decoded) if line.part is Part.OWN)
    line = sealed(" ".join(decoded.split() or visible(text).split()))
    for _ in range(
        _PASSES if any(char in line for char in "&<=\\[") else 0
    ):  # what was removed can leave an encoding
        again = sealed(" ".join(readable(line).split())) or line
        if again == line:
            break
        line = again
    return line


def segments(text: str) -> list[Segment]:
    """`text` as a person reads it, with the origin of each line: `clean` keeps those of `Part.OWN`."""
    return [
        Segment(part, "\n".join(_for_display(line.text) for line in lines))
        for part, lines in groupby(_lines(readable(text)), key=lambda line: line.part)
    ]


def plain(text: str) -> str:
    """Convert `text` for display: HTML to lines of plain text, quotes marked with `> `. Nothing else is removed."""
    return "\n".join(map(_for_display, readable(text).splitlines())).strip("\n")


def digest(clean_text: str) -> bytes:
    """SHA-256 of the UTF-8, 32 bytes: the same model need not classify an equal digest again."""
    return sha256(clean_text.encode()).digest()


def _lines(text: str) -> list[Line]:
    """The subject and the labelled lines of the body."""
    subject, *body = text.rstrip().splitlines() or [""]
    if not body:
        return [Line(Part.OWN, subject)]
    body = ["-- " if line[:2] == "--" and line[2:].isspace() else line.strip() for line in body]
    return [Line(Part.OWN, subject), *label(subject, body)]


def _for_display(line: str) -> str:
    return f"> {line[1:]}" if line.startswith((BLOCK_QUOTE, MARKUP_QUOTE)) else line.lstrip(SIGNATURE)
