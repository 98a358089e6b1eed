"""Languages of a review session, and checks of the names that reviewers type. Needs no database driver."""

import getpass
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.gateway.console.messages import Lang


def terminal_language(environment: Mapping[str, str]) -> Lang:
    """The language set by the first non-empty of `LC_ALL`, `LC_MESSAGES` and `LANG`; English by default."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return Lang.PT if locale.lower().startswith("pt") else Lang.EN


UNCLEAR: Final = "unclear"


_MAX_CHARS: Final = 64


def reviewer_name(name: str | None) -> str:
    """The reviewer's name, by default the login name. Raises InvalidInput."""
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # a container's user may have no name
            raise InvalidInput("this user has no login name: set the reviewer with --reviewer") from None
    return _validate(name, "--reviewer")


def label_name(name: str) -> str:
    """A label as it is stored. Raises InvalidInput."""
    label = _validate(name, "label")
    if label == UNCLEAR:
        raise InvalidInput(f"{UNCLEAR!r} is not a label: it means that the label cannot be determined")
    return label


def require_known_label(label: str, known: Sequence[str]) -> None:
    """Raises InvalidInput for a label that neither the model nor a reviewer has used."""
    if label not in known:
        similar = get_close_matches(label, known, n=1)
        hint = f"did you mean {similar[0]!r}?" if similar else f"known labels: {', '.join(known)}."
        raise InvalidInput(f"unknown label {label!r}: {hint} Add --new-label to propose it")


def _validate(value: str, field: str) -> str:
    name = value.strip()
    if not name or len(name) > _MAX_CHARS or not name.isprintable():
        raise InvalidInput(f"{field} {value!r}: expected 1 to {_MAX_CHARS} printable characters")
    return name
