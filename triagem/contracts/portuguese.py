"""Translates one-line English texts, such as the reason of a dead letter, into Brazilian Portuguese by patterns.

Reasons are stored and logged in English, so a page translates them when it shows them. `portuguese.toml` has the
patterns.
"""

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain, islice
from string import Formatter
from typing import Final

COMMAS_AND_POINTS: Final = str.maketrans(",.", ".,")
# A text may quote what somebody sent, so its length, its nesting and the places that are tried are limited.
_MAX_CHARS: Final = 1000
_MAX_DEPTH: Final = 5
_MAX_COLONS: Final = 3
# Values with these names are numbers.
_NUMBERS: Final = frozenset(("rows", "count", "number", "low", "high", "model", "baseline"))
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]\d+)?%?")
_LIST_MARK: Final = re.compile(r"\s*\d+\. ")
# What a reason is about: a field or a file and its line; a field and its expression; a field of a file or its table.
# The name of a file may have blanks, such as `export (1).csv`.
_PLACE: Final = re.compile(r"\S+(?: = .{1,100}| \[[^\]]+\](?: \S+)?)?|\S*[./]\S* [\w.?-]+|[\w ().-]+\.\w+(?::\d+)?")


def in_portuguese(text: str) -> str | None:
    """The text in Portuguese, its numbers too; None if no pattern matches, such as for another release's reason."""
    return _translate(text, _MAX_DEPTH) if len(text) <= _MAX_CHARS else None


@lru_cache(4096)
def _translate(text: str, depth: int) -> str | None:
    """The text in Portuguese; None if no pattern matches, or texts within texts are nested deeper than `depth`."""
    if _NUMBER.fullmatch(text):
        return text.translate(COMMAS_AND_POINTS)
    if not depth:
        return None
    for separator in ("\n", "; "):
        if separator in text and (parts := _each(text, separator, depth)):
            return parts
    if mark := _LIST_MARK.match(text):
        translated = _translate(text[mark.end() :], depth - 1)
        return translated and mark.group() + translated
    return _sentence(text, depth)


def _sentence(text: str, depth: int) -> str | None:
    """The text by the most specific pattern that matches it, or by one that matches what follows a place."""
    for pattern, translation in _patterns():
        if match := pattern.fullmatch(text):
            values = {name: _value(name, value, depth) for name, value in match.groupdict().items()}
            if None not in values.values():
                return translation.format(**values)
    for colon in islice(re.finditer(": ", text), _MAX_COLONS):
        place, reason = text[: colon.start()], text[colon.end() :]
        if _PLACE.fullmatch(place) and (translated := _translate(reason, depth - 1)):
            return f"{place}: {translated}"
    return None


def _each(text: str, separator: str, depth: int) -> str | None:
    """The text with each of its parts in Portuguese; None if a part cannot be translated."""
    parts = []
    for part in text.split(separator):
        if (translated := _translate(part, depth - 1)) is None:
            return None
        parts.append(translated)
    return separator.join(parts)


def _value(name: str, value: str, depth: int) -> str | None:
    """A value of a pattern in Portuguese. A name such as that of an error is not translated."""
    if name.startswith("list"):
        return ", ".join(_translate(item, depth - 1) or item for item in value.split(", "))
    if name.startswith("reason"):
        return _translate(value, depth - 1) or (value if len(value.split()) == 1 else None)
    value = value.replace(" or ", " ou ") if name == "values" else value
    return value.translate(COMMAS_AND_POINTS) if _NUMBER.fullmatch(value) else value


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Each pattern with its translation, the most specific first."""
    tables = tomllib.loads(files("triagem.contracts").joinpath("portuguese.toml").read_text(encoding="utf-8"))
    texts = chain.from_iterable(table.items() for table in tables.values())
    most_specific_first = sorted(texts, key=lambda pair: -len(re.sub(r"{\w+}", "", pair[0])))
    return [(_compiled(english), portuguese) for english, portuguese in most_specific_first]


def _compiled(template: str) -> re.Pattern[str]:
    parts, names = list[str](), set[str]()
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if name:
            value = r"[+-]?[\d,.]+" if name in _NUMBERS else r"\S+" if name == "version" else ".+?"
            parts.append(f"(?P={name})" if name in names else f"(?P<{name}>{value})")
            names.add(name)
    return re.compile("".join(parts), re.DOTALL)
