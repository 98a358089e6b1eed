"""Makes a message readable: decodes remains of mail encodings and converts HTML to lines of plain text.

It uses bounded regular expressions instead of html.parser, which takes quadratic time and changes with patch releases
of Python.
"""

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from html import unescape
from html.entities import html5
from typing import Final
from urllib.parse import unquote

from triagem.contracts.unicode_form import normalized

MARKUP_QUOTE: Final = "\x00"  # begins a line that markup says is quoted, such as Gmail's; never in a message itself
BLOCK_QUOTE: Final = "\x01"  # begins a line of a plain <blockquote>, which may be the customer's own
SIGNATURE: Final = "\x02"  # begins a line that markup says is a signature
MARKS: Final = MARKUP_QUOTE + BLOCK_QUOTE + SIGNATURE

# Control characters, zero-width and direction marks, lone surrogates; not the white space of str.split().
# Joiners stay between letters of scripts that are written with them, such as Persian and Hindi.
_JOINED: Final = "[\u0620-\u08ff\u0900-\u0dff]"
_INVISIBLE_CHARS: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]+"
)
_IDLE_JOINERS: Final = re.compile(f"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})")
_BEYOND_LATIN: Final = re.compile("[^\x00-\u02ff]")

_BLOCKS: Final = "blockquote|body|br|d[dlt]|div|h[1-6]|head|hr|html|li|ol|p|pre|t[dhr]|table|title|ul"
_MORE_BLOCKS: Final = (
    "address|article|aside|button|caption|center|details|fieldset|figcaption|figure|footer|form|header|label"
    "|legend|main|nav|optgroup|option|section|select|summary|tbody|textarea|tfoot|thead"
)
_BLOCK: Final = re.compile(rf"(?i)</?(?:{_BLOCKS}|{_MORE_BLOCKS})[\s/>]")
# Tags common in mail, closing tags and links are evidence of HTML; `a <b> c`, `cmd <option>`, `List<a>` are not.
_HTML: Final = re.compile(
    rf"(?i)<(?=(?:/?(?:{_BLOCKS}|font|img|meta|script|span|style)|/(?:{_MORE_BLOCKS}|a|b|em|i|strong|u))"
    r"(?:[\s/][^<>]*)?>|a\s[^<>]{0,200}?href=)"
)
_ESCAPED_HTML: Final = re.compile(r"(?i)\s*&(?:amp;)*lt;(?:[a-z!](?=(?s:.*)&(?:amp;)*lt;/))")  # begins with a tag
# Possessive, and never across a `<`: 100,000 characters of `<a` are read once.
_TAG: Final = re.compile(
    r"(?i)<(?:[!?][^<>]*|(/?)([a-z][\w:]*)(?=[\s/>])(?:(?:[^<>\"']++|\"[^\"<]*\"|'[^'<]*')*+|[^<>]*))>"
)
_SKIPPED: Final = "(?i:head|script|style|title)"
_HIDDEN: Final = (("<!--", "-->"), (rf"<{_SKIPPED}(?=[\s/>])", rf"</{_SKIPPED}\s*>"))  # opening, closing
_QUOTE_TAG: Final = re.compile(
    r"(?i)<(?:blockquote(?=[^>]*(?:type=[\"']?cite|\bcite=|\w_quote))"
    r"|div\b[^>]*(?:gmail_(?:attr|quote)|(?:protonmail|tutanota)_quote|yahoo_quoted|divRplyFwdMsg))"
)
_SIGNATURE_TAG: Final = re.compile(
    r"(?i)<div\b[^>]*(?:(?:gmail|moz-|mobile-|id=[\"']?)_?signature|AppleMailSignature)"
)
_QUOTED_TO_THE_END: Final = "divRplyFwdMsg"  # Outlook on the web: the quoted mail follows this element
_BLOCKQUOTE: Final = re.compile(r"(?i)<blockquote\b(?![^>]*border: ?none(?!; ?border))")  # without: an indent
_EMOJI: Final = re.compile(r"(?i)<img\s[^>]*?\balt=[\"']?([^\s\x00-\x7f]{1,8})[\"'\s/>]")  # a picture of a character

