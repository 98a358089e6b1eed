"""Labels quoted mail: below attributions and header blocks, between marks, and where markup says so.

A quote that the customer forwards or points to ("see below") stays.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from triagem.contracts.cleaning import quote_patterns as patterns
from triagem.contracts.cleaning.additions import Line, Part, breaks_off, label_tail, own_text
from triagem.contracts.cleaning.readable import BLOCK_QUOTE, MARKUP_QUOTE

_MARKS: Final = (MARKUP_QUOTE, BLOCK_QUOTE, ">")
_STRIPPED: Final = "".join(_MARKS) + " "
_LONGEST: Final = 500  # characters of a line that opens a quote
# maximum number of words above a forwarded mail; with so few words, the forwarded mail is the message
_SHORT_NOTE: Final = 15


class _Subject(NamedTuple):
    text: str
    reply: bool
    forward: bool


class _Opening(NamedTuple):
    """The lines that introduce a quoted mail."""

    length: int
    answered: bool = False  # marked lines follow, and the customer's own words may follow the marked lines


def label_quotes(subject: str, body: Sequence[Line]) -> list[Line]:
    """Label the quoted mail among the own lines of `body`; forwarded mail stays, without marks."""
    prefixes = match[0] if (match := patterns.PREFIXES.match(subject)) else ""
    about = _Subject(subject[:300], bool(patterns.REPLY.search(prefixes)), bool(patterns.FORWARD.search(prefixes)))
    lines = [line.text if line.part is Part.OWN else "" for line in body]
    labelled, above, seen, at = list[Line](), "", False, 0  # above: the last own line that is not empty
    while at < len(lines):
        run = _marked_run(lines, at)
        end = at + max(run, 1)
        opening = None if run else _opening(lines, at, about)
        quoted = opening or (run and (seen or _is_quote(lines[at:end], above, about)))
        if not quoted or (not seen and breaks_off(above)):
            labelled += body[at:end]
            above = next(filter(None, reversed(lines[at:end])), above)
            at = end
            continue
        if not seen and (about.forward or _passes_on(labelled, lines[at : min(end, at + 4)])):
            return labelled + [Line(line.part, line.text.lstrip(_STRIPPED)) for line in body[at:]]
        if opening:
            end = at + opening.length if opening.answered else len(lines)
        labelled += [Line(Part.QUOTE, line.text) for line in body[at:end]]
        seen, at = True, end
    return labelled


def _passes_on(note: Sequence[Line], quote: Sequence[str]) -> bool:
    """Whether the note points to the text below it, or is a short note above the marker of a forwarded mail."""
    if patterns.POINTS_BELOW.search(" ".join(own_text(note))):
        return True
    marker = any(patterns.FORWARD_MARKER.match(line.lstrip(_STRIPPED)) for line in quote)
    return marker and len(" ".join(own_text(label_tail(note))).split()) < _SHORT_NOTE


def _marked_run(lines: Sequence[str], at: int) -> int:
    """The number of lines from `at` that are marked as quoted, with the empty lines between them."""
    end = last = at
    while end < len(lines) and (lines[end].startswith(_MARKS) or (not lines[end] and last > at)):
        end += 1
        last = end if lines[end - 1] else last
    return last - at


def _is_quote(run: Sequence[str], above: str, about: _Subject) -> bool:
    """Whether marked lines are a quoted mail: by markup, by an attribution, or as the beginning of a reply."""
    if any(line.startswith(MARKUP_QUOTE) for line in run) or patterns.SOMEBODY_WROTE.search(above):
        return True
    if about.reply and not above and run[0].startswith(">"):
        return True
    inner = [line.lstrip(_STRIPPED) for line in run[:6]]
    return any(_opening(inner, at, _Subject("", reply=True, forward=False)) for at in range(len(inner)))


def _opening(lines: Sequence[str], at: int, about: _Subject) -> _Opening | None:
    """The opening of a quoted mail at line `at`, if there is one."""
    text = lines[at]
    if not text or len(text) > _LONGEST:
        return None
    if patterns.FORWARD_MARKER.match(text) or (
        patterns.ABOVE_THIS_LINE.fullmatch(text) and (about.reply or not text[0].isalpha())
    ):
        return _Opening(1)
    if original := patterns.ORIGINAL.fullmatch(text):
        below = next(filter(None, lines[at + 1 : at + 3]), "")
        return _Opening(1) if original[1] or patterns.HEADER.match(below) else None
    return _header(lines, at, about) if patterns.HEADER.match(text) else _attribution(lines, at, about)


def _attribution(lines: Sequence[str], at: int, about: _Subject) -> _Opening | None:
    """An attribution of up to three lines: above marked lines, or in a form that only programs write."""
    text = ""
    for end in range(at + 1, min(at + 3, len(lines)) + 1):
        if text.endswith(".") or len(lines[end - 1]) > _LONGEST:
            break
        text = f"{text} {lines[end - 1]}".strip()
        match = patterns.ATTRIBUTION.match(text)
        whole = match.end() == len(text) if match else end == at + 1 and patterns.ADDRESS_AND_COLON.fullmatch(text)
        if whole and next(filter(None, lines[end : end + 3]), "").startswith(_MARKS):
            return _Opening(end - at, answered=True)
        apart = about.reply and not any(lines[max(0, at - 1) : at]) and not any(lines[end : end + 1])
        certain = (match and patterns.ONLY_PROGRAMS_WRITE.search(match[0])) or (
            apart and patterns.EXACT_ATTRIBUTION.fullmatch(text)
        )
        if certain and not patterns.OWN_ACCOUNT.search(text):
            return _Opening(end - at)
    return None


def _header(lines: Sequence[str], at: int, about: _Subject) -> _Opening | None:
    """A header block: sender, date and subject, and four signs that the customer did not write it as a form."""
    fields, end = dict[str, str](), at
    while end < min(at + 14, len(lines)):
        field = patterns.HEADER.match(lines[end])
        if not field and lines[end] and "@" not in lines[end]:
            break
        if field and field.lastgroup:
            fields[field.lastgroup] = field[0]
        end += 1
        if field and "subject" in fields and not any(lines[end : end + 1]):
            break
    if (
        not {"sender", "subject"} <= fields.keys()
        or not {"sent", "date"} & fields.keys()
        or any(lines[end : end + 1])
    ):
        return None
    above = lines[max(0, at - 5) : at]
    around = [next(filter(None, reversed(above[-3:])), ""), *lines[at : end + 3]]
    if any(map(patterns.FORM_FIELD.match, around)) or patterns.FORM.search(" ".join([about.text, *above])[:900]):
        return None
    bold = lines[at].startswith("*")  # HTML converted to text
    signs = (
        about.reply, bold, bold, "sent" in fields, "@" in fields["sender"],
        not above or not above[-1] or patterns.RULE.fullmatch(above[-1]),
        patterns.TIME.search(fields.get("sent", "") + fields.get("date", "")),
    )  # fmt: skip
    return _Opening(end - at) if sum(map(bool, signs)) >= 4 else None
