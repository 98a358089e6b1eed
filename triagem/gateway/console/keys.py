"""Which key means what: numbers for labels, their first letters too, what is left for the rest. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from string import ascii_lowercase
from typing import Final

from triagem.contracts.errors import InvalidInput


class Act(StrEnum):
    """What can be done with a text beside giving it a label."""

    UNCLEAR = "unclear"
    BACK = "back"
    SKIP = "skip"
    MORE = "more"
    QUIT = "quit"


# Its letter, where no label begins with it; and a key that is always its own.
_ACTS: Final = {
    Act.UNCLEAR: ("u", "?"),
    Act.BACK: ("b", "\x7f"),
    Act.SKIP: ("s", " "),
    Act.MORE: ("m", "+"),
    Act.QUIT: ("q", "."),
}


class Keys:
    """The keys for some labels. `labels` and `acts` say which to press for each."""

    def __init__(self, labels: Sequence[str]) -> None:
        first = [label[0].lower() for label in labels]
        own = {letter for letter in first if first.count(letter) == 1 and letter in ascii_lowercase}
        letters = {letter for letter, _ in _ACTS.values()}
        numbers = "123456789" + "".join(one for one in ascii_lowercase if one not in own | letters)
        if len(labels) > len(numbers):
            raise InvalidInput(f"{len(labels)} labels have no room on a keyboard: use `triagem review label`")
        self._meant: dict[str, str | Act] = {}
        self.labels: dict[str, str] = {}
        self.acts: dict[Act, str] = {}
        for key, letter, label in zip(numbers, first, labels, strict=False):
            self._meant[key] = label
            self.labels[label] = f"{key}/{letter}" if letter in own else key
            if letter in own:
                self._meant[letter] = label
        for act, (letter, always) in _ACTS.items():
            self._meant[always] = act
            self.acts[act] = always if letter in own else letter
            self._meant.setdefault(letter, act)

    def meaning(self, pressed: str) -> str | Act | None:
        """The label or the act of a key, or None if it has none."""
        return self._meant.get(pressed.lower())
