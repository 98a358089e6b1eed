"""A full training: fine-tunes on labelled rows and the agreed labels of reviews, and registers the version."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import BaseModel

from triagem.contracts.conversation import message_rows
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import Version
from triagem.db import Database
from triagem.db.reviews.agreed_labels import LabelledExample, labelled_examples
from triagem.db.reviews.records import Unasked, labels_only_ours
from triagem.registry import Registry
from triagem.registry.records import read_rows
from triagem.trainer import TrainSettings, train
from triagem.trainer.data.columns import USUAL, ReadingRules, reading_rules
from triagem.trainer.data.rows import Row, read_parts
from triagem.trainer.jobs.run import JobRun, StepReporter

log = structlog.get_logger(__name__)

# Maximum shares of the training rows.
MAX_REVIEWER_SHARE: Final = 0.2
MAX_SOURCE_SHARE: Final = 0.4


class FullParameters(BaseModel):
    """The rows and settings of a full training; they override TRIAGEM_TRAINER_DATA and TRIAGEM_TRAIN_*."""

    data: Path | None = None
    reviews: bool = True
    parent: Version | None = None
    base: str | None = None
    settings: dict[str, Any] = {}
    crm: str | None = None


def train_full(run: JobRun) -> str:
    """Train and register a version; after an interruption, on the same rows from the last checkpoint.

    If a ticket was forgotten meanwhile, the training starts again without its text.
    """
    parameters = FullParameters.model_validate(run.job.parameters)
    run.report("prepare")
    settings = TrainSettings(**parameters.settings)
    forgotten = run.database.scalar_one("SELECT count(*) FROM tickets WHERE forgotten_at IS NOT NULL")
    data = run.folder / f"data-{forgotten}"
    if not data.exists():
        shutil.rmtree(run.folder)
        run.folder.mkdir(mode=0o700)
        database = run.database if parameters.reviews else None
        own = labels_only_ours(run.database, parameters.crm) if parameters.crm else {}
        rules, learned = reading_rules(settings, own), learned_reviews(run.registry)
        write_training_data(data, parameters.data or run.settings.data, database, rules, learned)
    report = train(
        data,
        run.registry,
        settings.model_copy(update={"columns": "", "label_map": ""}),  # the labels of the written rows
        StepReporter(run),
        base=parameters.base,
        parent=parameters.parent,
        promote=False,
        job=run.key,
        work_dir=run.folder,
    )
    return report.manifest.version


@dataclass(frozen=True, slots=True)
class LearnedReviews:
    """The reviews that the current version was made with: of texts in `digests` (hexadecimal), given by `until`."""

    digests: Collection[str]
    until: datetime

    def __contains__(self, example: LabelledExample) -> bool:
        given_at = example.reviewed_at
        return given_at is not None and given_at <= self.until and example.digest.hex() in self.digests


def learned_reviews(registry: Registry) -> LearnedReviews | None:
    """Those of the current version; None without a version."""
    current = registry.find_current()
    if current is None:
        return None
    rows = read_rows(registry, current.version)
    digests = chain(rows.train, rows.dev, rows.calibration, rows.test) if rows else ()
    return LearnedReviews(frozenset(digests), registry.manifest(current.version).created_at)


def limit_reviewers(
    examples: Sequence[LabelledExample], others: int, learned: LearnedReviews | None = None
) -> list[LabelledExample]:
    """Limit the share of the training rows that any single reviewer or CRM gives; the newest are kept.

    A single person, a stolen key, or a stolen webhook secret must not determine what the next version learns. Labels
    that nobody requested are limited always. Requested reviews are limited if they are new to the current version: to
    an equal share of each person if there are few. The file of labelled rows counts as a person, so a sole reviewer
    without a file has no limit.

    Args:
        others: the number of other training rows.
        learned: what the current version has learned; None without a version, which nothing could harm.
    """
    people = {example.reviewer for example in examples if example.stratum not in {*Unasked}}
    equal_share = max(MAX_REVIEWER_SHARE, 1 / max(1, len(people) + (others > 0)))

    def limits(example: LabelledExample) -> dict[tuple[str, str], float]:
        reviewer = ("reviewer", example.reviewer)
        if example.stratum in {*Unasked}:
            return {reviewer: MAX_REVIEWER_SHARE, ("source", example.source): MAX_SOURCE_SHARE}
        return {} if learned is None or example in learned else {reviewer: equal_share}

    kept, rows = list(examples), others + len(examples) + 1
    while others + len(kept) < rows:  # the shares are of the rows that are left
        rows, kept, counts = others + len(kept), [], Counter[tuple[str, str]]()
        for example in reversed(examples):
            shares = limits(example)
            if all(counts[name] < share * rows for name, share in shares.items()):
                counts.update(shares.keys())
                kept.append(example)
    if left_out := len(examples) - len(kept):
        log.warning("reviews_left_out", texts=left_out, kept=len(kept))
    return kept[::-1]


def write_training_data(
    folder: Path,
    source: Path | None,
    database: Database | None,
    rules: ReadingRules = USUAL,
    learned: LearnedReviews | None = None,
) -> None:
    """Write a data folder atomically: the parts of `source`, and the agreed labels of reviews as training rows.

    Reviewed texts that a version was tested on become test rows again: `triagem.trainer.data.split` moves them.

    Raises:
        InvalidInput: there are no rows.
    """
    parts = {part: [*rows] for part, rows in read_parts(source, rules)[0].items() if rows} if source else {}
    if database:
        train, examples = parts.setdefault("train", []), labelled_examples(database)
        reviewed = [item for item in examples if isinstance(item, LabelledExample)]
        train.extend(
            Row(
                item.prompt,
                item.completion,
                item.lang or "",
                messages=item.messages,
                stratum=item.stratum or "chosen",
            )
            for item in limit_reviewers(reviewed, len(train), learned)
        )
    if not parts.get("train"):
        raise InvalidInput(
            "there is nothing to train on: review texts, or set TRIAGEM_TRAINER_DATA to a folder of labelled rows"
        )
    if len({row.label for row in parts["train"]}) < 2:
        label, number = parts["train"][0].label, len(parts["train"])
        raise InvalidInput(
            f"the {number:,} training rows have one label, {label!r}: review texts with another label, or set "
            "TRIAGEM_TRAINER_DATA to a folder of labelled rows"
        )
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    for part, rows in parts.items():
        with (partial / f"{part}.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                fields = {
                    "prompt": row.text, "completion": row.label, "lang": row.lang,
                    "messages": message_rows(row.messages),
                }  # fmt: skip
                stratum = {"stratum": row.stratum} if row.stratum else {}
                file.write(json.dumps({**fields, **stratum}, ensure_ascii=False) + "\n")
    partial.rename(folder)
