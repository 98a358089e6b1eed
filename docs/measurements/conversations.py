"""Measures rules for the label of a conversation: label changes by small talk and by new subjects, cost, calibration.

`python docs/measurements/conversations.py MODEL [CONVERSATIONS] [--turns FILE]`, a minute on two cores. MODEL is a
version's folder, CONVERSATIONS a file like `examples/conversations.jsonl` (the default): the rule was chosen on
`conversations_dev.jsonl`, and not on `conversations_held_out.jsonl`. Below the table are the messages after which the
last rule, the chosen one, is wrong. `--turns` has labelled
English texts of several domains, one JSON object per line with `prompt`, `completion` and `domain`: each conversation
is four of one domain, with small talk of CONVERSATIONS after each.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.support.labelled_conversations import EXAMPLES, Turn, growing, parts, read_conversations
from triagem.contracts import conversation
from triagem.contracts.abstain import abstain_reason
from triagem.contracts.conversation import ConversationMessage, combine
from triagem.contracts.small_talk import evidence
from triagem.contracts.text import clean
from triagem.engine.classify import EngineSettings, LoadedModel, classify, load
from triagem.trainer.evaluate.metrics import compute_metrics

JOINED: Final = 60  # conversations made of turns
TURNS: Final = 4  # of each

Row = list[float]
Choose = Callable[[Sequence[ConversationMessage]], list[str]]
Combine = Callable[[Sequence[str], Sequence[Row]], Row]


@dataclass(frozen=True, slots=True)
class Rule:
    """The texts of a conversation that are classified, and their combination."""

    name: str
    choose: Choose
    combine: Combine


def join_turns(path: Path, small_talk: Sequence[str], seed: int = 7) -> list[list[Turn]]:
    """Conversations of turns of one domain, drawn at random, with small talk after each."""
    draw = random.Random(seed)
    domains: dict[str, list[dict[str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        domains.setdefault(row["domain"], []).append(row)
    both = [rows for _, rows in sorted(domains.items()) if len({row["completion"] for row in rows}) > 1]
    return [
        [
            turn
            for row in draw.sample(draw.choice(both), TURNS)
            for turn in (
                Turn(row["prompt"], row["completion"], False),
                Turn(draw.choice(small_talk), row["completion"], True),
            )
        ]
        for _ in range(JOINED)
    ]


def own(messages: Sequence[ConversationMessage]) -> list[str]:
    """The cleaned messages; without greetings and thanks, unless there is nothing else."""
    texts = [(message.text, clean(message.text)) for message in messages]
    return [cleaned for text, cleaned in texts if abstain_reason(text, cleaned) is None] or [texts[-1][1]]


def ends(texts: Sequence[str]) -> list[str]:
    """The first and the newest text."""
    return [*texts[:1], *texts[1:][-1:]]


def joined(texts: Sequence[str]) -> list[str]:
    """One text."""
    return ["\n".join(texts)]


def in_context(texts: Sequence[str]) -> list[str]:
    """Each text after the first one."""
    return [texts[0], *("\n".join((texts[0], text)) for text in texts[1:])]


def only(_: Sequence[str], rows: Sequence[Row]) -> Row:
    """The row of the only text."""
    (row,) = rows
    return row


def mean(weigh: Callable[[str], float]) -> Combine:
    """The weighted mean of log-probabilities."""

    def combined(texts: Sequence[str], rows: Sequence[Row]) -> Row:
        weights = [*map(weigh, texts)] if any(map(weigh, texts)) else [1.0] * len(texts)
        scores = np.average(np.log(np.maximum(rows, 1e-9)), axis=0, weights=weights)
        return list(np.exp(scores) / np.exp(scores).sum())

    return combined


def kept(change: float) -> Combine:
    """The chosen filter, but no message is small talk."""

    def combined(_: Sequence[str], rows: Sequence[Row]) -> Row:
        belief, *later = map(np.asarray, rows)
        for row in later:
            belief = ((1 - change) * belief + change * (1 - belief) / (len(belief) - 1)) * row
            belief = belief / belief.sum()
        return list(belief)

    return combined


RULES: Final = (
    Rule("newest message", lambda messages: [clean(messages[-1].text)], only),
    Rule("newest, without greetings and thanks", lambda messages: own(messages)[-1:], only),
    Rule("first message", lambda messages: own(messages)[:1], only),
    Rule("one text of all messages", lambda messages: joined(own(messages)), only),
    Rule("one text of the first and the newest", lambda messages: joined(ends(own(messages))), only),
    Rule("mean", own, mean(lambda _: 1.0)),
    Rule("mean, weighted by words", own, mean(evidence)),
    Rule("newest with enough words", lambda messages: parts(messages)[-1:], only),
    Rule("label kept, messages count in full", own, kept(conversation.CHANGE)),
    Rule("label kept, each after the first", lambda messages: in_context(own(messages)), kept(conversation.CHANGE)),
    Rule("label kept, messages count by words", parts, combine),
)  # fmt: skip


class Measurement:
    """Classifies each text once, and counts what a rule does."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._known: dict[str, tuple[Row, int]] = {}
        self.wrong: list[str] = []

    def measure(self, rule: Rule, conversations: Sequence[Sequence[Turn]]) -> dict[str, Any]:
        """The figures of a rule: each message is judged when it arrives; unchanged texts are not judged again."""
        flips, moved, new, followed, tokens = 0, 0, 0, 0, 0
        truth, rows, finals = [], [], []
        self.wrong = []
        self._classify(
            {text for turns in conversations for messages in growing(turns) for text in rule.choose(messages)}
        )
        for number, turns in enumerate(conversations, 1):
            judged, guess, right = list[str](), "", None
            for turn, texts in zip(turns, map(rule.choose, growing(turns)), strict=True):
                row = rule.combine(texts, [self._known[text][0] for text in texts])
                tokens += sum(self._known[text][1] for text in texts) if texts != judged else 0
                judged, before, guess = texts, guess, self._model.manifest.labels[int(np.argmax(row))]
                if turn.label is None:
                    continue
                if right not in (None, turn.label):
                    new, followed = new + 1, followed + (guess == turn.label)
                elif right and guess != before:
                    flips, moved = flips + turn.small_talk, moved + (not turn.small_talk)
                right = turn.label
                if guess != right:
                    newest = max(self._known[texts[-1]][0])
                    self.wrong.append(f"{number}: {turn.text!r}: {guess} {max(row):.2f}, newest text {newest:.2f}")
                truth.append(self._model.manifest.labels.index(right))
                rows.append(row)
            finals.append(guess == right)
        metrics = compute_metrics(np.array(truth), np.array(rows))
        return {
            "flips": flips,
            "moved": moved,
            "followed": f"{followed}/{new}",
            "accuracy": metrics["accuracy"].item(),
            "final": f"{sum(finals)}/{len(finals)}",
            "nll": metrics["nll"].item(),
            "ece": metrics["ece"].item(),
            "tokens": round(tokens / len(conversations)),
        }

    def _classify(self, texts: set[str]) -> None:
        unknown = sorted(texts - self._known.keys())
        rows = classify(self._model, unknown)
        sizes = [len(tokens.ids) for tokens in self._model.tokenize(unknown)]
        self._known |= dict(zip(unknown, zip(rows, sizes, strict=True), strict=True))


