"""Languages of a review session, and detection of the terminal's language."""

from collections.abc import Mapping
from enum import StrEnum


class Language(StrEnum):
    """A language of the review session."""

    EN = "en"
    PT = "pt"


def terminal_language(environment: Mapping[str, str]) -> Language:
    """The language set by the first non-empty of `LC_ALL`, `LC_MESSAGES` and `LANG`; English by default."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return Language.PT if locale.lower().startswith("pt") else Language.EN
