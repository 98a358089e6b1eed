"""The names that reviewers type: their own, and labels, which a typo must not add to."""

import getpass
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from triagem.contracts.errors import InvalidInput

UNCLEAR: Final = "unclear"
_MOST_CHARS: Final = 64


def reviewer_name(given: str | None) -> str:
    """The reviewer's name, by default the login's. Raises InvalidInput."""
    if given is None:
        try:
            given = getpass.getuser()
        except (OSError, KeyError):  # a container's user may have no name
            raise InvalidInput("who are you? This user has no login name: say it with --reviewer") from None
    return _name(given, "--reviewer")


def label_name(given: str) -> str:
    """A label as it is stored. Raises InvalidInput."""
    label = _name(given, "label")
    if label == UNCLEAR:
        raise InvalidInput(f"{UNCLEAR!r} is no label: it says that nobody can tell")
    return label


def check(label: str, known: Sequence[str]) -> None:
    """Raises InvalidInput for a label that neither the model nor a reviewer has used."""
    if label not in known:
        meant = get_close_matches(label, known, n=1)
        like = f", did you mean {meant[0]!r}?" if meant else f": known are {', '.join(known)}."
        raise InvalidInput(f"no label {label!r}{like} --new-label makes it one")


def _name(given: str, what: str) -> str:
    name = given.strip()
    if not name or len(name) > _MOST_CHARS or not name.isprintable():
        raise InvalidInput(f"{what} {given!r}: expected 1 to {_MOST_CHARS} printable characters")
    return name
