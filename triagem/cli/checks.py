"""Rows of `triagem doctor` and `triagem status`: the subject of a check, the problem, and the next step."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final
from urllib.request import ProxyHandler, build_opener

from pydantic import ValidationError
from rich.table import Column, Table

from triagem import servers
from triagem.cli.commands.backlog import read_state
from triagem.cli.known_settings import variables_set
from triagem.cli.output import cell, missing_package, print_json, print_lines
from triagem.cli.stores import CheckFailed, answering
from triagem.contracts.errors import NoModel, NotRetryable, TriagemError
from triagem.contracts.model import CurrentModel
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import AT_WORK, worker_states
from triagem.ops.heartbeat import seconds_since_completed
from triagem.ops.invalid_files import file_problems
from triagem.process import describe_invalid
from triagem.registry import Registry
from triagem.registry.no_model import describe_lost

_ANSWER_S: Final = 2.0
_TASK_S: Final = 120.0  # by default, several tasks run every 5 seconds


class CheckWarned(NotRetryable):
    """A check found a possible problem."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. It passed if it has neither a `problem` nor a `warning`."""

    check: str
    detail: str = ""
    warning: str | None = None
    problem: str | None = None


def run_check(name: str, check: Callable[[], str]) -> CheckResult:
    """Run a check and return its result. The check raises an error if it fails."""
    try:
        return CheckResult(name, detail=check())
    except CheckWarned as error:
        return CheckResult(name, warning=str(error))
    except TriagemError as error:
        return CheckResult(name, problem=str(error))
    except ValidationError as error:  # of a settings class
        return CheckResult(name, problem="; ".join(describe_invalid(error)))
    except ModuleNotFoundError as error:
        return CheckResult(name, problem=missing_package(error))


def guidelines_problem() -> Iterator[CheckResult]:
    """A row if the reviewers' guidelines cannot be read: only the review page reads them."""
    if "TRIAGEM_GUIDELINES_FILE" not in variables_set() or importlib.util.find_spec("fastapi") is None:
        return
    from triagem.gateway.console.review import ReviewSettings, read_guidelines

    try:
        if path := ReviewSettings().guidelines_file:
            read_guidelines(path)
    except TriagemError as error:
        yield CheckResult("TRIAGEM_GUIDELINES_FILE", warning=f"reviewers see no guidelines: {error}")


def print_results(results: Iterable[CheckResult], *, as_json: bool) -> bool:
    """Print each row as soon as it is checked, or all as JSON. Returns whether one has a problem."""
    printed = []
    for result in results:
        printed.append(result)
        if not as_json:
            _print(result)
    if as_json:
        print_json(printed)
    return any(result.problem for result in printed)


def _print(result: CheckResult) -> None:
    mark = "[red]✗[/red]" if result.problem else "[yellow]![/yellow]" if result.warning else "[green]✓[/green]"
    columns = (Column(width=width) for width in (1, 19, None))  # the same in every row
    table = Table(*columns, box=None, show_header=False, pad_edge=False)
    table.add_row(mark, result.check, cell(result.problem or result.warning or result.detail))
    print_lines(table)


def read_redis() -> tuple[dict[str, Any], float | None, dict[str, str]]:
    """The state of inbox and workers, the seconds since a background task was completed, and invalid files."""
    with answering(servers.redis_url(), "TRIAGEM_REDIS_URL"), redis_errors():
        inbox = servers.inbox()
        return read_state(inbox), seconds_since_completed(inbox.redis), file_problems(inbox.redis)


def background_tasks(last_s: float | None) -> str:
    """Describe when a task of ops was last completed. Raises CheckWarned if that is long ago."""
    from triagem.notify.alert_messages import duration

    last = (
        "none was completed in the last day"
        if last_s is None
        else f"the last one was completed {duration(last_s)} ago"
    )
    if last_s is None or last_s > _TASK_S:
        raise CheckWarned(
            f"{last}: results and alerts are not sent; is `triagem ops` running, and `triagem beat`? See their logs"
        )
    return last


def invalid_files(problems: dict[str, str]) -> Iterator[CheckResult]:
    """A row for each invalid file of a running process."""
    for setting, problem in problems.items():
        yield CheckResult(setting, warning=f"invalid, its previous content stays in use: {problem}")


def gateway() -> Iterator[CheckResult]:
    """A row if `triagem up` runs a gateway in this folder, or was killed."""
    address = ""
    with suppress(ValidationError):  # of a setting that other rows name
        address = servers.local_gateway(killed=True)
    if address:
        yield run_check("gateway", lambda: _gateway_answers(address))


def _gateway_answers(address: str) -> str:
    """The address of the gateway of `triagem up`. Raises CheckFailed if it does not answer within a short time."""
    advice = "no `triagem up` is running in this folder: start it"
    if servers.local_gateway():
        advice = (
            f"although `triagem up` runs: see {servers.STACK_FOLDER}/gateway.log; if the gateway hangs, kill its "
            "process, and `triagem up` starts another"
        )
    try:
        with build_opener(ProxyHandler({})).open(f"{address}/health/live", timeout=_ANSWER_S):
            return address
    except (OSError, HTTPException):
        raise CheckFailed(f"{address} does not answer, {advice}") from None


def _is_a_worker_at_work() -> bool:
    try:
        return any(state.startswith(AT_WORK) for state in worker_states(servers.inbox().redis).values())
    except TriagemError:
        return False


def _had_a_model() -> bool:
    """Whether Postgres, if it answers, knows of a promotion."""
    try:
        from triagem.db.model_versions import had_model

        with answering(servers.database_url(), "TRIAGEM_DATABASE_URL"), servers.database() as database:
            return had_model(database)
    except (TriagemError, ModuleNotFoundError):
        return False


def without_model(text: str) -> str:
    """The text of an error without a current version, whose advice to train is replaced if there was a version."""
    lost = describe_lost(text)
    return lost if lost != text and _had_a_model() else text


def current_model(*, redis_answers: bool, postgres_answers: bool) -> tuple[Registry, CurrentModel]:
    """The registry and its current version. Raises CheckFailed, or CheckWarned before the first model.

    A store that does not answer is not asked again whether there was a model: that would take seconds.
    """
    registry = servers.registry()
    try:
        return registry, registry.current()
    except NoModel as error:
        if redis_answers and _is_a_worker_at_work():
            lost = describe_lost(
                str(error), "but workers have one: check TRIAGEM_REGISTRY_URL, or restore the folder"
            )
            raise CheckFailed(f"{lost}; the workers keep the model that they run") from None
        if postgres_answers and _had_a_model():
            raise CheckFailed(f"{describe_lost(str(error))}; meanwhile tickets are stored without a result") from None
        raise CheckWarned(f"{error}; meanwhile tickets are stored") from None