# `&amp;amp;lt;` at once; of the rest, only names that exist.
_ENTITY: Final = re.compile(r"(?i)&(?:amp;|#0*38;|#x26;)*(#\d{1,7}|#x[\da-f]{1,6}|[a-z]\w{1,31});")
_QUOTED_PRINTABLE: Final = re.compile(r"=[C-F][\dA-F]=[89AB][\dA-F]")  # two bytes of UTF-8 and more
# Latin-1: `=E7=E3o` and `=F5es` are endings of Portuguese words; other letters count if two words have them.
_LATIN_1_ENDING: Final = re.compile(r"[a-z](?:=E7)?=(?:E3o|F5es)\b|[a-z]=E1(?:vel|rio)|[a-z]=EDnea\b")
_LATIN_1_LETTER: Final = re.compile(r"\b[a-zA-Z]++(?:=(?:E[0-37-9ACD]|F[1-5AC]))++[a-z]++")
_ENCODED_WORD: Final = re.compile(r"=\?[\w-]{2,20}\?[bqBQ]\?[^?\s]{1,300}\?=")
_ESCAPED_LETTER: Final = re.compile(r"\\u00[c-fC-F][\da-fA-F](?=[a-z])|(?<=[a-z])\\u00[c-fC-F][\da-fA-F]")
_ESCAPED: Final = re.compile(r"\\u(?!d[89a-f])([\da-fA-F]{4})")
_ENCODED: Final = re.compile(r"((?:=[89A-F][\dA-F])+)|=20|=3D(?![\dA-F]{2})")
_SAFE_LINK: Final = re.compile(
    r"(?i)https?://[\w.-]{1,40}\.safelinks\.protection\.outlook\.com/[^\s<>\"?]{0,20}"
    r"\?url=([^\s<>\"&]{1,2000})[^\s<>\"]*"
)
_LINK: Final = re.compile(r"(?a)https?://[\w.-]+[\w./~:@%+,?=#-]*")
_IMAGE: Final = re.compile(
    r"(?i)\[(?:cid: ?[^\][\s]{1,100}|(?:image|imagem|imagen): ?[^\][\n]{1,100}\.(?:png|jpe?g|gif|bmp|webp))\]"
)  # a picture, in plain text
_BACKSLASHED: Final = re.compile(r"(?<!\S)[^\s\\]*+\\\S*+")  # a word with a backslash
_PATH: Final = re.compile(r"[A-Za-z]:\\|^\\\\|\\[^nr\"/\\]")
_LITERAL_BREAK: Final = re.compile(r"(?:\\r|\\n)+")
_CERTAIN_BREAK: Final = re.compile(r"\\r\\n|\\n\\n|(?:^|(?<=[.,;:!?)]))\\n|\\n(?![a-zß-ÿ])")


def visible(text: str) -> str:
    """`text` without invisible characters, in Unicode NFC."""
    if not text.replace("\n", "").isprintable():  # the quickest check; true of all but \u034f
        text = _INVISIBLE_CHARS.sub("", text)
    if text.isascii() or not _BEYOND_LATIN.search(text):
        return text  # is NFC
    text = text.replace("\u034f", "")
    if "\u200c" in text or "\u200d" in text:
        text = _IDLE_JOINERS.sub("", text)
    return normalized("NFC", text)


def readable(text: str) -> str:
    """`text` as lines of plain text; lines that markup quotes begin with `MARKUP_QUOTE` or `BLOCK_QUOTE`."""
    text = visible(text)
    if "=" in text:
        text = _decoded(text)
    if "\\u" in text and text.isascii() and _ESCAPED_LETTER.search(text):  # JSON in JSON
        text = visible(_ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), text))
    if "&" in text and _ESCAPED_HTML.match(text.partition("\n")[2] or text):
        text = visible(_unescaped(text))
    if "<" in text and (tag := _HTML.search(text)):
        text = _plain(text, tag.start())
    elif "&" in text:
        text = visible(_unescaped(text))
    if "safelinks" in text:
        text = _SAFE_LINK.sub(_original, text)
    if "\\" in text and any(map(_certainly_breaks, _BACKSLASHED.findall(text))):
        text = _BACKSLASHED.sub(_broken, text)
    if "[" in text and (without := _IMAGE.sub(" ", text)).strip():
        text = without
    return text


def sealed(text: str) -> str:
    """`text` with a space inside each remaining tag or entity, so that it is never decoded again."""
    if "<" in text:
        text = _HTML.sub("< ", text)
    return _ENTITY.sub(lambda entity: "& " + entity[0][1:], text) if "&" in text else text


