"""When beat does what, and the application that it shares with the ops worker."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from tests.unit.test_rooms import loaded_by
from triagem.contracts.errors import NoModel
from triagem.worker.app import make_app, ops_app, worth_saying
from triagem.worker.beat import entries, when
from triagem.worker.ops import without_words
from triagem.worker.settings import OpsSettings

BROKER = "redis://127.0.0.1:6379/1"


def test_drift_is_looked_for_daily_and_what_is_due_after_it() -> None:
    found = entries(OpsSettings())
    assert {name: str(one["schedule"]) for name, one in found.items()} == {
        "triagem.drift": "<crontab: 00 03 * * * (m/h/dM/MY/d)>",
        "triagem.due": "<crontab: 30 03 * * * (m/h/dM/MY/d)>",
        "triagem.sweep": "<freq: 5.00 minutes>",
        "triagem.search": "<freq: 5.00 seconds>",
        "triagem.deliver": "<freq: 5.00 seconds>",
        "triagem.alerts": "<freq: 10.00 seconds>",
        "triagem.watch": "<freq: 1.00 minute>",
        "triagem.reclassify": "<crontab: 00 02 * * * (m/h/dM/MY/d)>",
        "triagem.reclassify.pages": "<freq: 5.00 seconds>",
    }
    assert {one["options"]["queue"] for one in found.values()} == {"ops"}


def test_a_run_that_nobody_began_expires_before_the_next_is_sent() -> None:
    found = entries(OpsSettings(drift_at="15s"))
    assert {name: one["options"]["expires"] for name, one in found.items()} == {
        "triagem.drift": 15,
        "triagem.due": timedelta(hours=12).total_seconds(),
        "triagem.sweep": 300,
        "triagem.search": 5,
        "triagem.deliver": 5,
        "triagem.alerts": 10,
        "triagem.watch": 60,
        "triagem.reclassify": timedelta(hours=12).total_seconds(),
        "triagem.reclassify.pages": 5,
    }


def test_times_are_of_the_configured_time_zone() -> None:
    app = ops_app(BROKER, OpsSettings(timezone="America/Sao_Paulo"))
    daily = when("03:00")
    daily.app = app
    daily.nowfun = lambda: datetime(2026, 11, 22, 5, 59, tzinfo=UTC)
    assert daily.remaining_estimate(datetime(2026, 11, 22, 4, tzinfo=UTC)) == timedelta(minutes=1)


@pytest.mark.parametrize(
    "setting",
    [{"drift_at": "3:00"}, {"drift_at": "24:00"}, {"due_at": "0s"}, {"timezone": "Sao_Paulo"}, {"timezone": "../x"}],
)
def test_a_time_or_zone_that_is_none_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        OpsSettings.model_validate(setting)


def test_no_task_outlives_the_time_after_which_it_is_given_to_another() -> None:
    """INV-23, and the broker's own trap: what is not acknowledged in time is delivered once more."""
    app = ops_app(BROKER, OpsSettings())
    app.loader.import_default_modules()
    limit = app.conf.broker_transport_options["visibility_timeout"]
    assert app.conf.task_time_limit < limit
    assert all(getattr(app.tasks[name], "retry_backoff_max", 0) < limit for name in entries(OpsSettings()))
    assert make_app(BROKER).conf.broker_transport_options["visibility_timeout"] == limit  # either restores for both


def test_the_ops_worker_and_its_tasks_load_no_model_library() -> None:
    tasks = "ops_app('redis://127.0.0.1/1', OpsSettings()).loader.import_default_modules()"
    loaded = loaded_by(
        f"from triagem.worker.app import ops_app; from triagem.worker.settings import OpsSettings;"
        f" import triagem.worker.beat; {tasks};"
        " import triagem.trainer.drift, triagem.trainer.due_facts, triagem.cli.commands.due, sys;"
        " assert 'triagem.trainer.tasks' in sys.modules"
    )
    assert loaded.isdisjoint({"torch", "transformers", "datasets", "sklearn"})


@pytest.mark.parametrize(
    ("task", "level", "said"),
    [
        ("triagem.deliver", logging.INFO, False),
        ("triagem.deliver", logging.ERROR, True),
        ("triagem.due", logging.INFO, True),
    ],
)
def test_the_log_is_not_filled_with_what_happens_every_few_seconds(task: str, level: int, said: bool) -> None:
    by_a_worker, by_beat = ({"id": "1", "name": task, "runtime": 0.01},), (task, task)
    for about in (by_a_worker, by_beat):
        record = logging.LogRecord("celery", level, "", 0, "%s", about, None)
        assert worth_saying(record) is said


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("minha senha é 1234"), "ValueError"), (NoModel("no current model in /m"), "no current model in /m")],
)
def test_a_task_that_fails_does_not_say_what_a_library_said(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = ops_app(BROKER, OpsSettings())

    @app.task(name="failing", shared=False)  # type: ignore[untyped-decorator]
    def failing() -> None:
        raise error

    logger = logging.getLogger("celery.app.trace")
    logger.addFilter(without_words)
    try:
        failing.apply()
    finally:
        logger.removeFilter(without_words)
    (record,) = [one for one in caplog.records if one.name == "celery.app.trace"]
    assert record.getMessage().endswith(f"raised unexpected: {said}")
