"""What is logged of an exception: where it came from, never what a library says of it."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from tests.support.command import Triagem
from triagem.cli import logs, main
from triagem.cli.tracebacks import format_traceback
from triagem.contracts.errors import DatabaseUnavailable

TEXT = "o meu cpf"
Logged = Callable[[Callable[[], None]], str]


def fail(words: str) -> None:
    """Raise what a library would."""
    raise ValueError(f"cannot parse {words}")


def chained() -> None:
    """By `from`."""
    try:
        fail(TEXT)
    except ValueError as error:
        raise LookupError(TEXT) from error


def in_handling() -> None:
    """While the first is handled."""
    try:
        fail(TEXT)
    except ValueError:
        raise LookupError(TEXT)  # noqa: B904 - it is about this


def grouped() -> None:
    """Two at once, with a note."""
    one = ValueError(TEXT)
    one.add_note(TEXT)
    raise ExceptionGroup(TEXT, [one, LookupError(TEXT)])


def raised_by(call: Callable[[], None]) -> BaseException:
    """What a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any
        return error
    raise AssertionError("raised nothing")


@pytest.mark.parametrize("call", [chained, in_handling, grouped])
def test_a_traceback_names_all_types_and_places_and_no_message(call: Callable[[], None]) -> None:
    said = format_traceback(raised_by(call))

    assert TEXT not in said
    assert f"in {call.__name__}" in said
    assert all(kind in said for kind in ("ValueError", "LookupError"))


def test_our_own_errors_keep_their_messages() -> None:
    assert format_traceback(DatabaseUnavailable("Postgres does not answer")).endswith(
        "DatabaseUnavailable: Postgres does not answer"
    )


def test_a_hidden_context_stays_hidden() -> None:
    error = raised_by(in_handling)
    error.__suppress_context__ = True

    assert "ValueError" not in format_traceback(error)


def test_exceptions_that_are_each_others_context_end() -> None:
    one, other = ValueError(TEXT), LookupError(TEXT)
    one.__context__, other.__context__ = other, one

    assert format_traceback(one).count("LookupError") == 1


@pytest.fixture(params=["terminal", "no terminal"])
def logged(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Logged]:
    """Logs as the command does, with a terminal and without, and gives what was written."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def write(log: Callable[[], None]) -> str:
        monkeypatch.setattr("sys.stderr.isatty", lambda: request.param == "terminal")
        logs.configure(logging.DEBUG)
        log()
        return capfd.readouterr().err

    yield write
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "log",
    [
        lambda error: structlog.get_logger("worker.any").critical("failed", exc_info=error),
        lambda error: logging.getLogger("a.library").error("failed", exc_info=error),
    ],
    ids=["ours", "a library's"],
)
def test_a_logged_exception_shows_neither_message_nor_local_variables(
    logged: Logged, log: Callable[[BaseException], None]
) -> None:
    said = logged(lambda: log(raised_by(chained)))

    assert TEXT not in said
    assert "in chained" in said
    assert "LookupError" in said


def test_the_exception_in_hand_is_told_too(logged: Logged) -> None:
    def log() -> None:
        try:
            fail(TEXT)
        except ValueError:
            structlog.get_logger("worker.any").exception("failed")

    said = logged(log)
    assert TEXT not in said
    assert "in fail" in said


def test_database_drivers_stay_quiet_however_verbose(logged: Logged) -> None:
    def log() -> None:
        logging.getLogger("sqlalchemy.engine.Engine").debug("Row %r", (TEXT,))
        logging.getLogger("psycopg").info(TEXT)

    assert TEXT not in logged(log)


def test_a_line_that_cannot_be_logged_is_not_shown_otherwise(logged: Logged) -> None:
    assert TEXT not in logged(lambda: logging.getLogger("a.library").error("%d tickets", TEXT))


@pytest.mark.parametrize("logged", ["no terminal"], indirect=True)
def test_a_logged_exception_is_still_one_json_line(logged: Logged) -> None:
    said = logged(lambda: structlog.get_logger("worker.any").error("failed", exc_info=raised_by(chained)))

    assert "in chained" in json.loads(said)["exception"]


def test_a_fault_of_ours_is_told_by_the_command_without_its_message(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "app", lambda args: chained())

    answer = bare("backlog")

    assert answer.status == 1
    assert TEXT not in answer.out + answer.err
    assert "in chained" in answer.err
    assert answer.err.strip().splitlines()[-1].startswith("triagem: LookupError: this is a bug in triagem")
