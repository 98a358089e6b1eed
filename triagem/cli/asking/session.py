"""Texts one by one: each answer is a verdict that stands before the next text is shown."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from triagem.cli.asking.langs import Lang
from triagem.cli.asking.words import words
from triagem.cli.output import visible
from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import Drawn, Missed, Verdict, give_back, judge, undo
from triagem.gateway.console.keys import Act, Keys

# What fits on a screen, twice; the model reads no more either.
_MOST_CHARS: Final = 4000


@dataclass
class Tally:
    """What came of a session."""

    labelled: int = 0
    unclear: int = 0
    skipped: int = 0


class Session:
    """One person at one terminal. `draw` hands out the next text, `read` waits for a key.

    Args:
        read: raises KeyboardInterrupt or EOFError where the person wants to end.
    """

    def __init__(
        self,
        database: Database,
        *,
        reviewer: str,
        labels: Sequence[str],
        draw: Callable[[], Drawn | None],
        read: Callable[[], str],
        screen: Console,
        lang: Lang,
    ) -> None:
        self._database, self._reviewer, self._draw, self._read, self._screen = database, reviewer, draw, read, screen
        self._keys, self._words = Keys(labels), words(lang)
        self._given: list[tuple[Drawn, Verdict, str | None]] = []
        self._in_hand: list[Drawn] = []  # more than one after going back
        self._tally = Tally()

    def run(self) -> Tally:
        """Ask until there is nothing left, or the person ends. What is in hand is given back then."""
        self._say(self._words.welcome)
        try:
            while self._in_hand or self._take():
                self._show(self._in_hand[-1])
                self._answer(self._in_hand[-1])
            self._say(self._words.none_left)
        except (KeyboardInterrupt, EOFError):
            pass
        finally:
            with suppress(Retryable):  # then the leases end by themselves
                give_back(self._database, self._reviewer, self._in_hand)
        self._say(self._words.done.format_map(vars(self._tally)))
        return self._tally

    def _take(self) -> bool:
        drawn = self._draw()
        if drawn is not None:
            self._in_hand.append(drawn)
        return drawn is not None

    def _answer(self, drawn: Drawn) -> None:
        """Read keys until one settles the text, or another text is to be shown."""
        while True:
            meant = self._keys.meaning(self._read())
            if meant is None:
                self._say(self._words.no_such_key)
            elif meant is Act.MORE:
                self._show(drawn, whole=True)
            elif meant is Act.QUIT:
                raise EOFError
            elif meant is Act.SKIP:
                self._in_hand.pop()  # its lease stays: it would be the next one again
                self._tally.skipped += 1
                return self._say(self._words.skipped)
            elif meant is Act.BACK:
                if self._take_back():
                    return None
            elif self._judge(drawn, None if meant is Act.UNCLEAR else meant):
                return None

    def _judge(self, drawn: Drawn, label: str | None) -> bool:
        """False: the text must be asked about once more."""
        whose = Identity(drawn.source, drawn.external_id)
        try:
            verdict = judge(self._database, whose, label, self._reviewer, digest=drawn.digest)
            if isinstance(verdict, Missed):
                give_back(self._database, self._reviewer, [drawn])
        except Retryable:
            self._say(self._words.again)
            return False
        self._in_hand.pop()
        if isinstance(verdict, Missed):
            self._say(self._words.missed[verdict])
            return True
        self._given.append((drawn, verdict, label))
        self._count(label, 1)
        self._say(self._words.unclear if label is None else self._words.saved.format(label=visible(label)))
        return True

    def _take_back(self) -> bool:
        """True: the last text is in hand again."""
        if not self._given:
            self._say(self._words.nothing_to_take_back)
            return False
        drawn, verdict, label = self._given[-1]
        try:
            undone = undo(self._database, verdict)
        except Retryable:
            self._say(self._words.again)
            return False
        self._given.pop()
        if not undone:
            self._say(self._words.cannot_be_taken_back)
            return False
        self._count(label, -1)
        self._in_hand.append(drawn)
        self._say(self._words.taken_back)
        return True

    def _count(self, label: str | None, change: int) -> None:
        if label is None:
            self._tally.unclear += change
        else:
            self._tally.labelled += change

    def _show(self, drawn: Drawn, *, whole: bool = False) -> None:
        self._screen.rule(style="dim")
        name = visible(f"{drawn.source} {drawn.external_id}".replace("\n", " "))
        self._say(f"{name} · {self._words.written.format(when=drawn.revised_at.astimezone())}\n")
        shown = drawn.text if whole else drawn.text[:_MOST_CHARS]
        self._say(visible(shown))
        if left := len(drawn.text) - len(shown):
            self._say(self._words.more.format(count=left))
        self._say("\n" + " · ".join(f"{key} {visible(label)}" for label, key in self._keys.labels.items()))
        acts = [(key, self._words.acts[act]) for act, key in self._keys.acts.items() if act is not Act.MORE or left]
        self._say(" · ".join(f"{self._words.keys.get(key, key)} {does}" for key, does in acts))

    def _say(self, text: str) -> None:
        self._screen.print(text, markup=False, highlight=False, soft_wrap=True)
