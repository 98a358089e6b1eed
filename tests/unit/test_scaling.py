"""Number of workers (INV-25): a pure function, and Kubernetes' algorithm on top of it."""

import random
from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.scaling.cluster import Autoscaler
from triagem.inbox.scaling import BacklogSample, Hold, ScaleTo, ScalingSettings, decide

EMPTY = BacklogSample(waiting=0, in_flight=0, live=0, workers=0, warm=0, halted=0, rate=10, paused=False)
SETTINGS = ScalingSettings(max=64, drain_s=100, cold_start_s=20)  # 800 tickets a worker

counts = st.integers(0, 10**7)
rates = st.floats(0.1, 1e5)


@st.composite
def settings(draw: st.DrawFn) -> ScalingSettings:
    cold_start_s = draw(st.floats(0, 1000))
    maximum = draw(st.integers(1, 1000))
    minimums = st.integers(0, maximum)
    return ScalingSettings(
        min=draw(minimums),
        max=maximum,
        live_min=draw(minimums),
        cold_start_s=cold_start_s,
        drain_s=draw(st.floats(max(1.0, 2 * cold_start_s), 10_000)),
    )


@st.composite
def samples(draw: st.DrawFn) -> BacklogSample:
    waiting, in_flight, workers = draw(counts), draw(counts), draw(st.integers(0, 100))
    warm = draw(st.integers(0, workers))
    halted = draw(st.integers(0, max(0, warm - 1)))
    live = draw(st.integers(0, waiting + in_flight))
    return BacklogSample(waiting, in_flight, live, workers, warm, halted, draw(rates), paused=False)


@given(samples(), settings(), counts)
def test_a_larger_backlog_never_needs_fewer_workers(
    sample: BacklogSample, scaling: ScalingSettings, more: int
) -> None:
    """INV-25."""
    larger = replace(sample, waiting=sample.waiting + more)
    assert decide(larger, scaling).workers >= decide(sample, scaling).workers


@given(samples(), settings())
def test_entries_in_flight_count_like_waiting_entries(sample: BacklogSample, scaling: ScalingSettings) -> None:
    """INV-25: while the last window of a backlog is in flight, its worker is not removed."""
    in_flight = replace(sample, waiting=0, in_flight=sample.waiting + sample.in_flight)
    assert decide(in_flight, scaling).workers == decide(sample, scaling).workers
    assert decide(in_flight, scaling).workers >= min(1, in_flight.in_flight)


@given(samples(), settings())
def test_the_desired_workers_drain_in_time_with_cold_start_unless_the_maximum_is_reached(
    sample: BacklogSample, scaling: ScalingSettings
) -> None:
    desired = decide(sample, scaling).workers
    capacity = desired * sample.rate * (scaling.drain_s - scaling.cold_start_s)
    assert desired == scaling.max or capacity * (1 + 1e-9) >= sample.waiting + sample.in_flight


@given(samples(), settings())
def test_the_desired_workers_are_within_minimum_and_maximum(sample: BacklogSample, scaling: ScalingSettings) -> None:
    assert scaling.min <= decide(sample, scaling).workers <= scaling.max


@given(samples(), settings(), st.floats(0, 1000))
def test_a_longer_cold_start_never_needs_fewer_workers(
    sample: BacklogSample, scaling: ScalingSettings, more: float
) -> None:
    slower = scaling.model_copy(update={"cold_start_s": min(scaling.cold_start_s + more, scaling.drain_s / 2)})
    assert decide(sample, slower).workers >= decide(sample, scaling).workers


@given(samples(), settings())
def test_running_workers_do_not_change_the_desired_number(sample: BacklogSample, scaling: ScalingSettings) -> None:
    """Starting workers are not requested twice, and do not make the scaler remove any."""
    assert decide(replace(sample, workers=0, warm=0, halted=0), scaling) == decide(sample, scaling)


def test_an_empty_inbox_needs_no_workers() -> None:
    assert decide(EMPTY, SETTINGS) == ScaleTo(0, "nothing waits")


@pytest.mark.parametrize(("tickets", "workers"), [(1, 1), (800, 1), (801, 2), (8_000, 10), (10**6, 64)])
def test_the_drain_time_excludes_the_cold_start(tickets: int, workers: int) -> None:
    assert decide(replace(EMPTY, waiting=tickets), SETTINGS).workers == workers


def test_live_tickets_may_have_their_own_minimum() -> None:
    scaling = SETTINGS.model_copy(update={"live_min": 3})
    assert decide(replace(EMPTY, waiting=1, live=1), scaling).workers == 3
    assert decide(replace(EMPTY, waiting=1), scaling).workers == 1


def test_a_paused_inbox_keeps_the_current_workers() -> None:
    """INV-25: no worker fetches, so the backlog does not show the load. All workers are needed after the resume."""
    paused = replace(EMPTY, waiting=10**6, workers=5, warm=5, paused=True)
    assert decide(paused, SETTINGS) == Hold(5, "paused: `triagem resume` continues")


def test_no_worker_is_added_while_all_wait_for_an_outage() -> None:
    """INV-25: additional workers would only wait too, and removed workers would be missing after the outage."""
    outage = replace(EMPTY, waiting=10**6, workers=6, warm=5, halted=5)
    assert decide(outage, SETTINGS).workers == 6
    assert isinstance(decide(outage, SETTINGS), Hold)
    assert isinstance(decide(replace(outage, halted=4), SETTINGS), ScaleTo)


@pytest.mark.parametrize("invalid", [{"drain_s": 100, "cold_start_s": 60}, {"min": 9, "max": 8}, {"live_min": 9}])
def test_inconsistent_settings_are_refused(invalid: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="TRIAGEM_SCALE_"):
        ScalingSettings.model_validate(invalid)


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_a_noisy_backlog_does_not_make_the_cluster_flap(noise: float) -> None:
    """Kubernetes scales down to the highest number that was desired within its window."""
    cluster, rng, current = Autoscaler(max_replicas=64), random.Random(7), 0
    history = []
    for step in range(400):
        waiting = int(16_000 * rng.uniform(1 - noise, 1 + noise))
        desired = decide(replace(EMPTY, waiting=waiting), SETTINGS).workers
        current = cluster.replicas(step * 15.0, current, desired)
        history.append(current)
    steady = history[40:]
    scale_downs = sum(later < earlier for earlier, later in pairwise(steady))
    assert set(steady) <= set(range(20, ceil(20 * (1 + noise)) + 1))
    assert scale_downs <= 2


def test_without_a_sample_the_cluster_changes_nothing() -> None:
    assert Autoscaler(max_replicas=8).replicas(1e6, 5, None) == 5


def test_a_small_difference_is_tolerated() -> None:
    cluster = Autoscaler(max_replicas=64, window_s=0)
    assert [cluster.replicas(step, 20, metric) for step, metric in enumerate((21, 19, 23, 17))] == [20, 20, 23, 17]


def test_it_scales_up_at_once_down_after_the_window_and_to_zero_after_the_cooldown() -> None:
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
