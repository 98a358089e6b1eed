"""Review session on a terminal, in English or Portuguese. Stores each answer before it shows the next text."""

import getpass
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from difflib import get_close_matches
from functools import partial
from typing import Final

from rich.console import Console

from triagem import servers
from triagem.cli.output import printable
from triagem.contracts.errors import InvalidInput, Retryable
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.labels import review_choices
from triagem.db.reviews import ReviewRejected, ReviewTask, record_review, release_tasks, undo_review
from triagem.gateway.console.messages import Lang, translate
from triagem.gateway.console.shortcuts import KeyboardShortcuts, ReviewAction

# Twice a screen. The model reads no more characters than this either.
_MAX_CHARS: Final = 4000


@dataclass
class SessionCounts:
    """Number of texts in a session, by answer."""

    labelled: int = 0
    unclear: int = 0
    skipped: int = 0


class ReviewSession:
    """One reviewer at one terminal.

    Args:
        labels: the labels to offer. Those that are also in `proposed` are stored as proposals.
        next_task: returns the next text to review, or None if no text is left.
        read_key: waits for a key. Raises KeyboardInterrupt or EOFError if the reviewer wants to end.
    """

    def __init__(
        self,
        database: Database,
        *,
        reviewer: str,
        labels: Sequence[str],
        proposed: Collection[str] = (),
        next_task: Callable[[], ReviewTask | None],
        read_key: Callable[[], str],
        screen: Console,
        language: Lang,
    ) -> None:
        self._database, self._reviewer, self._screen = database, reviewer, screen
        self._next_task, self._read_key, self._proposed = next_task, read_key, proposed
        self._shortcuts, self._t = KeyboardShortcuts(labels), partial(translate, language)
        self._key_names = {" ": self._t("key_space"), "\x7f": self._t("key_backspace")}
        self._recorded: list[tuple[ReviewTask, int, str | None]] = []
        self._pending: list[ReviewTask] = []  # assigned texts without an answer; more than one after an undo
        self._counts = SessionCounts()

    def run(self) -> SessionCounts:
        """Review until no text is left or the reviewer ends the session, then release the pending texts."""
        self._print(self._t("welcome"))
        try:
            while self._pending or self._fetch_task():
                self._show(self._pending[-1])
                self._handle_keys(self._pending[-1])
            self._print(self._t("none_left"))
        except (KeyboardInterrupt, EOFError):
            pass
        finally:
            with suppress(Retryable):  # not released: the leases expire by themselves
                release_tasks(self._database, self._reviewer, self._pending)
        self._print(self._t("summary", **vars(self._counts)))
        return self._counts

    def _fetch_task(self) -> bool:
        task = self._next_task()
        if task is not None:
            self._pending.append(task)
        return task is not None

    def _handle_keys(self, task: ReviewTask) -> None:
        """Read keys until the text is answered or skipped, or an undo brings back the previous one."""
        while True:
            action = self._shortcuts.action_for(self._read_key())
            if action is None:
                self._print(self._t("unknown_key"))
            elif action is ReviewAction.MORE:
                self._show(task, full=True)
            elif action is ReviewAction.HELP:
                self._show_keys(more=True)
            elif action is ReviewAction.QUIT:
                raise EOFError
            elif action is ReviewAction.SKIP:
                self._pending.pop()  # keep the lease, or the skipped text would be the next one again
                self._counts.skipped += 1
                return self._print(self._t("skipped"))
            elif action is ReviewAction.UNDO:
                if self._undo():
                    return None
            elif self._record(task, None if action is ReviewAction.UNCLEAR else action):
                return None

    def _record(self, task: ReviewTask, label: str | None) -> bool:
        """Record an answer. Returns False if the database is unavailable and the answer must be given again."""
        ticket = Identity(task.source, task.external_id)
        proposal = label if label in self._proposed else None
        known = None if proposal else label
        try:
            review = record_review(
                self._database, ticket, known, self._reviewer, digest=task.digest, proposal=proposal
            )
            if isinstance(review, ReviewRejected):
                release_tasks(self._database, self._reviewer, [task])
        except Retryable:
            self._print(self._t("unavailable"))
            return False
        self._pending.pop()
        if isinstance(review, ReviewRejected):
            self._print(self._t(f"rejected_{review.name.lower()}"))
            return True
        self._recorded.append((task, review, label))
        self._count(label, 1)
        saved = self._t("saved", label=self._t("unclear") if label is None else printable(label))
        self._print(self._t("proposed") if proposal else saved)
        return True

    def _undo(self) -> bool:
        """Undo the last answer. Returns True if its text is pending again."""
        if not self._recorded:
            self._print(self._t("nothing_to_undo"))
            return False
        task, review, label = self._recorded[-1]
        try:
            undone = undo_review(self._database, review, self._reviewer)
        except Retryable:
            self._print(self._t("unavailable"))
            return False
        self._recorded.pop()
        if not undone:
            self._print(self._t("cannot_undo"))
            return False
        self._count(label, -1)
        self._pending.append(task)
        self._print(self._t("undone"))
        return True

    def _count(self, label: str | None, change: int) -> None:
        if label is None:
            self._counts.unclear += change
        else:
            self._counts.labelled += change

    def _show(self, task: ReviewTask, *, full: bool = False) -> None:
        self._screen.rule(style="dim")
        name = printable(f"{task.source} {task.external_id}".replace("\n", " "))
        self._print(f"{name} · {self._t('written').lower()} {task.revised_at.astimezone(UTC):{self._t('time')}}\n")
        shown = task.text if full else task.text[:_MAX_CHARS]
        self._print(printable(shown))
        if hidden := len(task.text) - len(shown):
            self._print(self._t("more_text", count=hidden))
        self._show_keys(more=bool(hidden))

    def _show_keys(self, *, more: bool) -> None:
        self._print("\n" + " · ".join(f"{key} {printable(label)}" for label, key in self._shortcuts.labels.items()))
        actions = [
            (key, self._t(action))
            for action, key in self._shortcuts.actions.items()
            if action is not ReviewAction.MORE or more
        ]
        self._print(" · ".join(f"{self._key_names.get(key, key)} {effect}" for key, effect in actions))

    def _print(self, text: str) -> None:
        self._screen.print(text, markup=False, highlight=False, soft_wrap=True)


