"""Counts the texts without a decision: all out-of-scope texts should be, and no message.

`python docs/measurements/abstain.py VERSION_FOLDER [FILE.jsonl ...]`, ten seconds; a version trained on the sample
rows. Files of messages, one `{"prompt": …}` a line, are added to the table.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from triagem.contracts.abstain import abstain_reason, unlearned_reason
from triagem.contracts.text import clean
from triagem.engine.classify import EngineSettings, LoadedModel, load
from triagem.engine.language import language_probabilities, load_language_identifier

EXAMPLES = Path(__file__).parents[2] / "examples"


def print_line(model: LoadedModel, name: str, texts: Sequence[str]) -> None:
    """A line of the table."""
    cleaned = [clean(text) for text in texts]
    tokens = model.tokenize(cleaned)
    started = time.process_time()
    reasons = [
        abstain_reason(text, read)
        or unlearned_reason(read, tokenized, language_probabilities(read), model.manifest.thresholds)
        for text, read, tokenized in zip(texts, cleaned, tokens, strict=True)
    ]
    cost = (time.process_time() - started) / len(texts) * 1e6
    counts = Counter(reason.value for reason in reasons if reason)
    by_reason = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    share = counts.total() / len(texts)
    print(f"| {name} | {len(texts)} | {counts.total()} | {share:.1%} | {by_reason or '-'} | {cost:.0f} |")


if __name__ == "__main__":
    model = load(Path(sys.argv[1]), EngineSettings(device="cpu"))
    load_language_identifier()
    print(f"{model.manifest.base}, {model.manifest.thresholds}\n")
    print("| texts | number | no decision | share | reasons | µs per text |\n|---|---|---|---|---|---|")
    rows = [json.loads(line) for line in (EXAMPLES / "out_of_scope.jsonl").read_text(encoding="utf-8").splitlines()]
    for kind, group in groupby(rows, key=itemgetter("kind")):
        print_line(model, kind, [row["prompt"] for row in group])
    for path in (EXAMPLES / "short_messages.jsonl", EXAMPLES / "test.jsonl", *map(Path, sys.argv[2:])):
        messages = [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines()]
        print_line(model, f"messages of `{path.name}`", messages)
