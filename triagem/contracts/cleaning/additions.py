"""Labels what programs and habits add to a message: footers, disclaimers and signatures."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from triagem.contracts.cleaning import addition_patterns as patterns
from triagem.contracts.cleaning.quote_patterns import RULE, SOMEBODY_WROTE
from triagem.contracts.cleaning.readable import SIGNATURE

_TAIL: Final = 40  # signatures and disclaimers begin in the last lines


class Part(StrEnum):
    """The origin of a line."""

    OWN = "own"
    QUOTE = "quote"
    SIGNATURE = "signature"
    DISCLAIMER = "disclaimer"
    FOOTER = "footer"


class Line(NamedTuple):
    """A line of a message and its origin."""

    part: Part
    text: str


def own_text(lines: Sequence[Line]) -> list[str]:
    """The texts of the customer's own lines."""
    return [line.text for line in lines if line.part is Part.OWN]


def breaks_off(above: str) -> bool:
    """Whether a line is the first half of a sentence ("I need:"): the next lines are then the customer's own text."""
    return above.endswith(":") and not SOMEBODY_WROTE.search(above)


def label_footers(lines: Sequence[str]) -> list[Line]:
    """Label lines that match a pattern of `FOOTERS` entirely, unless the next line continues the sentence.

    Only the footers of devices ("Sent from my phone") may be in the first person.
    """
    if not patterns.FOOTER_HINT.search("\n".join(lines)):
        return [Line(Part.OWN, text) for text in lines]
    labelled, below_scan = list[Line](), False
    for text, below in zip(lines, [*lines[1:], ""], strict=True):
        continues = below[:1].islower() and not patterns.LINK_ALONE.fullmatch(below)
        hint = len(text) < 400 and not continues and patterns.FOOTER_HINT.search(text)
        name = (
            next((name for name, pattern in patterns.FOOTERS.items() if pattern.fullmatch(text)), "") if hint else ""
        )
        if name != "device" and patterns.FIRST_PERSON.search(text):
            name = ""
        footer = name or (below_scan and patterns.LINK_ALONE.fullmatch(text))
        labelled.append(Line(Part.FOOTER if footer else Part.OWN, text))
        below_scan = name == "virus scan" or (below_scan and not text)
    return labelled


def label_rules(lines: Sequence[Line]) -> list[Line]:
    """Label lines of dashes, and a delimiter without the customer's own text below it."""
    last = max((at for at, line in enumerate(lines) if line.part is Part.OWN and line.text), default=-1)
    return [
        Line(Part.FOOTER, text)
        if part is Part.OWN and (patterns.DELIMITER if at == last else RULE).fullmatch(text)
        else line
        for at, line in enumerate(lines)
        for part, text in (line,)
    ]


def label_markup_signature(lines: Sequence[Line]) -> list[Line]:
    """Label lines that markup says are a signature, unless one of them reads like a request."""
    marked = [text.lstrip(SIGNATURE) for _, text in lines if text.startswith(SIGNATURE)]
    is_request = any(
        len(text) > 120 or patterns.REQUEST.search(text) or patterns.FIRST_PERSON.search(text) for text in marked
    )
    part = Part.OWN if is_request else Part.SIGNATURE
    return [Line(part, line.text.lstrip(SIGNATURE)) if line.text.startswith(SIGNATURE) else line for line in lines]


def label_tail(lines: Sequence[Line]) -> list[Line]:
    """Label a disclaimer, then a signature, that ends the own text."""
    for part, begin in ((Part.DISCLAIMER, _disclaimer), (Part.SIGNATURE, _signature)):
        own = [at for at, line in enumerate(lines) if line.part is Part.OWN]
        texts = [lines[at].text for at in own]
        for first in range(max(0, len(own) - _TAIL), len(own)):
            kept = begin(texts[first:])
            if kept is not None and not breaks_off(next(filter(None, reversed(texts[:first])), "")):
                cut = set(own[first + kept :])
                lines = [Line(part, line.text) if at in cut else line for at, line in enumerate(lines)]
                break
    return list(lines)


def _disclaimer(tail: Sequence[str]) -> int | None:
    """0, the number of lines to keep, if `tail` is a disclaimer; else None."""
    if not patterns.NOTICE.match(tail[0]) or sum(map(len, tail)) > 4000:
        return None
    text = "\n".join(tail).strip()
    paragraphs = [
        set(patterns.LEGAL_TERM.findall(part.lower())) for part in text.split("\n\n") if len(part.split()) > 5
    ]
    forms = set(map(str.lower, patterns.NOTICE_FORM.findall(text.replace("\n", " "))))
    legal = all(paragraphs) and len(set().union(*paragraphs)) >= 3
    return 0 if legal and len(forms) >= 2 and not patterns.FIRST_PERSON.search(text) else None


def _signature(tail: Sequence[str]) -> int | None:
    """The number of lines to keep (a line of thanks) if `tail` is a signature, else None.

    A signature is a closing or a delimiter, followed by a name and lines that each look like a part of a signature.
    Thanks and lines of dashes are weaker evidence: they also need a contact below them.
    """
    closing, thanks, delimiter = (
        pattern.fullmatch(tail[0]) for pattern in (patterns.CLOSING, patterns.THANKS, patterns.DELIMITER)
    )
    if not (closing or thanks or delimiter):
        return None
    texts = [(closing[1] or "") if closing else "", *tail[1:]]
    names = [part for text in texts for part in map(str.strip, patterns.COLUMNS.split(text)) if part]
    if not names:
        return 0 if closing else None
    if len(names) > 10 or (tail[0].isupper() and names[0].isupper()):
        return None  # in an all-caps mail, capitals do not indicate a name
    if not patterns.NAME.fullmatch(names[0]) or patterns.REQUEST.search(names[0]):
        return None
    contacts = [at for at, text in enumerate(names) if patterns.CONTACT.search(text)]
    weak = thanks or len(names) > 6 or (delimiter and tail[0].rstrip() != "--")
    slogans = range(max(contacts, default=0) if delimiter else 0)  # a short sentence between the name and a contact
    if (weak and not contacts) or not all(
        _in_signature(text) or (at in slogans and len(text.split()) <= 6) for at, text in enumerate(names) if at
    ):
        return None
    return 1 if thanks else 0


def _in_signature(text: str) -> bool:
    """Whether the line is a contact, a role or capitalized names, and not a request."""
    contact = patterns.CONTACT.search(text)
    if len(text) > 120 or patterns.REQUEST.search(patterns.ADDRESSES.sub("", text)):
        return False
    words = len(patterns.LOWER_CASE.findall(text))
    limit = 3 if patterns.ROLE.search(text) else 1 if contact else 0
    return words <= limit and (bool(limit) or not patterns.INFINITIVE.match(text))
