"""The training schedule: settings of docs/explanation/specification.md scaled to few rows; changes are reported."""

import random
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.trainer.fit.schedule import Schedule, epoch_order, fit_schedule
from triagem.trainer.settings import TrainSettings

SPECIFIED = TrainSettings(base="any", min_steps=200)
MANY_CORES = 16

row_counts = st.integers(1, 50_000)
train_settings = st.builds(
    TrainSettings,
    base=st.just("any"),
    num_train_epochs=st.integers(1, 6),
    min_steps=st.integers(1, 400),
    per_device_train_batch_size=st.integers(1, 32),
    gradient_accumulation_steps=st.integers(1, 8),
    warmup_steps=st.integers(0, 300),
    eval_steps=st.integers(1, 500),
    dataloader_num_workers=st.integers(0, 4),
)
core_counts = st.integers(1, 16)


def changed_settings(fitted: Schedule, settings: TrainSettings) -> int:
    """Number of settings that the schedule changes."""
    return sum(
        [
            fitted.epochs != settings.num_train_epochs,
            fitted.accumulation != settings.gradient_accumulation_steps,
            fitted.warmup_steps != settings.warmup_steps,
            fitted.eval_steps != settings.eval_steps,
            fitted.workers != settings.dataloader_num_workers,
        ]
    )


def padded_tokens(order: list[int], lengths: list[int], batch_size: int) -> int:
    """Number of tokens computed when each batch is padded to its longest text."""
    batches = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)


def test_on_much_data_the_specified_settings_are_unchanged_without_notes() -> None:
    assert fit_schedule(30_000, SPECIFIED, cores=MANY_CORES) == Schedule(
        epochs=3, accumulation=4, steps=2814, warmup_steps=100, eval_steps=200, workers=2, notes=()
    )


def test_the_sample_data_gets_more_steps_by_less_accumulation_not_by_more_epochs() -> None:
    fitted = fit_schedule(690, SPECIFIED, cores=MANY_CORES)

    assert (fitted.epochs, fitted.accumulation, fitted.steps) == (3, 1, 261)
    assert (fitted.warmup_steps, fitted.eval_steps) == (26, 65)
    assert fitted.notes == (
        "690 rows give 66 steps, fewer than 200: a step uses 8 rows instead of 32",
        "warm-up over 26 of the 261 steps instead of 100",
        "evaluation and checkpoint every 65 steps instead of 200: 5 checkpoints",
    )


def test_the_accumulation_is_not_lowered_further_than_needed() -> None:
    assert fit_schedule(690, SPECIFIED.model_copy(update={"min_steps": 132}), cores=MANY_CORES).accumulation == 2


def test_few_rows_get_more_epochs() -> None:
    fitted = fit_schedule(24, SPECIFIED, cores=MANY_CORES)

    assert (fitted.epochs, fitted.accumulation, fitted.steps) == (67, 1, 201)
    assert fitted.notes[1] == "67 epochs instead of 3, because TRIAGEM_TRAIN_MIN_STEPS is 200: 201 steps"


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 0), (3, 1), (4, 2), (16, 2)])
def test_loader_processes_leave_cores_for_training(cores: int, workers: int) -> None:
    assert fit_schedule(30_000, SPECIFIED, cores=cores).workers == workers


def test_a_warm_up_of_zero_stays_zero() -> None:
    assert fit_schedule(24, SPECIFIED.model_copy(update={"warmup_steps": 0}), cores=MANY_CORES).warmup_steps == 0


@given(row_counts, train_settings, core_counts)
def test_each_change_is_reported_in_one_note(rows: int, settings: TrainSettings, cores: int) -> None:
    fitted = fit_schedule(rows, settings, cores=cores)

    assert len(fitted.notes) == changed_settings(fitted, settings)


@given(row_counts, train_settings, core_counts)
def test_a_run_has_the_minimum_number_of_steps_and_no_unnecessary_epoch(
    rows: int, settings: TrainSettings, cores: int
) -> None:
    fitted = fit_schedule(rows, settings, cores=cores)
    steps_per_epoch = ceil(ceil(rows / settings.per_device_train_batch_size) / fitted.accumulation)

    assert fitted.steps == fitted.epochs * steps_per_epoch >= settings.min_steps
    assert fitted.epochs == settings.num_train_epochs or fitted.steps - steps_per_epoch < settings.min_steps
    assert fitted.epochs == settings.num_train_epochs or fitted.accumulation == 1


@given(row_counts, train_settings, core_counts)
def test_warm_up_is_a_fifth_of_the_steps_at_most(rows: int, settings: TrainSettings, cores: int) -> None:
    fitted = fit_schedule(rows, settings, cores=cores)

    assert fitted.warmup_steps <= max(1, fitted.steps / 5)


@given(row_counts, train_settings, core_counts)
def test_a_run_is_evaluated_four_times_or_at_every_step(rows: int, settings: TrainSettings, cores: int) -> None:
    fitted = fit_schedule(rows, settings, cores=cores)

    assert fitted.steps // fitted.eval_steps >= min(4, fitted.steps)


@given(st.lists(st.integers(1, 500), max_size=400), st.integers(1, 9), st.integers(0, 99))
def test_an_epoch_has_each_row_once(lengths: list[int], batch_size: int, seed: int) -> None:
    assert sorted(epoch_order(lengths, batch_size, seed=seed, epoch=0)) == list(range(len(lengths)))


def test_batches_of_like_length_pad_half_as_much_as_shuffled_ones() -> None:
    lengths = [int(random.Random(row).lognormvariate(3.5, 0.9)) + 2 for row in range(690)]
    shuffled = random.Random(42).sample(range(690), 690)

    assert (
        padded_tokens(epoch_order(lengths, 8, seed=42, epoch=0), lengths, 8) < padded_tokens(shuffled, lengths, 8) / 2
    )
    assert padded_tokens(shuffled, lengths, 8) > 2 * sum(lengths)


def test_any_batch_may_come_first_however_long_its_texts() -> None:
    lengths = list(range(80))  # ten batches, sorted together
    first = {epoch_order(lengths, 8, seed=seed, epoch=0)[0] // 8 for seed in range(200)}

    assert first == set(range(10))


def test_the_rows_of_a_short_last_batch_are_random() -> None:
    lengths = list(
        range(20)
    )  # two batches of 8 and four rows, which would count double if they were always the longest
    last = {row for seed in range(200) for row in epoch_order(lengths, 8, seed=seed, epoch=0)[16:]}

    assert last == set(range(20))


def test_an_epochs_order_depends_only_on_the_seed_and_its_number() -> None:
    orders = [epoch_order(range(100), 8, seed=seed, epoch=epoch) for seed in (42, 43) for epoch in (0, 1)]

    assert len({tuple(order) for order in orders}) == 4
    assert orders[1] == epoch_order(range(100), 8, seed=42, epoch=1)


def test_class_weights_are_reported_to_distort_probabilities() -> None:
    weighted = SPECIFIED.model_copy(update={"class_weights": "balanced"})

    assert "no longer reflect the label distribution" in fit_schedule(30_000, weighted, cores=MANY_CORES).notes[0]
