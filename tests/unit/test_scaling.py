"""How many workers there should be (INV-25): a pure function, and what Kubernetes makes of it."""

import random
from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from triagem.cli.bench.cluster import Autoscaler
from triagem.inbox.scaling import BacklogSample, Hold, ScaleTo, ScalingSettings, decide

NOTHING = BacklogSample(waiting=0, in_flight=0, live=0, workers=0, warm=0, halted=0, rate=10, paused=False)
SETTINGS = ScalingSettings(max=64, drain_s=100, cold_start_s=20)  # 800 tickets a worker

counts = st.integers(0, 10**7)
rates = st.floats(0.1, 1e5)


@st.composite
def settings(draw: st.DrawFn) -> ScalingSettings:
    cold = draw(st.floats(0, 1000))
    most = draw(st.integers(1, 1000))
    floors = st.integers(0, most)
    return ScalingSettings(
        min=draw(floors),
        max=most,
        live_min=draw(floors),
        cold_start_s=cold,
        drain_s=draw(st.floats(max(1.0, 2 * cold), 10_000)),
    )


@st.composite
def samples(draw: st.DrawFn) -> BacklogSample:
    waiting, in_flight, workers = draw(counts), draw(counts), draw(st.integers(0, 100))
    warm = draw(st.integers(0, workers))
    halted = draw(st.integers(0, max(0, warm - 1)))
    live = draw(st.integers(0, waiting + in_flight))
    return BacklogSample(waiting, in_flight, live, workers, warm, halted, draw(rates), paused=False)


@given(samples(), settings(), counts)
def test_a_larger_backlog_never_wants_fewer_workers(sample: BacklogSample, asked: ScalingSettings, more: int) -> None:
    """INV-25."""
    larger = replace(sample, waiting=sample.waiting + more)
    assert decide(larger, asked).workers >= decide(sample, asked).workers


@given(samples(), settings())
def test_what_is_in_flight_counts_like_what_waits(sample: BacklogSample, asked: ScalingSettings) -> None:
    """INV-25: the last window of a backlog is not nothing, and who holds it is not ended for it."""
    taken = replace(sample, waiting=0, in_flight=sample.waiting + sample.in_flight)
    assert decide(taken, asked).workers == decide(sample, asked).workers
    assert decide(taken, asked).workers >= min(1, taken.in_flight)


@given(samples(), settings())
def test_those_wanted_can_do_it_in_time_cold_start_included_unless_no_more_are_allowed(
    sample: BacklogSample, asked: ScalingSettings
) -> None:
    wanted = decide(sample, asked).workers
    done = wanted * sample.rate * (asked.drain_s - asked.cold_start_s)
    assert wanted == asked.max or done * (1 + 1e-9) >= sample.waiting + sample.in_flight


@given(samples(), settings())
def test_bounds_are_kept(sample: BacklogSample, asked: ScalingSettings) -> None:
    assert asked.min <= decide(sample, asked).workers <= asked.max


@given(samples(), settings(), st.floats(0, 1000))
def test_a_longer_cold_start_never_wants_fewer_workers(
    sample: BacklogSample, asked: ScalingSettings, more: float
) -> None:
    slower = asked.model_copy(update={"cold_start_s": min(asked.cold_start_s + more, asked.drain_s / 2)})
    assert decide(sample, slower).workers >= decide(sample, asked).workers


@given(samples(), settings())
def test_who_is_at_work_already_changes_nothing(sample: BacklogSample, asked: ScalingSettings) -> None:
    """Those that are on their way are not asked for a second time, and go no sooner for having come."""
    assert decide(replace(sample, workers=0, warm=0, halted=0), asked) == decide(sample, asked)


def test_with_nothing_to_do_nobody_is_wanted() -> None:
    assert decide(NOTHING, SETTINGS) == ScaleTo(0, "nothing waits")


@pytest.mark.parametrize(("tickets", "workers"), [(1, 1), (800, 1), (801, 2), (8_000, 10), (10**6, 64)])
def test_tickets_are_shared_over_the_time_that_a_cold_start_leaves(tickets: int, workers: int) -> None:
    assert decide(replace(NOTHING, waiting=tickets), SETTINGS).workers == workers


def test_live_tickets_may_have_a_floor_of_their_own() -> None:
    asked = SETTINGS.model_copy(update={"live_min": 3})
    assert decide(replace(NOTHING, waiting=1, live=1), asked).workers == 3
    assert decide(replace(NOTHING, waiting=1), asked).workers == 1


def test_a_paused_inbox_holds_what_is_there() -> None:
    """INV-25: nobody takes tickets, so the backlog says nothing; and whoever resumes wants them all."""
    paused = replace(NOTHING, waiting=10**6, workers=5, warm=5, paused=True)
    assert decide(paused, SETTINGS) == Hold(5, "paused: `triagem resume` continues")


def test_workers_that_all_wait_out_an_outage_get_no_company() -> None:
    """INV-25: more of them would wait too, and fewer would be missed afterwards."""
    away = replace(NOTHING, waiting=10**6, workers=6, warm=5, halted=5)
    assert decide(away, SETTINGS).workers == 6
    assert isinstance(decide(away, SETTINGS), Hold)
    assert isinstance(decide(replace(away, halted=4), SETTINGS), ScaleTo)


@pytest.mark.parametrize("wrong", [{"drain_s": 100, "cold_start_s": 60}, {"min": 9, "max": 8}, {"live_min": 9}])
def test_what_cannot_be_kept_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="TRIAGEM_SCALE_"):
        ScalingSettings.model_validate(wrong)


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_a_noisy_backlog_does_not_make_the_cluster_flap(noise: float) -> None:
    """The window for fewer is Kubernetes': of all that is wanted within it, the most."""
    cluster, dice, current = Autoscaler(max_replicas=64), random.Random(7), 0
    history = []
    for step in range(400):
        waiting = int(16_000 * dice.uniform(1 - noise, 1 + noise))
        wanted = decide(replace(NOTHING, waiting=waiting), SETTINGS).workers
        current = cluster.replicas(step * 15.0, current, wanted)
        history.append(current)
    settled = history[40:]
    falls = sum(later < former for former, later in pairwise(settled))
    assert set(settled) <= set(range(20, ceil(20 * (1 + noise)) + 1))
    assert falls <= 2


def test_without_a_sample_the_cluster_changes_nothing() -> None:
    assert Autoscaler(max_replicas=8).replicas(1e6, 5, None) == 5


def test_a_small_difference_is_tolerated() -> None:
    cluster = Autoscaler(max_replicas=64, window_s=0)
    assert [cluster.replicas(step, 20, metric) for step, metric in enumerate((21, 19, 23, 17))] == [20, 20, 23, 17]


def test_it_goes_up_at_once_and_down_after_the_window_and_to_none_after_the_cooldown() -> None:
    cluster = Autoscaler(max_replicas=64, window_s=60, cooldown_s=120)
    assert cluster.replicas(0, 0, 9) == 1
    assert cluster.replicas(15, 1, 9) == 5
    assert cluster.replicas(30, 5, 9) == 9
    assert cluster.replicas(45, 9, 2) == 9
    assert cluster.replicas(90, 9, 2) == 9
    assert cluster.replicas(91, 9, 2) == 2
    assert cluster.replicas(105, 2, 0) == 2
    assert cluster.replicas(160, 2, 0) == 1
    assert cluster.replicas(211, 1, 0) == 0
