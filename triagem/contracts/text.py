"""Clean a message: strip HTML, quoted replies, disclaimers and signatures. Pure, versioned, linear in length.

Removing too much loses a customer's words; removing too little costs tokens. So every rule requires strong evidence,
and nothing is removed that would leave an empty text. Words are never changed and personal data is not masked.
"""

import re
from hashlib import sha256
from html import unescape
from typing import Final
from unicodedata import normalize

CLEANING_VERSION: Final = 1

# Control characters, zero-width and direction marks, lone surrogates; not the white space of str.split().
_INVISIBLE_CHARS: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]+"
)
_BLOCKS: Final = "blockquote|body|br|d[dlt]|div|h[1-6]|head|hr|html|li|ol|p|pre|t[dhr]|table|title|ul"
_BLOCK: Final = re.compile(rf"(?i)</?(?:{_BLOCKS})[\s/>]")
# Tags common in mail, closing tags and links are evidence of HTML; `a <b> c` and `List<a>` are not.
_HTML: Final = re.compile(
    rf"(?i)<(?=(?:/?(?:{_BLOCKS}|font|img|meta|script|span|style)|/(?:a|b|em|i|strong|u))(?:[\s/][^<>]*)?>"
    r"|a\s[^<>]{0,200}?href=)"
)
# Possessive, and never across a `<`: 100,000 characters of `<a` are read once.
_TAG: Final = re.compile(
    r"(?i)<(?:[!?][^<>]*|(/?)([a-z][\w:]*)(?=[\s/>])(?:(?:[^<>\"']++|\"[^\"<]*\"|'[^'<]*')*+|[^<>]*))>"
)
_SKIPPED: Final = "(?i:head|script|style|title)"
_HIDDEN: Final = (("<!--", "-->"), (rf"<{_SKIPPED}(?=[\s/>])", rf"</{_SKIPPED}\s*>"))  # opening, closing
_QUOTE: Final = re.compile(
    r"(?i)<(?:blockquote(?![^>]*border: ?none(?!; ?border))|div\b[^>]*(?:gmail_(?:attr|quote)|divRplyFwdMsg))"
)
_ENTITY: Final = re.compile(r"(?i)&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]\w{1,31});")  # unescape may fail on longer ones

_TIME: Final = r"[^\n]{0,40}\b20\d\d\b[^\n]{0,12}\d:\d\d"
_OPENING: Final = re.compile(  # opening lines of quoted mail, in the next ten lines
    r"(?is)(?P<forward>-{2,} ?(?:forwarded|mensagem encaminhada|mensaje reenviado)\b"
    r"|(?:begin forwarded message|início da mensagem (?:re)?encaminhada) ?:\n)"
    r"|(?P<thread>-{2,} ?(?:original message|mensagem original|mensaje original) ?--"
    r"|\*?(?:from|de) ?:(?=.*\n\*?(?:sent|date|enviad[oa](?: em| el)?|data|fecha) ?:)"
    r"(?=.*\n\*?(?:to|para) ?:)(?=.*\n\*?(?:subject|assunto|asunto) ?:))"
    rf"|(?P<reply>(?:on|em|el) {_TIME}[^\n?!]{{0,120}}(?:(?<!\.)\n[^\n?!]{{0,80}}){{0,2}}"  # may be wrapped
    r"\b(?:wrote|escreveu|escribió) ?:\n"
    rf"|[^\n<]{{1,99}}<[^<>\s]{{1,99}}> escreveu {_TIME}\)?:\n)"
)

