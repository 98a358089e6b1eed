"""Clean a message: strip HTML, quoted replies, disclaimers and signatures. Pure, versioned, linear in length.

Removing too much loses a customer's words; removing too little costs tokens. So a line is removed only on evidence
that it is not the customer's own text (decision 14). Words are never changed and personal data is not masked.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import groupby
from typing import Final, NamedTuple

from triagem.contracts.cleaning.addition_patterns import COURTESIES, GREETINGS
from triagem.contracts.cleaning.additions import (
    Line,
    Part,
    label_footers,
    label_markup_signature,
    label_rules,
    label_tail,
    own_text,
)
from triagem.contracts.cleaning.automatic import is_automatic
from triagem.contracts.cleaning.quote_patterns import PREFIXES
from triagem.contracts.cleaning.quotes import label_quotes
from triagem.contracts.cleaning.readable import BLOCK_QUOTE, MARKS, MARKUP_QUOTE, SIGNATURE, readable, sealed, visible

__all__ = ["CLEANING_VERSION", "Part", "Segment", "clean", "digest", "is_automatic", "plain", "segments"]

_BLANK_LINES: Final = re.compile(r"\n(?:[^\S\n]*+\n){2,}")
CLEANING_VERSION: Final = 3
_PASSES: Final = 8  # passes; removing tags and lines may uncover an encoding, which may hide another one


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
        decoded = " ".join(line.lstrip(MARKS) for line in own_text(_labelled(decoded)))
    line = sealed(" ".join(decoded.split() or visible(text).split()))
    for _ in range(_PASSES if any(char in line for char in "&<=\\[") else 0):
        again = sealed(" ".join(readable(line).split())) or line
        if again == line:
            break
        line = again
    return line


def segments(text: str) -> list[Segment]:
    """`text` as a person reads it, with the origin of each line: `clean` keeps the lines of `Part.OWN`."""
    return [
        Segment(part, "\n".join(_for_display(line.text) for line in lines))
        for part, lines in groupby(_labelled(readable(text)), key=lambda line: line.part)
    ]


def plain(text: str) -> str:
    """Convert `text` for display: HTML to lines of plain text, quotes marked with `> `.

    Only blank lines are removed: nested elements of HTML leave several where a person sees one.
    """
    return _BLANK_LINES.sub("\n\n", "\n".join(map(_for_display, readable(text).splitlines()))).strip("\n")


def digest(clean_text: str) -> bytes:
    """SHA-256 of the UTF-8 text, 32 bytes: a model does not classify a text with an equal digest again."""
    return sha256(clean_text.encode()).digest()


def _labelled(text: str) -> list[Line]:
    """Label a readable text's lines. The first is the subject; all are `OWN` if only courtesies would remain."""
    subject, *rest = text.rstrip().splitlines() or [""]
    stripped = ["-- " if line[:2] == "--" and line[2:].isspace() else line.strip() for line in rest]
    body = label_footers(stripped)
    first = Line(Part.OWN, subject)
    is_sentence = subject.endswith((".", "!", "?")) and not PREFIXES.match(subject)  # a chat has no subject
    for attempt in (label_quotes(subject, body), body):
        labelled = label_tail(label_markup_signature(attempt))
        if _says_something([first, *labelled] if is_sentence else labelled):
            return [first, *label_rules(labelled)]
    return [first, *(body if subject.strip() or any(own_text(body)) else [Line(Part.OWN, line) for line in stripped])]


def _says_something(lines: Sequence[Line]) -> bool:
    """Whether the own lines are more than a greeting and a closing. Thanks alone are an answer."""
    words = re.findall(r"[^\W_]+", " ".join(own_text(lines))[:400])
    if any(word.lower() in GREETINGS for word in words):
        return len(words) > 15 or any(word.lower() not in COURTESIES and word[0].islower() for word in words)
    return bool(words) or any(line.strip(MARKS + "> -_=*~") for line in own_text(lines))


def _for_display(line: str) -> str:
    return f"> {line[1:]}" if line.startswith((BLOCK_QUOTE, MARKUP_QUOTE)) else line.lstrip(SIGNATURE)
