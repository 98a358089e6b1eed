"""Labels of the example conversations by models trained as in the demo. Any new default model must pass them.

Trainings differ by seed and by processor: each misses up to one of the 26 new subjects, not always the same one. So
three seeds are trained, and two of them must follow a subject; no seed may let small talk change a label.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.labelled_conversations import EXAMPLES, Turn, growing, parts, read_conversations
from tests.support.training import Steps
from triagem.contracts.conversation import combine
from triagem.engine.classify import EngineSettings, LoadedModel, classify, load
from triagem.registry import Registry
from triagem.trainer import TrainSettings, train

CONVERSATIONS = read_conversations(EXAMPLES)


SEEDS = (42, 43, 44)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[LoadedModel]:
    trained = []
    for seed in SEEDS:
        registry = Registry(tmp_path_factory.mktemp("models"))
        report = train(EXAMPLES.parent, registry, TrainSettings(folds=0, seed=seed), Steps())
        trained.append(load(Path(registry.folder(report.manifest.version)), EngineSettings(device="cpu")))
    return trained


def guesses(model: LoadedModel, turns: list[Turn]) -> list[str]:
    """The predicted label of the conversation after each message."""
    judged_texts = [parts(messages) for messages in growing(turns)]
    texts = [*dict.fromkeys(text for part in judged_texts for text in part)]
    known = dict(zip(texts, classify(model, texts), strict=True))
    rows = [combine(texts, [known[text] for text in texts]) for texts in judged_texts]
    return [model.manifest.labels[row.index(max(row))] for row in rows]


def judged(model: LoadedModel) -> Iterator[tuple[Turn, Turn, str, str]]:
    """Each pair of consecutive turns with known labels, and the predicted labels after each turn."""
    for turns in CONVERSATIONS:
        pairs = [
            (turn, guess) for turn, guess in zip(turns, guesses(model, turns), strict=True) if turn.label is not None
        ]
        for (before, guess_before), (turn, guess) in pairwise(pairs):
            yield before, turn, guess_before, guess


@pytest.mark.slow
def test_small_talk_flips_no_label_and_a_new_subject_changes_it(models: list[LoadedModel]) -> None:
    missed = Counter[str]()
    for turns in ([*judged(model)] for model in models):
        flips = [turn.text for _, turn, before, guess in turns if turn.small_talk and guess != before]
        changes = [(turn.text, guess == turn.label) for last, turn, _, guess in turns if last.label != turn.label]
        assert flips == []
        assert len(changes) == 26
        missed.update(text for text, followed in changes if not followed)

    assert [text for text, seeds in missed.items() if seeds > len(SEEDS) / 2] == []