def print_table(title: str, measurement: Measurement, conversations: Sequence[Sequence[Turn]]) -> None:
    """Print a row per rule."""
    small_talk = sum(turn.small_talk for turns in conversations for turn in turns)
    messages = sum(map(len, conversations))
    print(f"\n{title}: {len(conversations)} conversations, {messages} customer messages, {small_talk} small talk")
    print("| rule | flips | other flips | followed | right | final | NLL | ECE | tokens |")
    print("|---|---|---|---|---|---|---|---|---|")
    for rule in RULES:
        figures = measurement.measure(rule, conversations)
        shown = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in figures.values())
        print(f"| {rule.name} | {' | '.join(shown)} |", flush=True)
    print(*measurement.wrong, sep="\n")


def main() -> None:
    """Print a table for the conversations, and one for the joined turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("conversations", type=Path, nargs="?", default=EXAMPLES)
    parser.add_argument("--turns", type=Path)
    arguments = parser.parse_args()
    measurement = Measurement(load(arguments.model, EngineSettings(device="cpu")))
    conversations = read_conversations(arguments.conversations)
    print_table(arguments.conversations.name, measurement, conversations)
    if arguments.turns:
        english = [turn.text for turns in conversations for turn in turns if turn.small_talk and turn.text.isascii()]
        print_table(arguments.turns.name, measurement, join_turns(arguments.turns, english))


if __name__ == "__main__":
    main()
