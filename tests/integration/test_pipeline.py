"""The pipeline in this process on a real Redis and Postgres, with a no-op engine."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.support.engines import NoopModel, noop
from tests.support.pipeline import publish, running, stored
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.model import Tokens
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.lease import pause, resume, worker_states
from triagem.registry import Registry
from triagem.stack import Endpoints


class CountingModel(NoopModel):
    """Counts the texts that reached the model."""

    texts_seen = 0

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        type(self).texts_seen += len(batch)
        return super().probabilities(batch)


def test_every_ticket_of_both_lanes_gets_one_row_and_leaves_redis(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    publish(inbox, 300)
    publish(inbox, 200, lane=Lane.BULK, text="quero um orçamento")
    Publisher(inbox).publish(source="crm", external_id="last", text="olá")
    with running(endpoints, instant_models):
        until(lambda: all(inbox.depth(lane).waiting + inbox.depth(lane).in_flight == 0 for lane in Lane))
    assert stored(database) == 301


def test_a_ticket_enqueued_twice_keeps_one_result_and_the_model_runs_once(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    with running(endpoints, instant_models, lambda folder: CountingModel(noop(folder).manifest)) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        CountingModel.texts_seen = 0  # without the self-check
        publish(inbox, 1000)
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
        publish(inbox, 1000)
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    assert stored(database) == 1000
    assert CountingModel.texts_seen == 1000


def test_an_unreadable_entry_becomes_a_dead_letter_and_its_neighbours_are_stored(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    publish(inbox, 3)
    inbox.put(Lane.LIVE, [b"\xffnot json"])
    inbox.redis.xadd("triagem:{0}:live", {"other": "field"})
    with running(endpoints, instant_models):
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    with database.autocommit() as connection:
        dead_letters = connection.execute(text("SELECT payload, reason FROM dead_letters ORDER BY id")).all()
    assert [bytes(row.payload) for row in dead_letters] == [b"\xffnot json", b'{"other": "field"}']
    assert stored(database) == 3


def test_a_paused_worker_fetches_nothing_until_it_is_resumed(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    pause(inbox.redis)
    publish(inbox, 5)
    with running(endpoints, instant_models) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        assert not pipeline.supervisor.stopping.wait(0.5)  # long enough to notice a violation
        assert inbox.depth(Lane.LIVE).waiting == 5
        resume(inbox.redis)
        until(lambda: stored(database) == 5)


def test_a_promoted_version_takes_over_between_two_windows_and_rows_name_their_version(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
) -> None:
    registry = Registry(copy_models(instant_models, tmp_path))
    with running(endpoints, registry.root) as (pipeline, _):
        publish(inbox, 50)
        until(lambda: stored(database) == 50)
        registry.promote("v1.1.0")
        until(lambda: pipeline.models.current.model.manifest.version == "v1.1.0")
        publish(inbox, 80)
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    with database.autocommit() as connection:
        current = connection.execute(text("SELECT model_version, epoch, count(*) FROM tickets GROUP BY 1, 2")).all()
        history = connection.execute(
            text("SELECT model_version, count(*) FROM predictions GROUP BY 1 ORDER BY 1")
        ).all()
    assert [tuple(row) for row in current] == [("v1.1.0", 2, 80)]
    assert [tuple(row) for row in history] == [("v1.0.0", 50), ("v1.1.0", 80)]


def test_entries_of_a_dead_worker_are_finished_by_another(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    publish(inbox, 40)
    inbox.fetch(Lane.LIVE, "dead-worker", 40)
    with running(endpoints, instant_models):
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    assert stored(database) == 40


def test_stopping_finishes_fetched_entries_and_removes_consumer_and_lease(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, redis: Redis
) -> None:
    with running(endpoints, instant_models) as (pipeline, _):
        publish(inbox, 500)
        until(lambda: stored(database) > 0)
    fetched = 500 - inbox.depth(Lane.LIVE).waiting
    assert stored(database) == fetched
    assert redis.xinfo_consumers("triagem:{0}:live", "workers") == []
    assert redis.keys("triagem:{0}:lease:*") == []
    assert pipeline.supervisor.failure is None


def test_a_worker_that_lost_its_lease_continues_under_a_new_name(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, redis: Redis
) -> None:
    with running(endpoints, instant_models) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        before = pipeline.lease.consumer
        until(lambda: redis.delete(f"triagem:{{0}}:lease:{before}") == 1)
        until(lambda: pipeline.lease.consumer != before)
        publish(inbox, 10)
        until(lambda: stored(database) == 10)


def test_the_first_start_with_an_empty_redis_logs_no_outage(
    endpoints: Endpoints, redis: Redis, database: Database, instant_models: Path
) -> None:
    redis.flushall()
    with capture_logs() as lines, running(endpoints, instant_models) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        publish(Inbox(redis), 10)
        until(lambda: stored(database) == 10)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == []


def test_consumer_groups_are_recreated_after_redis_lost_its_data(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, redis: Redis
) -> None:
    with running(endpoints, instant_models) as (pipeline, failed):
        assert pipeline.models.ready.wait(90)
        redis.flushall()
        publish(inbox, 10)
        until(lambda: stored(database) == 10)
        assert not failed.is_set()


def test_live_tickets_overtake_bulk_tickets_that_wait_in_redis(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    def slow(folder: Path) -> NoopModel:
        return NoopModel(noop(folder).manifest, seconds_per_text=0.002)

    publish(inbox, 3000, lane=Lane.BULK)
    with running(endpoints, instant_models, slow):
        until(lambda: stored(database) > 0)
        Publisher(inbox).publish(source="crm", external_id="urgent", text="socorro")
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
        assert stored(database) < 1500


def test_micro_batches_have_the_limits_that_were_measured_for_their_model(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    batches: list[int] = []  # numbers of texts

    class RecordingModel(NoopModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            if {len(text.ids) for text in batch} == {4}:  # tickets; the text that measures the limits is longer
                batches.append(len(batch))
            return super().probabilities(batch)

    publish(inbox, 600, lane=Lane.BULK)
    with running(
        endpoints, instant_models, lambda folder: RecordingModel(noop(folder).manifest), batch_tokens="auto"
    ) as (pipeline, _):
        until(lambda: stored(database) == 600)
    assert 32 < max(batches) <= pipeline.models.current.limits.texts == 256


def test_live_is_fetched_before_every_micro_batch(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-6: holds even while this process has a long window of bulk entries."""
    blocked, resumed = threading.Event(), threading.Event()
    batches: list[int] = []  # numbers of texts

    class BlockingModel(NoopModel):
        """Waits in the third bulk micro-batch until the live ticket is in Redis."""

        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            batches.append(len(batch))
            if batches.count(32) == 3 and not blocked.is_set():
                blocked.set()
                assert resumed.wait(90)
            return super().probabilities(batch)

    publish(inbox, 32 * 20, lane=Lane.BULK)

    def load(folder: Path) -> NoopModel:
        return BlockingModel(noop(folder).manifest, seconds_per_batch=0.01)  # so each is handed over alone

    with running(endpoints, instant_models, load, window_s=60):
        assert blocked.wait(90)
        assert inbox.depth(Lane.BULK).in_flight > 32 * 10  # many micro-batches wait in this process
        Publisher(inbox).publish(source="crm", external_id="urgent", text="socorro")
        resumed.set()
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    first_bulk, live = batches.index(32), batches.index(1)
    assert live <= first_bulk + 4  # after the blocked micro-batch and the one already chosen


