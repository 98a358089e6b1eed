"""Keyboard shortcuts of the review: numbers and first letters for labels, other keys for actions. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from string import ascii_lowercase
from typing import Final

from triagem.contracts.errors import InvalidInput


class ReviewAction(StrEnum):
    """An action on a text other than choosing a label."""

    UNCLEAR = "unclear"
    UNDO = "undo"
    SKIP = "skip"
    MORE = "more"
    QUIT = "quit"
    HELP = "help"


# Per action: a letter, used unless a label starts with it, and a key that always works.
_ACTIONS: Final = {
    ReviewAction.UNCLEAR: ("u", "0"),
    ReviewAction.UNDO: ("b", "\x7f"),
    ReviewAction.SKIP: ("s", " "),
    ReviewAction.MORE: ("m", "+"),
    ReviewAction.QUIT: ("q", "."),
    ReviewAction.HELP: ("?", "?"),
}


class KeyboardShortcuts:
    """The shortcuts for a list of labels. `labels` and `actions` map each to the keys to show.

    A letter belongs to the first label that starts with it: later labels do not change earlier shortcuts.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        first = [label[0].lower() for label in labels]
        own = set(first) & set(ascii_lowercase)
        letters = {letter for letter, _ in _ACTIONS.values()}
        numbers = "123456789" + "".join(letter for letter in ascii_lowercase if letter not in own | letters)
        if len(labels) > len(numbers):
            raise InvalidInput(
                f"{len(labels)} labels are too many for keyboard shortcuts: use `triagem review label`"
            )
        self._targets: dict[str, str | ReviewAction] = {}
        self.labels: dict[str, str] = {}
        self.actions: dict[ReviewAction, str] = {}
        for key, letter, label in zip(numbers, first, labels, strict=False):
            self._targets[key] = label
            has_letter = letter in own and letter not in self._targets
            self.labels[label] = f"{key}/{letter}" if has_letter else key
            if has_letter:
                self._targets[letter] = label
        for action, (letter, always) in _ACTIONS.items():
            self._targets[always] = action
            self.actions[action] = always if letter in own else letter
            self._targets.setdefault(letter, action)

    def action_for(self, pressed: str) -> str | ReviewAction | None:
        """The label or the action of a key; None if the key has no function."""
        return self._targets.get(pressed.lower())
