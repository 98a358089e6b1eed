"""Rates a CRM's export for `triagem preflight` and the console's page: reads it, and computes the figures."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from triagem.contracts.errors import InvalidInput, NoModel
from triagem.records.columns import folded_name, parse_label_map, quoted_column
from triagem.registry import Registry
from triagem.trainer.active.preflight import Expectation, Preflight, expect, preflight
from triagem.trainer.bases.catalogue import installed_bases
from triagem.trainer.data.columns import ReadingRules
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import Row, load, read_parts

_MAX_TEXTS: Final = 5000  # more texts hardly change the estimate, and each takes milliseconds
_SOURCE: Final = ("source", "origem", "channel", "canal")


def rate_export(
    export: Path,
    registry: Registry,
    *,
    mapping: str = "",
    label_column: str = "",
    label_map: str = "",
    by: str = "",
    on_notes: Callable[[Sequence[str]], None] = lambda _: None,
) -> Preflight | Expectation:
    """The figures of an export, with or without labels. Nothing is stored. Arguments as in `triagem preflight`.

    `on_notes` gets notes on columns and rows before the texts are rated. Raises InvalidInput.
    """
    columns = mapping + quoted_column("completion", label_column)
    groups = (folded_name(by),) if by else _SOURCE
    rules = ReadingRules(columns, parse_label_map(label_map), by=groups, unlabelled=True)
    parts, notes = read_parts(export, rules)
    rows = parts["train"]
    on_notes(notes)
    if by and not any(row.group for row in rows):
        raise InvalidInput(f"--by {by!r}: the file has no such column, or it is empty")
    if not rows[0].label:
        return _expect(rows[:_MAX_TEXTS], registry)
    corpus = load(export, rules=rules)
    distinct = [corpus.train[row] for row in distinct_rows(corpus.train)]
    on_notes([f"rows: {len(corpus.train):,}, different texts: {len(distinct):,} (near-duplicates count as one)"])
    return _preflight(random.Random(42).sample(distinct, min(len(distinct), _MAX_TEXTS)), corpus.labels)


def _preflight(rows: list[Row], labels: tuple[str, ...]) -> Preflight:
    embeddings = None
    if installed_bases():
        from triagem.trainer.active.embeddings import MAX_TOKENS, frozen_base  # noqa: PLC0415 - loads torch, as below
        from triagem.trainer.fit.base_choice import embed  # noqa: PLC0415

        embeddings = embed(frozen_base(), [row.text for row in rows], MAX_TOKENS)
    return preflight(rows, labels, embeddings)


def _expect(rows: tuple[Row, ...], registry: Registry) -> Expectation:
    from triagem.engine import classify as engine  # noqa: PLC0415
    from triagem.trainer.monitor.reference import describe_rows, read_reference  # noqa: PLC0415

    try:
        version = registry.current().version
    except NoModel as error:
        raise NoModel(f"the file has no column of labels: name it with --label-column, as {error}") from None
    model = engine.load(registry.folder(version))
    threshold = model.manifest.thresholds.review if model.manifest.thresholds.automate else 1.0
    return expect(describe_rows(model, rows), read_reference(registry, version), threshold)