def test_the_heartbeat_file_shows_readiness_and_is_removed_at_exit(
    endpoints: Endpoints, instant_models: Path, tmp_path: Path
) -> None:
    from triagem.worker import health

    file = tmp_path / "heartbeat"
    with running(endpoints, instant_models, heartbeat_file=file):
        until(lambda: health.check(file, need_ready=True) is None)
        long_ago = time.time() - 300
        os.utime(file, (long_ago, long_ago))
        assert "no heartbeat for" in (health.check(file) or "")
    assert not file.exists()


def copy_models(models: Path, folder: Path) -> Path:
    import shutil

    return Path(shutil.copytree(models, folder / "models"))


@pytest.mark.parametrize("lane", list(Lane))
def test_only_live_tickets_in_the_review_band_raise_alerts(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, lane: Lane
) -> None:
    publish(inbox, 10, lane=lane)
    with running(endpoints, instant_models, review_threshold=0.95):
        until(lambda: stored(database) == 10)
    with database.autocommit() as connection:
        alerts = connection.execute(text("SELECT count(*) FROM alerts")).scalar_one()
    assert alerts == (10 if lane is Lane.LIVE else 0)


def test_entries_with_the_same_id_in_both_lanes_are_both_reclaimed(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, redis: Redis
) -> None:
    for lane, external_id in ((Lane.LIVE, "live"), (Lane.BULK, "bulk")):
        payload = encode(Ticket(source="crm", external_id=external_id, text="minha internet caiu"))
        redis.xadd(f"triagem:{{0}}:{lane}", {"t": payload}, id="1-1")
        inbox.fetch(lane, "dead-worker", 1)
    with running(endpoints, instant_models):
        until(lambda: stored(database) == 2)


def test_nothing_leaves_redis_before_its_result_is_committed(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    with running(endpoints, instant_models) as (pipeline, _):
        with database.engine.begin() as writer:
            writer.execute(text("LOCK TABLE tickets IN EXCLUSIVE MODE"))  # reads continue, the statement waits
            publish(inbox, 10)
            until(lambda: inbox.in_flight(Lane.LIVE) == 10)
            assert not pipeline.supervisor.stopping.wait(1.0)  # long enough to notice a violation
            assert inbox.redis.xlen("triagem:{0}:live") == 10
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    assert stored(database) == 10


def test_a_worker_reports_a_new_state_before_its_next_heartbeat(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path
) -> None:
    with running(endpoints, instant_models, lease_s=3600.0):
        until(lambda: list(worker_states(inbox.redis).values()) == ["at work"])


def test_the_worker_state_shows_what_it_waits_for(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_LOCK_TIMEOUT_S", "0.1")
    with running(endpoints, instant_models):
        until(lambda: list(worker_states(inbox.redis).values()) == ["at work"])
        with database.engine.begin() as other:
            other.execute(text("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE"))
            publish(inbox, 1)
            until(lambda: any("waiting: Postgres" in state for state in worker_states(inbox.redis).values()))
        until(lambda: list(worker_states(inbox.redis).values()) == ["at work"])
    assert stored(database) == 1
