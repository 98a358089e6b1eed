"""Measures text cleaning: words lost and noise kept against alternatives, throughput, macro-F1 with and without it.

`python docs/measurements/cleaning.py [TICKETS.jsonl] [--previous CHECKOUT]`, one minute. TICKETS is for throughput
(default: the sample rows). With `--previous`, the `clean` of another checkout is timed in turns with this one. The
library mail-parser-reply is measured if it is installed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from triagem.contracts.cleaning import addition_patterns, quote_patterns
from triagem.contracts.cleaning.readable import readable
from triagem.contracts.text import clean
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.baseline import baseline

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT / "tests" / "unit" / "data"
SAMPLES: Final = ROOT / "examples"
LABELS: Final = ("suporte", "venda")
_QUOTES: Final = ("ATTRIBUTION", "HEADER", "POINTS_BELOW")
_ADDITIONS: Final = (
    "NOTICE", "NOTICE_FORM", "LEGAL_TERM", "REQUEST", "FIRST_PERSON", "CLOSING", "NAME", "CONTACT", "ROLE",
    "FOOTER_HINT",
)  # fmt: skip
FEATURES: Final = (
    *(getattr(quote_patterns, name) for name in _QUOTES),
    *(getattr(addition_patterns, name) for name in _ADDITIONS),
    *map(re.compile, ("[>\x00\x01\x02]", ".*:$", r"-- ?$|[-_]{5}", r".*[.!?]$")),
)

Case = dict[str, str]
Cleaner = Callable[[str], str]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def words(text: str) -> Counter[str]:
    """The words of a text, with their number."""
    return Counter(re.findall(r"\w+", text.lower()))


def score(cleaner: Cleaner, cases: Sequence[Case]) -> str:
    """Cases that lose words, keep noise, or are right; words lost and noise words kept."""
    lost = [words(case["expected"]) - words(cleaner(case["input"])) for case in cases]
    noise = [words(cleaner(case["input"])) - words(case["expected"]) for case in cases]
    fail = sum(map(bool, lost))
    partly = sum(bool(extra) and not missing for missing, extra in zip(lost, noise, strict=True))
    totals = f"{sum(map(Counter.total, lost)):5d} words lost, {sum(map(Counter.total, noise)):5d} noise words kept"
    return f"{fail:3d} lose words, {partly:3d} keep noise, {len(cases) - fail - partly:3d} right; {totals}"


def lines_of(text: str) -> list[str]:
    """The lines of the body that have words."""
    return [line for line in readable(text).splitlines()[1:] if words(line)]


def features(lines: Sequence[str]) -> Iterator[list[float]]:
    """Simple features of each line, and of the lines above it."""
    seen = np.zeros(len(FEATURES))
    for at, line in enumerate(lines):
        text = line[:500].strip()
        here = np.array([bool(pattern.match(text) or pattern.search(text)) for pattern in FEATURES], float)
        upper = sum(map(str.isupper, text)) / max(1, len(text))
        place = [at, len(lines) - at, at / len(lines), len(text), len(text.split()), upper, text[:1].islower()]
        yield [*place, *here, *seen]
        seen = np.maximum(seen, here)


def is_noise(case: Case, line: str) -> bool:
    """Whether a line is not in the expected text."""
    return " ".join(re.findall(r"\w+", line.lower())) not in " ".join(re.findall(r"\w+", case["expected"].lower()))


def learned(train: Sequence[Case], model: Any, threshold: float) -> Cleaner:
    """A cleaner that removes lines which a line classifier takes for noise with at least this probability."""
    rows = [(row, is_noise(case, line)) for case in train for row, line in zip_lines(case)]
    model.fit(np.array([row for row, _ in rows]), [noise for _, noise in rows])

    def cleaner(text: str) -> str:
        lines = lines_of(text)
        if not lines:
            return clean(text)
        noise = model.predict_proba(np.array(list(features(lines))))[:, 1] >= threshold
        return " ".join(
            [readable(text).splitlines()[0], *(line for line, cut in zip(lines, noise, strict=True) if not cut)]
        )

    return cleaner


def zip_lines(case: Case) -> Iterator[tuple[list[float], str]]:
    """Each line of a case with its features."""
    lines = lines_of(case["input"])
    return zip(features(lines), lines, strict=True)


def cross_validated(cases: Sequence[Case], model: Callable[[], Any], threshold: float) -> Cleaner:
    """A cleaner that cleans each case with a model trained on the other four fifths."""
    answers: dict[str, str] = {}
    folds = GroupKFold(5, shuffle=True, random_state=42)
    for train, test in folds.split(cases, groups=[case["kind"] for case in cases]):
        cleaner = learned([cases[index] for index in train], model(), threshold)
        answers |= {cases[index]["input"]: cleaner(cases[index]["input"]) for index in test}
    return answers.__getitem__


def library() -> Cleaner | None:
    """The maintained reply parser, with all its languages of ours, on the text that it is given by a mail server."""
    try:
        from mailparser_reply import EmailReplyParser  # noqa: PLC0415
    except ImportError:
        return None
    parser = EmailReplyParser(languages=["en", "es"])

    def cleaner(text: str) -> str:
        subject, _, body = text.partition("\n")
        return f"{subject} {parser.parse_reply(text=body) or ''}"

    return cleaner


def quality() -> None:
    """Words lost and noise kept by each approach, on our own cases and on the reported ones."""
    own, reported = read(DATA / "cleaning_own.jsonl"), read(DATA / "cleaning_reported.jsonl")
    models: dict[str, Callable[[], Any]] = {
        "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "random forest": lambda: RandomForestClassifier(300, random_state=42),
    }
    print(f"{'rules':34}own       {score(clean, own)}\n{'':34}reported  {score(clean, reported)}")
    for name, model in models.items():
        for threshold in (0.5, 0.9):
            print(
                f"{f'{name}, noise ≥ {threshold}':34}own, CV   {score(cross_validated(own, model, threshold), own)}"
            )
            print(f"{'':34}reported  {score(learned(own, model(), threshold), reported)}")
    if parser := library():
        print(f"{'mail-parser-reply':34}own       {score(parser, own)}\n{'':34}reported  {score(parser, reported)}")
    keep = lambda text: text  # noqa: E731
    print(f"{'no cleaning':34}own       {score(keep, own)}\n{'':34}reported  {score(keep, reported)}")


TIMER: Final = """
import json, sys, time
from triagem.contracts.text import clean
texts = [json.loads(line)["prompt"] for line in open(sys.argv[1], encoding="utf-8")]
started = time.process_time()
for text in texts: clean(text)
print(len(texts) / (time.process_time() - started))
"""


def throughput(tickets: Path, previous: Path | None, turns: int = 7) -> None:
    """Texts per second of CPU time in one process: medians, in turns with another checkout."""
    checkouts = {"this": ROOT} | ({"previous": previous} if previous else {})
    rates: dict[str, list[float]] = {name: [] for name in checkouts}
    for _ in range(turns):
        for name, checkout in checkouts.items():
            command = [sys.executable, "-c", TIMER, str(tickets)]
            environment = os.environ | {"PYTHONPATH": str(checkout)}
            run = subprocess.run(  # noqa: S603 - this interpreter with the script above
                command, env=environment, cwd=checkout, capture_output=True, text=True, check=True
            )
            rates[name].append(float(run.stdout))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name}: {medians[name]:,.0f} texts/s, {min(values):,.0f} to {max(values):,.0f}")
    if previous:
        print(f"ratio of the medians: {medians['this'] / medians['previous']:.2f}")


def accuracy() -> None:
    """Macro-F1 of the TF-IDF baseline on the sample rows, cleaned and as they are."""
    for name, cleaner in {"cleaned": clean, "as they are": lambda text: " ".join(text.split())}.items():
        train, test = (
            [
                Row(cleaner(row["prompt"]), row["completion"], row["lang"], "")
                for row in read(SAMPLES / f"{part}.jsonl")
            ]
            for part in ("train", "test")
        )
        predicted = [LABELS[best] for best in baseline(train, test, LABELS).argmax(axis=1)]
        print(f"macro-F1, {name}: {f1_score([row.label for row in test], predicted, average='macro'):.4f}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("tickets", nargs="?", type=Path, default=SAMPLES / "train.jsonl")
    arguments.add_argument("--previous", type=Path)
    options = arguments.parse_args()
    began = time.perf_counter()
    quality()
    throughput(options.tickets.resolve(), options.previous and options.previous.resolve())
    accuracy()
    print(f"{time.perf_counter() - began:.0f} s")
