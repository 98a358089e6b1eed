"""The beat schedule, and the Celery application that it shares with the ops worker."""

import logging
import re
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from pydantic import ValidationError

from tests.unit.test_packages import loaded_by
from triagem.broker import make_app
from triagem.contracts.errors import NoModel
from triagem.ops.app import is_worth_logging, ops_app, schedule_entries
from triagem.ops.run import redact_exception
from triagem.ops.settings import OpsSettings, parse_schedule

BROKER = "redis://127.0.0.1:6379/1"


def test_drift_and_then_due_retraining_are_checked_daily() -> None:
    entries = schedule_entries(OpsSettings())
    assert {name: str(entry["schedule"]) for name, entry in entries.items()} == {
        "triagem.drift": "<crontab: 00 03 * * * (m/h/dM/MY/d)>",
        "triagem.due": "<crontab: 30 03 * * * (m/h/dM/MY/d)>",
        "triagem.accuracy": "<freq: 15.00 minutes>",
        "triagem.retain": "<crontab: 30 04 * * * (m/h/dM/MY/d)>",
        "triagem.sweep": "<freq: 5.00 minutes>",
        "triagem.search": "<freq: 5.00 seconds>",
        "triagem.models": "<freq: 1.00 minute>",
        "triagem.deliver": "<freq: 5.00 seconds>",
        "triagem.alerts": "<freq: 10.00 seconds>",
        "triagem.watch": "<freq: 1.00 minute>",
        "triagem.reclassify": "<crontab: 00 02 * * * (m/h/dM/MY/d)>",
        "triagem.reclassify.pages": "<freq: 5.00 seconds>",
    }
    assert {entry["options"]["queue"] for entry in entries.values()} == {"ops"}


@pytest.mark.parametrize(
    ("process", "setting", "value", "problem"),
    [
        ("ops", "TRIAGEM_MONITOR_EVERY", "often", "'often' is not a schedule"),
        ("trainer", "TRIAGEM_BROKER_URL", "http://127.0.0.1", "is not a Redis URL"),
        ("worker", "TRIAGEM_BROKER_URL", "http://127.0.0.1", "is not a Redis URL"),
    ],
)
def test_an_invalid_setting_ends_celerys_own_commands_with_one_line(
    monkeypatch: pytest.MonkeyPatch, process: str, setting: str, value: str, problem: str
) -> None:
    monkeypatch.setenv("TRIAGEM_BROKER_URL", BROKER)
    monkeypatch.setenv(setting, value)

    with pytest.raises(SystemExit, match=f"^triagem: {setting}.*{problem}[^\n]*$"):
        import_module(f"triagem.{process}.app").__getattr__("app")


def test_a_task_that_no_worker_started_expires_before_the_next_is_sent() -> None:
    entries = schedule_entries(OpsSettings(drift_at="15s", training_due_at="*/10 8,9 * * mon-fri"))
    assert {name: entry["options"]["expires"] for name, entry in entries.items()} == {
        "triagem.drift": 15,
        "triagem.due": 600,
        "triagem.accuracy": 900,
        "triagem.retain": timedelta(hours=12).total_seconds(),
        "triagem.sweep": 300,
        "triagem.search": 5,
        "triagem.models": 60,
        "triagem.deliver": 5,
        "triagem.alerts": 10,
        "triagem.watch": 60,
        "triagem.reclassify": timedelta(hours=12).total_seconds(),
        "triagem.reclassify.pages": 5,
    }


def test_times_are_in_the_configured_time_zone() -> None:
    app = ops_app(BROKER, OpsSettings(timezone="America/Sao_Paulo"))
    daily = parse_schedule("03:00")
    assert daily
    daily.app = app
    daily.nowfun = lambda: datetime(2026, 11, 22, 5, 59, tzinfo=UTC)
    assert daily.remaining_estimate(datetime(2026, 11, 22, 4, tzinfo=UTC)) == timedelta(minutes=1)


def test_a_task_that_is_off_is_not_scheduled() -> None:
    entries = schedule_entries(OpsSettings(reclassify_at="off"))
    assert schedule_entries(OpsSettings()).keys() - entries.keys() == {"triagem.reclassify"}


