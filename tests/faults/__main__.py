"""`python -m tests.faults`: inflict the faults in full and print what each left; exit 1 if anything was lost."""

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

_say = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 if nothing was lost, doubled or wrongly condemned."""
    options = _options(arguments)
    every = [one for family in FAMILIES.values() for one in family]
    chosen = [one for one in every if not options.only or any(words in one.name for words in options.only)]
    if not chosen:
        _say.print("no fault is called so; there are:\n" + "\n".join(one.name for one in every))
        return 2
    for name in [name for name in os.environ if name.startswith(("TRIAGEM_", "FAULT_"))]:
        del os.environ[name]  # a developer's own settings must not decide
    exit_on_sigterm()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _say.print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="triagem-faults-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # as root, Postgres runs as nobody and must get in
        with Rig(Path(folder), options.seed) as rig:
            outcomes = [_inflict(rig, one, short=options.short) for one in chosen]
    if options.json:
        print(json.dumps({"seed": options.seed, "faults": [asdict(one) for one in outcomes]}, indent=2))
    else:
        wide = Console(highlight=False)
        wide.width = max(wide.width, 140)  # in a log too, each fault on one line
        wide.print(_table(outcomes))
        wide.print(f"seed {options.seed}")
    return 0 if all(one.survived for one in outcomes) else 1


def _inflict(rig: Rig, fault: Fault, *, short: bool) -> Outcome:
    began, problem = time.monotonic(), ""
    _say.print(f"▸ {fault.name}", end=" ")
    with rig.clean(fault.name):
        try:
            fault.inflict(rig, fault.short if short else fault.full)
        except Exception as error:  # noqa: BLE001 - the other faults are still of interest
            problem = f"{type(error).__name__}: {error}"
        found = rig.outcome(problem)
    _say.print(f"{'ok' if found.survived else 'NOT SURVIVED'}, {time.monotonic() - began:.0f} s")
    if problem:
        _say.print(f"  {problem}")
    return found


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table()
    table.add_column("fault")
    for name in ("tickets", "kills", "lost", "duplicate rows", "wrongly dead-lettered", "recovery s"):
        table.add_column(name, justify="right")
    for one in outcomes:
        recovery = "" if one.recovery_s is None else f"{one.recovery_s:.1f}"
        table.add_row(
            one.fault + (" ✗" if one.problem else ""),
            f"{one.tickets:,}",
            str(one.kills),
            str(one.lost),
            str(one.duplicate_rows),
            str(one.wrongly_dead),
            recovery,
            style=None if one.survived else "red",
        )
    return table


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of a former run")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="faults with these words in their name; repeatable"
    )
    parser.add_argument("--short", action="store_true", help="the short forms, as `make test` runs them")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
