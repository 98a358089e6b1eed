"""Translates one-line English texts, such as the reason of a dead letter, into Brazilian Portuguese by patterns.

Reasons are stored and logged in English, so a page translates them when it shows them. `portuguese.toml` has the
patterns.
"""

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain
from string import Formatter
from typing import Final

COMMAS_AND_POINTS: Final = str.maketrans(",.", ".,")
_MAX_CHARS: Final = 2000
# Values with these names are numbers.
_NUMBERS: Final = frozenset(("rows", "count", "number", "low", "high", "model", "baseline"))
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?")
# What a reason is about: a field or a file and its line; a field and its expression; a field of a table of a file.
_PLACE: Final = re.compile(r"\S+(?: = .{1,81}| \[\S+\](?: \S+)?)?")


@lru_cache(4096)
def in_portuguese(text: str) -> str | None:
    """The text in Portuguese, its numbers too; None if no pattern matches, such as for another release's reason."""
    if _NUMBER.fullmatch(text):
        return text.translate(COMMAS_AND_POINTS)
    if len(text) > _MAX_CHARS:
        return None
    if all(parts := [in_portuguese(part) for part in text.split("; ")] if "; " in text else [None]):
        return "; ".join(part for part in parts if part)
    for pattern, translation in _patterns():
        if match := pattern.fullmatch(text):
            values = {name: _value(name, value) for name, value in match.groupdict().items()}
            if None not in values.values():
                return translation.format(**values)
    for colon in re.finditer(": ", text):
        place, reason = text[: colon.start()], text[colon.end() :]
        if _PLACE.fullmatch(place) and (translated := in_portuguese(reason)):
            return f"{place}: {translated}"
    return None


def _value(name: str, value: str) -> str | None:
    """A value of a pattern in Portuguese. A name such as that of an error is not translated."""
    if name.startswith("reason"):
        return in_portuguese(value) or (value if len(value.split()) == 1 else None)
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
            value = r"[+-]?[\d,.]+" if name in _NUMBERS else ".+?"
            parts.append(f"(?P={name})" if name in names else f"(?P<{name}>{value})")
            names.add(name)
    return re.compile("".join(parts), re.DOTALL)
