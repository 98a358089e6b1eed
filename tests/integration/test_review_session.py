"""A review session in the terminal: keys, screen, and the state after an abrupt end."""

import io
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from tests.support.reviewing import NOW, SINCE, VERSION, draw, sure, unsure
from tests.support.waiting import until
from tests.support.windows import rows
from triagem.cli.review_session import ReviewSession, SessionCounts
from triagem.contracts.errors import DatabaseUnavailable
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import draw_tasks, open_leases
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.window import write_window
from triagem.gateway.console.messages import Lang
from triagem.stack import Endpoints

ROOT: Final = Path(__file__).parents[2]
CTRL_C: Final = "\x03"


class ScriptedReviewer:
    """A reviewer who presses the given keys in order; `meanwhile` holds actions by key index."""

    def __init__(self, database: Database, keys: str, *, meanwhile: dict[int, Callable[[], object]] | None = None):
        self.database, self.keys, self.meanwhile = database, iter(enumerate(keys)), meanwhile or {}
        self.screen = io.StringIO()

    def press(self) -> str:
        index, key = next(self.keys)
        self.meanwhile.get(index, lambda: None)()
        if key == CTRL_C:
            raise KeyboardInterrupt
        return key

    def review(self, language: Lang = Lang.EN, proposed: Sequence[str] = ()) -> SessionCounts:
        return ReviewSession(
            self.database,
            reviewer="ana",
            labels=["suporte", "venda", *proposed],
            proposed=proposed,
            next_task=lambda: next(
                iter(draw_tasks(self.database, "ana", 1, version=VERSION, since=SINCE, rng=random.Random(3))), None
            ),
            read_key=self.press,
            screen=Console(file=self.screen, width=80),
            language=language,
        ).run()


def verdicts(database: Database) -> dict[str, str | None]:
    names = {row["id"]: row["external_id"] for row in rows(database, "tickets")}
    return {names[row["ticket_id"]]: row["label"] for row in rows(database, "reviews")}


@pytest.fixture
def three_texts(database: Database) -> Database:
    """Three unsure texts, assigned in the order of their names."""
    write_window(database, [unsure(str(n), 0.5 + n / 100) for n in (1, 2, 3)])
    return database


class TestKeys:
    def test_each_answer_is_stored_until_there_are_no_more_texts(self, three_texts: Database) -> None:
        reviewer = ScriptedReviewer(three_texts, "s2u")

        assert reviewer.review() == SessionCounts(labelled=2, unclear=1)

        assert verdicts(three_texts) == {"1": "suporte", "2": "venda", "3": None}
        assert "No more texts to review now." in reviewer.screen.getvalue()
        assert "Labelled: 2. Can't tell: 1. Skipped: 0." in reviewer.screen.getvalue()

    def test_the_last_answer_can_be_undone_and_the_one_before_it_too(self, three_texts: Database) -> None:
        assert ScriptedReviewer(three_texts, "11bb2u1").review() == SessionCounts(labelled=2, unclear=1)

        assert verdicts(three_texts) == {"1": "venda", "2": None, "3": "suporte"}

    def test_a_label_that_does_not_exist_yet_is_stored_as_a_proposal(self, three_texts: Database) -> None:
        reviewer = ScriptedReviewer(three_texts, "3q")

        assert reviewer.review(proposed=["cobranca"]) == SessionCounts(labelled=1)

        assert [(row["label"], row["proposal"]) for row in rows(three_texts, "reviews")] == [(None, "cobranca")]
        assert "Saved: cobranca" not in reviewer.screen.getvalue()

    def test_undo_without_an_answer_is_reported(self, three_texts: Database) -> None:
        reviewer = ScriptedReviewer(three_texts, "bq")

        reviewer.review()

        assert "Nothing to undo" in reviewer.screen.getvalue()

    def test_a_skipped_text_does_not_return_at_once_and_has_no_verdict(self, three_texts: Database) -> None:
        assert ScriptedReviewer(three_texts, " 11").review() == SessionCounts(labelled=2, skipped=1)

        assert verdicts(three_texts) == {"2": "suporte", "3": "suporte"}

    def test_an_unknown_key_changes_nothing(self, three_texts: Database) -> None:
        reviewer = ScriptedReviewer(three_texts, "x\x1bq")

        assert reviewer.review() == SessionCounts()

        assert reviewer.screen.getvalue().count("This key has no function here") == 2

    @pytest.mark.parametrize("end", [CTRL_C, "q", "."])
    def test_at_the_end_leases_are_released_and_nothing_is_lost(self, three_texts: Database, end: str) -> None:
        assert ScriptedReviewer(three_texts, "1b1" + end).review() == SessionCounts(labelled=1)

        assert verdicts(three_texts) == {"1": "suporte"}
        assert open_leases(three_texts) == []
        assert len(draw(three_texts, reviewer="rui")) == 2


