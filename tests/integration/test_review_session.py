"""A reviewing session: what the keys do, what is on the screen, and what a sudden end leaves."""

import io
import os
import pty
import random
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from tests.support.reviewing import NOW, SINCE, VERSION, draw, sure, unsure
from tests.support.waiting import until
from tests.support.windows import rows
from triagem.cli.review_session.languages import Language
from triagem.cli.review_session.session import ReviewSession, SessionCounts
from triagem.cli.stack import Endpoints
from triagem.contracts.errors import DatabaseUnavailable
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.forgetting import write_tombstone
from triagem.db.reviews import draw_tasks, open_leases
from triagem.db.window import write_window

ROOT: Final = Path(__file__).parents[2]
CTRL_C: Final = "\x03"


class Person:
    """Somebody who presses these keys, one after the other, and does something in between."""

    def __init__(self, database: Database, keys: str, *, meanwhile: dict[int, Callable[[], object]] | None = None):
        self.database, self.keys, self.meanwhile = database, iter(enumerate(keys)), meanwhile or {}
        self.screen = io.StringIO()

    def press(self) -> str:
        place, key = next(self.keys)
        self.meanwhile.get(place, lambda: None)()
        if key == CTRL_C:
            raise KeyboardInterrupt
        return key

    def review(self, language: Language = Language.EN) -> SessionCounts:
        return ReviewSession(
            self.database,
            reviewer="ana",
            labels=["suporte", "venda"],
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
def three(database: Database) -> Database:
    """Three unsure texts, asked about in the order of their names."""
    write_window(database, [unsure(str(n), 0.5 + n / 100) for n in (1, 2, 3)])
    return database


class TestKeys:
    def test_each_answer_is_a_verdict_until_there_are_no_more_texts(self, three: Database) -> None:
        person = Person(three, "s2u")

        assert person.review() == SessionCounts(labelled=2, unclear=1)

        assert verdicts(three) == {"1": "suporte", "2": "venda", "3": None}
        assert "No more texts to review." in person.screen.getvalue()
        assert "Labelled: 2. Can't tell: 1. Skipped: 0." in person.screen.getvalue()

    def test_the_last_answer_can_be_taken_back_and_the_one_before_it_too(self, three: Database) -> None:
        assert Person(three, "11bb2u1").review() == SessionCounts(labelled=2, unclear=1)

        assert verdicts(three) == {"1": "venda", "2": None, "3": "suporte"}

    def test_with_nothing_to_take_back_it_says_so(self, three: Database) -> None:
        person = Person(three, "bq")

        person.review()

        assert "nothing to undo" in person.screen.getvalue()

    def test_what_is_skipped_does_not_come_again_at_once_and_nobody_judged_it(self, three: Database) -> None:
        assert Person(three, " 11").review() == SessionCounts(labelled=2, skipped=1)

        assert verdicts(three) == {"2": "suporte", "3": "suporte"}

    def test_a_key_that_means_nothing_changes_nothing(self, three: Database) -> None:
        person = Person(three, "x\x1bq")

        assert person.review() == SessionCounts()

        assert person.screen.getvalue().count("this key has no function here") == 2

    @pytest.mark.parametrize("end", [CTRL_C, "q", "."])
    def test_at_the_end_what_is_in_hand_is_given_back_and_nothing_is_lost(self, three: Database, end: str) -> None:
        assert Person(three, "1b1" + end).review() == SessionCounts(labelled=1)

        assert verdicts(three) == {"1": "suporte"}
        assert open_leases(three) == []
        assert len(draw(three, reviewer="rui")) == 2


class TestMeanwhile:
    def test_a_text_that_the_customer_changed_comes_again_as_it_is_now(self, three: Database) -> None:
        changed = unsure("1", 0.51, text="changed", revised_at=NOW)
        person = Person(three, "11q", meanwhile={0: lambda: write_window(three, [changed])})

        person.review()

        assert "the customer has changed this text" in person.screen.getvalue()
        assert verdicts(three) == {"1": "suporte"}
        assert "changed" in person.screen.getvalue()

    def test_a_ticket_that_was_forgotten_is_not_judged(self, three: Database) -> None:
        person = Person(three, "1q", meanwhile={0: lambda: write_tombstone(three, Identity("zendesk", "1"))})

        person.review()

        assert "Not saved: this ticket no longer exists" in person.screen.getvalue()
        assert verdicts(three) == {}

    def test_when_postgres_is_away_the_answer_is_asked_for_again(
        self, three: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object, **__: object) -> None:
            raise DatabaseUnavailable("Postgres does not answer")

        person = Person(three, "11q", meanwhile={1: monkeypatch.undo})
        monkeypatch.setattr("triagem.cli.review_session.session.record_review", away)

        assert person.review() == SessionCounts(labelled=1)

        assert "the database does not answer" in person.screen.getvalue()


class TestScreen:
    def test_it_shows_the_text_and_never_what_the_model_said_or_why_it_asks(self, database: Database) -> None:
        write_window(database, [unsure("1", 0.5123, text="a fatura", label="venda", model=VERSION), sure("2")])
        person = Person(database, "qq")

        person.review()

        screen = person.screen.getvalue()
        assert "a fatura" in screen
        assert "zendesk 1 · written 2026" in screen
        assert screen.count("venda") == 1  # among the keys
        for hint in ("0.5", "51", "review", "automate", "random", VERSION):
            assert hint not in screen

    def test_a_text_cannot_steer_the_terminal(self, database: Database) -> None:
        write_window(database, [unsure("\x1b[2J", text="[red]x[/red] \x1b]0;owned\x07 \u202eabc")])
        person = Person(database, "q")

        person.review()

        assert not {"\x1b", "\x07", "\u202e"} & set(person.screen.getvalue())
        assert r"[red]x[/red] \x1b]0;owned\x07 \u202eabc" in person.screen.getvalue()

    def test_a_long_text_is_cut_until_it_is_asked_for(self, database: Database) -> None:
        write_window(database, [unsure("1", text="x" * 4000 + "the end")])
        person, again = Person(database, "q"), Person(database, "mq")

        person.review()
        again.review()

        assert "the end" not in person.screen.getvalue()
        assert "… and 7 more characters" in person.screen.getvalue()
        assert "the end" in again.screen.getvalue()

    def test_it_speaks_portuguese(self, three: Database) -> None:
        person = Person(three, "xu1bq")

        person.review(Language.PT)

        screen = person.screen.getvalue()
        for said in (
            "Qual é a categoria",
            "não dá para saber",
            "salvo: suporte",
            "última resposta desfeita",
            "espaço pular",
            "Com categoria: 0. Não dá para saber: 1",
        ):
            assert said in screen
        for english in ("saved", "skip", "quit", "written", "Labelled", "space"):
            assert english not in screen


class Terminal:
    """A process on a terminal of its own, and the person in front of it."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._person, its = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **settings}
        command = [sys.executable, "-m", "triagem.cli.main", *arguments]
        self.process = subprocess.Popen(
            command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
        )
        os.close(its)
        self.screen = ""

    def shows(self, words: str) -> bool:
        while select.select([self._person], [], [], 0.05)[0]:
            try:
                self.screen += os.read(self._person, 65536).decode(errors="ignore")
            except OSError:  # the process has ended
                break
        return words in self.screen

    def press(self, key: str) -> None:
        """Not before it waits for a key: what was typed ahead is thrown away, it was no answer to what is shown."""
        until(lambda: not termios.tcgetattr(self._person)[3] & termios.ICANON)
        os.write(self._person, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._person)


class TestTerminal:
    """The real command on a real terminal."""

    @pytest.fixture
    def terminal(self, three: Database, endpoints: Endpoints, instant_models: Path) -> Iterator[Terminal]:
        terminal = Terminal(
            *("review", "--reviewer", "ana", "--random-share", "0"),
            LANG="pt_BR.UTF-8",
            TRIAGEM_DATABASE_URL=endpoints.database_url,
            TRIAGEM_REGISTRY_URL=str(instant_models),
        )
        yield terminal
        terminal.close()

    def test_keys_answer_without_enter_and_ctrl_c_loses_nothing(self, three: Database, terminal: Terminal) -> None:
        until(lambda: terminal.shows("text 1"))
        terminal.press("1")
        until(lambda: terminal.shows("text 2"))
        terminal.press(CTRL_C)
        until(lambda: terminal.shows("Com categoria: 1"))

        assert terminal.process.wait(30) == 0
        assert verdicts(three) == {"1": "suporte"}
        assert open_leases(three) == []

    def test_a_kill_leaves_what_was_answered_and_a_lease_that_ends(self, three: Database, terminal: Terminal) -> None:
        until(lambda: terminal.shows("text 1"))
        terminal.press("1")
        until(lambda: terminal.shows("text 2"))

        terminal.process.send_signal(signal.SIGKILL)
        terminal.process.wait()

        assert verdicts(three) == {"1": "suporte"}
        assert [held.external_id for held in open_leases(three)] == ["2"]
