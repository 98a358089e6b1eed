"""Logged exceptions: their types and code locations, never the message of a library."""

import errno
import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from tests.support.command import Triagem
from triagem.cli import logs, main
from triagem.cli.logs import format_traceback
from triagem.contracts.errors import DatabaseUnavailable

TEXT = "o meu cpf"
Logged = Callable[[Callable[[], None]], str]


def fail(text: str) -> None:
    """Raise an error as a library would."""
    raise ValueError(f"cannot parse {text}")


def chained() -> None:
    """Raise from another exception."""
    try:
        fail(TEXT)
    except ValueError as error:
        raise LookupError(TEXT) from error


def in_handling() -> None:
    """Raise while another exception is handled."""
    try:
        fail(TEXT)
    except ValueError:
        raise LookupError(TEXT)  # noqa: B904 - the implicit context is tested


def grouped() -> None:
    """Raise a group of two, one with a note."""
    error = ValueError(TEXT)
    error.add_note(TEXT)
    raise ExceptionGroup(TEXT, [error, LookupError(TEXT)])


def raised_by(call: Callable[[], None]) -> BaseException:
    """The exception that a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any
        return error
    raise AssertionError("raised nothing")


@pytest.mark.parametrize("call", [chained, in_handling, grouped])
def test_a_traceback_names_all_types_and_locations_and_no_message(call: Callable[[], None]) -> None:
    output = format_traceback(raised_by(call))

    assert TEXT not in output
    assert f"in {call.__name__}" in output
    assert all(kind in output for kind in ("ValueError", "LookupError"))


def test_our_own_errors_keep_their_messages() -> None:
    assert format_traceback(DatabaseUnavailable("Postgres does not answer")).endswith(
        "DatabaseUnavailable: Postgres does not answer"
    )


def test_a_hidden_context_stays_hidden() -> None:
    error = raised_by(in_handling)
    error.__suppress_context__ = True

    assert "ValueError" not in format_traceback(error)


def test_a_cycle_of_exception_contexts_ends() -> None:
    first, second = ValueError(TEXT), LookupError(TEXT)
    first.__context__, second.__context__ = second, first

    assert format_traceback(first).count("LookupError") == 1


@pytest.fixture(params=["terminal", "no terminal"])
def logged(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Logged]:
    """Logs as the command does, with a terminal and without, and returns the output."""
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
    output = logged(lambda: log(raised_by(chained)))

    assert TEXT not in output
    assert "in chained" in output
    assert "LookupError" in output


def test_the_current_exception_is_logged_too(logged: Logged) -> None:
    def log() -> None:
        try:
            fail(TEXT)
        except ValueError:
            structlog.get_logger("worker.any").exception("failed")

    output = logged(log)
    assert TEXT not in output
    assert "in fail" in output


def test_database_drivers_stay_quiet_however_verbose(logged: Logged) -> None:
    def log() -> None:
        logging.getLogger("sqlalchemy.engine.Engine").debug("Row %r", (TEXT,))
        logging.getLogger("psycopg").info(TEXT)

    assert TEXT not in logged(log)


def test_a_name_from_a_crm_does_not_reach_the_terminal_as_control_characters(logged: Logged) -> None:
    output = logged(lambda: structlog.get_logger("gateway").error("dead_letter", source="a\x1b]0;x\x07\x9b31m"))

    assert "]0;x" in output
    assert not any(code in output for code in ("\x1b]", "\x07", "\x9b"))


def test_a_line_that_cannot_be_logged_is_not_shown_otherwise(logged: Logged) -> None:
    assert TEXT not in logged(lambda: logging.getLogger("a.library").error("%d tickets", TEXT))


@pytest.mark.parametrize("logged", ["no terminal"], indirect=True)
def test_a_logged_exception_is_still_one_json_line(logged: Logged) -> None:
    output = logged(lambda: structlog.get_logger("worker.any").error("failed", exc_info=raised_by(chained)))

    assert "in chained" in json.loads(output)["exception"]


def test_the_command_reports_a_bug_without_its_message(bare: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "application", lambda _: chained())

    result = bare("backlog")

    assert result.status == 1
    assert TEXT not in result.out + result.err
    assert "in chained" in result.err
    assert result.err.strip().splitlines()[-1].startswith("triagem: LookupError: this is a bug in triagem")


class FullDisk(io.StringIO):
    """A file on a full disk."""

    attempts = 0

    def write(self, _: str) -> int:
        self.attempts += 1
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_of_standard_error_is_ignored(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    full = FullDisk()
    monkeypatch.setattr("sys.stderr", full)
    logged(lambda: structlog.get_logger("worker.any").error("window_failed"))

    assert full.attempts