class TestMeanwhile:
    def test_a_text_that_the_customer_changed_is_shown_again_as_it_is_now(self, three_texts: Database) -> None:
        changed = unsure("1", 0.51, text="changed", revised_at=NOW)
        reviewer = ScriptedReviewer(three_texts, "11q", meanwhile={0: lambda: write_window(three_texts, [changed])})

        reviewer.review()

        assert "the customer has changed this text" in reviewer.screen.getvalue()
        assert verdicts(three_texts) == {"1": "suporte"}
        assert "changed" in reviewer.screen.getvalue()

    def test_a_forgotten_ticket_is_not_reviewed(self, three_texts: Database) -> None:
        reviewer = ScriptedReviewer(
            three_texts, "1q", meanwhile={0: lambda: write_tombstone(three_texts, Identity("zendesk", "1"))}
        )

        reviewer.review()

        assert "Not saved: this ticket no longer exists" in reviewer.screen.getvalue()
        assert verdicts(three_texts) == {}

    def test_while_postgres_is_unavailable_the_question_is_repeated(
        self, three_texts: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unavailable(*_: object, **__: object) -> None:
            raise DatabaseUnavailable("Postgres does not answer")

        reviewer = ScriptedReviewer(three_texts, "11q", meanwhile={1: monkeypatch.undo})
        monkeypatch.setattr("triagem.cli.review_session.record_review", unavailable)

        assert reviewer.review() == SessionCounts(labelled=1)

        assert "the database does not answer" in reviewer.screen.getvalue()


class TestScreen:
    def test_it_shows_the_text_but_neither_the_prediction_nor_the_stratum(self, database: Database) -> None:
        write_window(database, [unsure("1", 0.5123, text="a fatura", label="venda", model=VERSION), sure("2")])
        reviewer = ScriptedReviewer(database, "qq")

        reviewer.review()

        screen = reviewer.screen.getvalue()
        assert "a fatura" in screen
        assert re.search(r"zendesk 1 · written 2026-\d\d-\d\d \d\d:\d\d UTC", screen)
        assert screen.count("venda") == 1  # among the keys
        for hint in ("0.5", "51", "Needs review", "automate", "random", VERSION):
            assert hint not in screen

    def test_a_text_cannot_control_the_terminal(self, database: Database) -> None:
        write_window(database, [unsure("\x1b[2J", text="[red]x[/red] \x1b]0;owned\x07 \u202eabc")])
        reviewer = ScriptedReviewer(database, "q")

        reviewer.review()

        assert not {"\x1b", "\x07", "\u202e"} & set(reviewer.screen.getvalue())
        assert r"[red]x[/red] \x1b]0;owned\x07 \u202eabc" in reviewer.screen.getvalue()

    def test_a_long_text_is_cut_until_all_of_it_is_requested(self, database: Database) -> None:
        write_window(database, [unsure("1", text="x" * 4000 + "the end")])
        short, long = ScriptedReviewer(database, "q"), ScriptedReviewer(database, "mq")

        short.review()
        long.review()

        assert "the end" not in short.screen.getvalue()
        assert "… and 7 more characters" in short.screen.getvalue()
        assert "the end" in long.screen.getvalue()

    def test_the_screen_is_translated_into_portuguese(self, three_texts: Database) -> None:
        reviewer = ScriptedReviewer(three_texts, "xu1bq")

        reviewer.review(Lang.PT)

        screen = reviewer.screen.getvalue()
        for message in (
            "Qual é a categoria",
            "u Não dá para saber",
            "Salvo: suporte",
            "Revisão desfeita",
            "espaço Pular",
            "Com categoria: 0. Não dá para saber: 1",
        ):
            assert message in screen
        for english_text in ("Saved", "Skip", "Quit", "written", "Labelled", "space"):
            assert english_text not in screen


class Terminal:
    """A process on its own pseudo-terminal, with its keys and screen."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._controller, terminal = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **settings}
        command = [sys.executable, "-m", "triagem.cli.main", *arguments]
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
        )
        os.close(terminal)
        self.screen = ""

    def shows(self, text: str) -> bool:
        while select.select([self._controller], [], [], 0.05)[0]:
            try:
                self.screen += os.read(self._controller, 65536).decode(errors="ignore")
            except OSError:  # the process has ended
                break
        return text in self.screen

    def press(self, key: str) -> None:
        """Presses a key once the process waits for one: the process discards keys typed before it showed the text."""
        until(lambda: not termios.tcgetattr(self._controller)[3] & termios.ICANON)
        os.write(self._controller, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._controller)


class TestTerminal:
    """The real command on a real terminal."""

    @pytest.fixture
    def terminal(self, three_texts: Database, endpoints: Endpoints, instant_models: Path) -> Iterator[Terminal]:
        terminal = Terminal(
            *("review", "--reviewer", "ana", "--random-share", "0"),
            LANG="pt_BR.UTF-8",
            TRIAGEM_DATABASE_URL=endpoints.database_url,
            TRIAGEM_REGISTRY_URL=str(instant_models),
        )
        yield terminal
        terminal.close()

    def test_keys_answer_without_enter_and_ctrl_c_loses_nothing(
        self, three_texts: Database, terminal: Terminal
    ) -> None:
        until(lambda: terminal.shows("text 1"))
        terminal.press("1")
        until(lambda: terminal.shows("text 2"))
        terminal.press(CTRL_C)
        until(lambda: terminal.shows("Com categoria: 1"))

        assert terminal.process.wait(90) == 0
        assert verdicts(three_texts) == {"1": "suporte"}
        assert open_leases(three_texts) == []

    def test_after_a_kill_the_answers_are_stored_and_the_open_task_stays_leased(
        self, three_texts: Database, terminal: Terminal
    ) -> None:
        until(lambda: terminal.shows("text 1"))
        terminal.press("1")
        until(lambda: terminal.shows("text 2"))

        terminal.process.send_signal(signal.SIGKILL)
        terminal.process.wait()

        assert verdicts(three_texts) == {"1": "suporte"}
        assert [lease.external_id for lease in open_leases(three_texts)] == ["2"]