_DEVICE: Final = re.compile(
    r"(?i)(?:sent (?:from|via)|enviad[oa] (?:do|da|desde|pelo|via|a partir do)) (?:(?:my|meu|mi) )?(?:ipad|"
    r"(?:i|smart)?phone|android|samsung|galaxy|xiaomi|redmi|moto\w*|outlook|yahoo|[eg]?-?mail|celular|mobile|"
    r"móvil)[.,]?(?: \S{1,80}){0,3}|(?:get|obte(?:r|nha) o) outlook (?:for|para) .{2,80}|[-_=*~]{5,}"
)
_NOTICE: Final = re.compile(
    r"(?i)\W{0,5}(?:confidential|disclaimer|(?:important|legal) notice|aviso (?:legal|de confidencialidade)|"
    r"this (?:e-?mail|message)|the (?:information|content)|est[ae] (?:mensagem|e-?mail)|as? informaç)"
)
_LEGAL: Final = re.compile(
    r"(?i)confiden[ct]i|privileg|sigilo|intended|recipient|addressee|destina[dt]|in error|by mistake|engano|"
    r"por erro|indevid|unauthori|autorizad|delete|apag|elimin|prohibited|proibid|disclos|divulga"
)
_CLOSING: Final = re.compile(
    r"(?i)(?:atte?|atenciosamente|atentamente|cordialmente|grat[oa]|abs|(?:um |grande ){0,2}abraços?|"
    r"(?:with )?(?:(?:best|kind|kindest|warm) )?regards|best wishes|sincerely|yours (?:truly|faithfully|"
    r"sincerely)|(?:un )?saludos?(?: cordiales)?)(?!\w)[ .,;:!-]{0,3}(.*)"
)
_WORD: Final = r"(?<![\w@./-])[a-zà-ÿ]{4,}(?![\w@/-]|\.\w)"  # lower-case, and not an address
_NAME: Final = re.compile(rf"(?!.*{_WORD})[^\d\s]+(?:\s[^\d\s]+){{0,4}}")
_SENTENCE: Final = re.compile(rf".{{81}}|(?i:p\.?s|obs)\b|.*[?!]$|(?:.*?{_WORD}){{2}}")


def clean(text: str) -> str:
    """Clean `text` (subject, newline, body; plain or HTML) for classification: one line in Unicode NFC.

    Quoted mail, signatures and disclaimers are removed. The first line, the subject, is never removed. In a text of
    one line only white space is normalized, so that `clean(clean(x)) == clean(x)`. The result is empty only if `text`
    has no visible character.
    """
    text = _visible(text)
    if "<" in text and (tag := _HTML.search(text)):
        text = _plain(text, tag.start())
    subject, *body = text.rstrip().splitlines() or [""]
    if body:
        body = ["-- " if line[:2] == "--" and line[2:].isspace() else line.strip() for line in body]
        own = _unquoted(body, forwarding=bool(re.match(r"(?i)\s*(?:fwd?|enc|rv) ?:", subject)))
        text = " ".join([subject, *next(filter(any, (_trimmed(own), _trimmed(body))), body)])
    text = " ".join(text.split())
    return _HTML.sub("< ", text) if "<" in text else text  # a quoted tag must not be read as HTML when cleaned again


def plain(text: str) -> str:
    """Convert `text` for display: HTML to lines of plain text, quotes marked with `> `. Nothing else is removed."""
    text = _visible(text)
    tag = _HTML.search(text) if "<" in text else None
    return _plain(text, tag.start()).strip() if tag else text


def digest(clean_text: str) -> bytes:
    """SHA-256 of the UTF-8, 32 bytes: the same model need not classify an equal digest again."""
    return sha256(clean_text.encode()).digest()


def _visible(text: str) -> str:
    return normalize("NFC", _INVISIBLE_CHARS.sub("", text))


def _plain(text: str, first_tag: int) -> str:
    """`text` with its HTML converted; a first line before all HTML is a plain subject."""
    subject, _, body = text.partition("\n")
    if first_tag < len(subject) or subject.lstrip().startswith("<"):
        subject, body = "", text
    plain = _visible(f"{subject}\n{_from_html(body)}")
    return plain if plain.strip() else text


