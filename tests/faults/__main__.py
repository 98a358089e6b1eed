"""`python -m tests.faults`: runs the faults in full and prints the outcome of each; exits 1 if anything was lost."""

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from tests.faults.catalog import Fault
from tests.faults.families import FAMILIES
from tests.faults.outcome import Outcome
from tests.faults.rig import Rig
from triagem.cli.processes import exit_on_sigterm

_console = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 if nothing was lost, duplicated or wrongly dead-lettered."""
    options = _options(arguments)
    faults = [fault for family in FAMILIES.values() for fault in family]
    selected = [fault for fault in faults if not options.only or any(part in fault.name for part in options.only)]
    if not selected:
        _console.print("no fault has such a name; the faults are:\n" + "\n".join(fault.name for fault in faults))
        return 2
    for name in [name for name in os.environ if name.startswith(("TRIAGEM_", "FAULT_"))]:
        del os.environ[name]  # a developer's own settings must not affect the run
    exit_on_sigterm()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _console.print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="triagem-faults-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # for root, Postgres runs as `nobody`, which must open the folder
        with Rig(Path(folder), options.seed) as rig:
            outcomes = [_run(rig, fault, short=options.short) for fault in selected]
    if options.json:
        print(json.dumps({"seed": options.seed, "faults": [asdict(outcome) for outcome in outcomes]}, indent=2))
    else:
        wide = Console(highlight=False)
        wide.width = max(wide.width, 140)  # one line per fault, even if the output is a log
        wide.print(_table(outcomes))
        wide.print(f"seed {options.seed}")
    return 0 if all(outcome.survived for outcome in outcomes) else 1


def _run(rig: Rig, fault: Fault, *, short: bool) -> Outcome:
    started, problem = time.monotonic(), ""
    _console.print(f"▸ {fault.name}", end=" ")
    with rig.clean(fault.name):
        try:
            fault.inflict(rig, fault.short if short else fault.full)
        except Exception as error:  # noqa: BLE001 - continue with the other faults
            problem = f"{type(error).__name__}: {error}"
        outcome = rig.outcome(problem)
    _console.print(f"{'ok' if outcome.survived else 'NOT SURVIVED'}, {time.monotonic() - started:.0f} s")
    if outcome.problem:
        _console.print(f"  {outcome.problem}")
    return outcome


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table()
    table.add_column("fault")
    for name in ("tickets", "kills", "lost", "duplicate rows", "wrongly dead-lettered", "recovery s"):
        table.add_column(name, justify="right")
    for outcome in outcomes:
        recovery = "" if outcome.recovery_s is None else f"{outcome.recovery_s:.1f}"
        table.add_row(
            outcome.fault + (" ✗" if outcome.problem else ""),
            f"{outcome.tickets:,}",
            str(outcome.kills),
            str(outcome.lost),
            str(outcome.duplicate_rows),
            str(outcome.wrongly_dead),
            recovery,
            style=None if outcome.survived else "red",
        )
    return table


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="seed of a previous run, to repeat it",
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="only faults whose name contains this text; repeatable"
    )
    parser.add_argument("--short", action="store_true", help="run the short forms, as `make test` does")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