def test_a_schedule_of_five_fields_runs_on_its_weekdays_in_the_configured_time_zone() -> None:
    app = ops_app(BROKER, OpsSettings(timezone="America/Sao_Paulo", reclassify_at="30 22 * * mon-fri"))
    nightly = app.conf.beat_schedule["triagem.reclassify"]["schedule"]
    nightly.app = app
    friday_night = datetime(2026, 11, 28, 1, 30, tzinfo=UTC)
    nightly.nowfun = lambda: friday_night
    assert nightly.remaining_estimate(friday_night) == timedelta(days=3)


SCHEDULES = [name for name in OpsSettings.model_fields if name.endswith(("_at", "_every"))]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("value", ["off", "02:00", "90s", "0 2 * * 1-5", "*/15 8-18 1,15 * *"])
def test_every_schedule_has_the_same_syntax(name: str, value: str) -> None:
    assert getattr(OpsSettings.model_validate({name: value}), name) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("3:00", ""),
        ("24:00", ""),
        ("0s", ""),
        ("", ""),
        ("0 2 * *", ""),
        ("0 2 * * 1-5-7", ""),
        ("0 2 * * seg", "seg"),
        ("0 24 * * *", "24"),
        ("0 */0 * * *", "zero"),
    ],
)
def test_an_invalid_schedule_is_refused_with_examples(value: str, reason: str) -> None:
    refusal = rf"'{re.escape(value)}' is not a schedule.*{reason}.*use 02:00 .*'0 2 \* \* mon-fri', or off"
    with pytest.raises(ValidationError, match=refusal):
        OpsSettings.model_validate({"reclassify_at": value})


@pytest.mark.parametrize("name", ["Sao_Paulo", "../x"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        OpsSettings(timezone=name)


def test_no_task_outlives_the_visibility_timeout() -> None:
    """INV-23. The broker delivers a task again if it is not acknowledged within the visibility timeout."""
    app = ops_app(BROKER, OpsSettings())
    app.loader.import_default_modules()
    limit = app.conf.broker_transport_options["visibility_timeout"]
    assert app.conf.task_time_limit < limit
    assert all(getattr(app.tasks[name], "retry_backoff_max", 0) < limit for name in schedule_entries(OpsSettings()))
    assert (
        make_app(BROKER).conf.broker_transport_options["visibility_timeout"] == limit
    )  # each worker restores the other's tasks


def test_the_ops_worker_and_its_tasks_load_no_model_library() -> None:
    tasks = "ops_app('redis://127.0.0.1/1', OpsSettings()).loader.import_default_modules()"
    loaded = loaded_by(
        f"from triagem.ops.app import ops_app; from triagem.ops.settings import OpsSettings;"
        f" import triagem.ops.run; {tasks};"
        " import triagem.trainer.monitor.drift, triagem.trainer.monitor.due, triagem.cli.commands.jobs, sys;"
        " assert 'triagem.trainer.monitor.tasks' in sys.modules"
    )
    assert loaded.isdisjoint({"torch", "transformers", "datasets", "sklearn"})


@pytest.mark.parametrize(
    ("task", "level", "logged"),
    [
        ("triagem.deliver", logging.INFO, False),
        ("triagem.deliver", logging.ERROR, True),
        ("triagem.due", logging.INFO, True),
    ],
)
def test_tasks_that_run_every_few_seconds_are_logged_only_on_errors(task: str, level: int, logged: bool) -> None:
    of_worker, of_beat = ({"id": "1", "name": task, "runtime": 0.01},), (task, task)
    for arguments in (of_worker, of_beat):
        record = logging.LogRecord("celery", level, "", 0, "%s", arguments, None)
        assert is_worth_logging(record) is logged


@pytest.mark.parametrize(
    ("error", "shown"),
    [(ValueError("minha senha é 1234"), "ValueError"), (NoModel("no current model in /m"), "no current model in /m")],
)
def test_the_log_of_a_failed_task_hides_the_messages_of_libraries(
    error: Exception, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = ops_app(BROKER, OpsSettings())

    @app.task(name="failing", shared=False)  # type: ignore[untyped-decorator]
    def failing() -> None:
        raise error

    logger = logging.getLogger("celery.app.trace")
    logger.addFilter(redact_exception)
    try:
        failing.apply()
    finally:
        logger.removeFilter(redact_exception)
    (failure,) = [record for record in caplog.records if record.name == "celery.app.trace"]
    assert failure.getMessage().endswith(f"raised unexpected: {shown}")
