"""Beat without an ops worker: periodic messages do not fill the broker, and daily ones are kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import beat
from redis import Redis

from triagem.broker import OPS_QUEUE
from triagem.inbox import connect
from triagem.ops.app import ops_app
from triagem.ops.run import MAX_QUEUED, BoundedScheduler, takes_messages
from triagem.ops.settings import OpsSettings
from triagem.stack import Endpoints


class Scheduler(BoundedScheduler, beat.Scheduler):  # type: ignore[misc]
    """The scheduler that `run_beat` creates."""


@pytest.fixture
def broker(endpoints: Endpoints) -> Redis:
    return connect(endpoints.broker_url)


@pytest.fixture
def scheduler(endpoints: Endpoints) -> Iterator[Any]:
    """A scheduler with the real schedule."""
    with ops_app(endpoints.broker_url, OpsSettings()) as app:
        yield Scheduler(app=app)


def send(scheduler: Any, task: str, times: int) -> None:
    for _ in range(times):
        scheduler.apply_entry(scheduler.schedule[task], producer=scheduler.producer)


def test_periodic_messages_are_bounded_and_daily_ones_are_still_sent(scheduler: Any, broker: Redis) -> None:
    send(scheduler, "triagem.deliver", MAX_QUEUED + 20)
    assert broker.llen(OPS_QUEUE) == MAX_QUEUED

    send(scheduler, "triagem.reclassify", 1)
    assert broker.llen(OPS_QUEUE) == MAX_QUEUED + 1


def test_they_are_sent_again_once_an_ops_worker_takes_them(scheduler: Any, broker: Redis) -> None:
    send(scheduler, "triagem.deliver", MAX_QUEUED + 1)
    broker.delete(OPS_QUEUE)

    send(scheduler, "triagem.deliver", 1)

    assert broker.llen(OPS_QUEUE) == 1


def test_while_redis_is_down_it_is_not_ops_that_is_missing_and_beat_goes_on() -> None:
    with ops_app("redis://127.0.0.1:1/1", OpsSettings()) as app:
        assert takes_messages(app)