def terminal_language(environment: Mapping[str, str]) -> Lang:
    """The language set by the first non-empty of `LC_ALL`, `LC_MESSAGES` and `LANG`; English by default."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return Lang.PT if locale.lower().startswith("pt") else Lang.EN


_MAX_NAME_CHARS: Final = 64


def reviewer_name(name: str | None) -> str:
    """The reviewer's name, by default the login name. Raises InvalidInput."""
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # a container's user id may have no login name
            raise InvalidInput("this user has no login name: set the reviewer with --reviewer") from None
    reviewer = name.strip()
    if not reviewer or len(reviewer) > _MAX_NAME_CHARS or not reviewer.isprintable():
        raise InvalidInput(f"--reviewer {name!r}: expected 1 to {_MAX_NAME_CHARS} printable characters")
    return reviewer


def known_labels(database: Database) -> list[str]:
    """The current model's labels, then labels that reviewers added; without retired ones."""
    return review_choices(database, servers.registry().current_labels())


def require_known_label(label: str, known: Sequence[str]) -> None:
    """Raises InvalidInput for a label that neither the model nor a reviewer has used."""
    if label not in known:
        similar = get_close_matches(label, known, n=1)
        hint = f"did you mean {similar[0]!r}?" if similar else f"known labels: {', '.join(known)}."
        raise InvalidInput(f"unknown label {label!r}: {hint} `triagem labels set {label} --new-label` adds it")