def _from_html(html: str) -> str:
    """Convert HTML to plain mail: blocks end lines, quotes get `> `. Does not use html.parser: see decision 3."""
    for opens, closes in _HIDDEN:
        *closed, rest = re.split(closes, html)
        html = "".join(re.split(opens, part, maxsplit=1)[0] for part in closed) + rest
    if _BLOCK.search(html):  # else keep the line breaks: the writer made them
        html = " ".join(html.splitlines())
    interleaved = "<blockquote" in html.lower()  # Gmail's outer quote may contain answers
    out, quote, depth, at = list[str](), "", 0, 0
    for tag in _TAG.finditer(html):
        out.append(html[at : tag.start()])
        at, name = tag.end(), (tag[2] or "").lower()
        if name == quote:
            depth += -1 if tag[1] else 1
            quote = quote if depth else ""
        elif not quote and _QUOTE.match(tag[0]) and not (interleaved and name == "div" and "_quote" in tag[0]):
            quote, depth = ("the rest" if "divRplyFwdMsg" in tag[0] else name), 1
        if _BLOCK.match(tag[0]):
            out.append("\n> " if quote else "\n")
    return _ENTITY.sub(lambda entity: unescape(entity[0]), "".join([*out, html[at:]]))


def _unquoted(lines: list[str], *, forwarding: bool) -> list[str]:
    """`lines` without the quoted mail; all lines if they forward it with fewer than 15 words of their own."""
    kept, at = list[str](), 0
    while at < len(lines):
        marked = lines[at].startswith(">")
        ahead = "\n".join([*(line.lstrip("> ") for line in lines[at : at + 10]), ""])
        opening = _OPENING.match(ahead.lstrip("\n") if marked else ahead)
        kind = opening.lastgroup if opening else None
        below = at + opening[0].count("\n") if opening and kind == "reply" else at
        answered = below > at and "".join(lines[below : below + 3]).startswith(">")
        to_the_end = opening is not None and not marked and not answered  # else the writer's own words may follow
        first = to_the_end or ((marked or answered) and len(kept) == at < 100)
        if first and (forwarding or kind == "forward") and len(" ".join(_trimmed(kept)).split()) < 15:
            return kept + [line.lstrip("> ") for line in lines[at:]]
        if to_the_end:
            return kept
        above = kept[-1] if at and kept[-1:] == [lines[at - 1]] else ""
        if not answered and (not marked or re.match(r"[^\d@]*:$|>", above)):  # "I need:", "> this", "> that"
            kept.append(lines[at])
        at = below if answered and not marked else at + 1
    return kept


def _trimmed(lines: list[str]) -> list[str]:
    """`lines` without what mail programs add: device lines, the disclaimer at the end and the signature above it."""
    lines = [line for line in lines if not _DEVICE.fullmatch(line)]
    for begins in (_is_disclaimer, _is_signature):
        last = range(max(0, len(lines) - 40), len(lines))
        lines = lines[: next((at for at in last if begins(lines[at:])), len(lines))]
    return lines


def _is_disclaimer(tail: list[str]) -> bool:
    """Whether it begins like a disclaimer, has a legal term in each paragraph, and at least three different ones."""
    if not _NOTICE.match(tail[0]) or sum(map(len, tail)) > 4000:
        return False
    paragraphs = [_LEGAL.findall(part.replace("\n", " ").lower()) for part in "\n".join(tail).split("\n\n")]
    return all(paragraphs) and len(set().union(*paragraphs)) >= 3


def _is_signature(tail: list[str]) -> bool:
    """Whether it is a delimiter or a closing above a few short lines that begin with a name, not sentences."""
    closing = _CLOSING.fullmatch(tail[0])
    names = [line for line in [closing[1] if closing else "", *tail[1:]] if line]
    if tail[0] == "-- " or not names:
        return len(names) <= 10 and bool(closing or names)
    if not (closing or tail[0] == "--") or len(names) > 6 or (tail[0].isupper() and names[0].isupper()):
        return False  # in an all-caps mail, capitals do not indicate a name
    return bool(_NAME.fullmatch(names[0])) and not any(map(_SENTENCE.match, names))
