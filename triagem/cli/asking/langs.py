"""The languages of a reviewing session, and which one a terminal speaks."""

from collections.abc import Mapping
from enum import StrEnum


class Lang(StrEnum):
    """A language that a session can be held in."""

    EN = "en"
    PT = "pt"


def spoken(environment: Mapping[str, str]) -> Lang:
    """The language of a terminal, by the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set; else English."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return Lang.PT if locale.lower().startswith("pt") else Lang.EN