def _decoded(text: str) -> str:
    """`text` without the encodings of mail headers and of quoted-printable bodies."""
    if "=?" in text:
        text = visible(_ENCODED_WORD.sub(_header, text))
    latin_1 = bool(_LATIN_1_ENDING.search(text)) or len(set(_LATIN_1_LETTER.findall(text))) > 1
    if latin_1 or _QUOTED_PRINTABLE.search(text):
        joined = re.sub(r"=\r?\n", "", text)
        text = visible(_ENCODED.sub(lambda encoded: _bytes(encoded, latin_1=latin_1), joined))
    return text


def _header(word: re.Match[str]) -> str:
    try:
        return str(make_header(decode_header(word[0])))
    except (LookupError, ValueError, HeaderParseError):
        return word[0]


def _unescaped(text: str) -> str:
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    known = entity[1][0] == "#" or f"{entity[1]};" in html5
    return unescape(f"&{entity[1]};") if known else entity[0]


def _bytes(encoded: re.Match[str], *, latin_1: bool) -> str:
    """The characters of encoded bytes in UTF-8 or, if `latin_1`, in Windows' Latin; other bytes stay as they are."""
    if not encoded[1]:
        return {"=20": " "}.get(encoded[0], "=")
    characters = bytes.fromhex(encoded[1].replace("=", ""))
    try:
        return characters.decode()
    except UnicodeDecodeError:
        return characters.decode("cp1252", errors="replace") if latin_1 else encoded[0]


def _original(link: re.Match[str]) -> str:
    """The original address behind a safe-link."""
    address = _LINK.match(unquote(link[1]))
    return address[0] if address else link[0]


def _certainly_breaks(word: str) -> bool:
    return not _PATH.search(word) and bool(_CERTAIN_BREAK.search(word))


def _broken(word: re.Match[str]) -> str:
    return word[0] if _PATH.search(word[0]) else _LITERAL_BREAK.sub("\n", word[0])


def _plain(text: str, first_tag: int) -> str:
    """`text` with its HTML converted; a first line before all HTML is a plain subject."""
    subject, _, body = text.partition("\n")
    if first_tag < len(subject) or subject.lstrip().startswith("<"):
        subject, body = "", text
    plain = f"{visible(_unescaped(subject))}\n{_from_html(body)}"
    return plain if plain.strip(" \r\n\t" + MARKS) else text


def _from_html(html: str) -> str:
    """Convert HTML to lines of plain text: block elements end lines, lines of quotes are marked."""
    for opens, closes in _HIDDEN:
        *closed, rest = re.split(closes, html)
        html = "".join(re.split(opens, part, maxsplit=1)[0] for part in closed) + rest
    if _BLOCK.search(html):  # otherwise keep the line breaks of the writer
        html = " ".join(html.splitlines())
    interleaved = "<blockquote" in html.lower()  # Gmail's outer quote may contain answers
    out, mark, quote, depth, at = list[str](), "", "", 0, 0
    for tag in _TAG.finditer(html):
        out.append(_visible_entities(html[at : tag.start()]))
        at, name = tag.end(), (tag[2] or "").lower()
        if name == quote:
            depth += -1 if tag[1] else 1
            quote = quote if depth else ""
        elif not quote and _QUOTE_TAG.match(tag[0]) and not (interleaved and name == "div" and "_quote" in tag[0]):
            quote, depth, mark = (_QUOTED_TO_THE_END if _QUOTED_TO_THE_END in tag[0] else name), 1, MARKUP_QUOTE
        elif not quote and _BLOCKQUOTE.match(tag[0]):
            quote, depth, mark = name, 1, BLOCK_QUOTE
        elif not quote and _SIGNATURE_TAG.match(tag[0]):
            quote, depth, mark = name, 1, SIGNATURE
        if _BLOCK.match(tag[0]):
            out.append("\n" + mark if quote else "\n")
        elif name == "img" and (emoji := _EMOJI.match(tag[0])):
            out.append(f" {emoji[1]} ")
    out.append(_visible_entities(html[at:]))
    return normalized("NFC", "".join(out))


def _visible_entities(text: str) -> str:
    return visible(_unescaped(text)) if "&" in text else text
