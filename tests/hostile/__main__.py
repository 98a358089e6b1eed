"""`python -m tests.hostile`: runs each attack in full while a client submits tickets; exits 1 if one harmed it.

Prints the table of docs/explanation/security.md. The attackers come from 127.0.0.2, the client from 127.0.0.1.
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from rich.console import Console

from tests.hostile.attacks import ATTACKS, random_request
from tests.hostile.rig import Outcome, Rig
from triagem.cli.commands.up import prepare_database
from triagem.cli.processes import exit_on_sigterm
from triagem.stack import LocalStack

_console = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 if no attack harmed the client."""
    options = _options(arguments)
    selected = [attack for attack in ATTACKS if any(text in attack.name for text in options.only)]
    for name in [name for name in os.environ if name.startswith("TRIAGEM_")]:
        del os.environ[name]  # a developer's own settings must not affect the run
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="triagem-hostile-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # for root, Postgres runs as `nobody`, which must open the folder
        stack = LocalStack(Path(folder) / "stack", fsync=False)
        endpoints = stack.start()
        try:
            prepare_database(endpoints)
            rig = Rig(endpoints, Path(folder), options.seed)
            outcomes = [rig.inflict(None, 0, options.seconds)]
            for attack in selected:
                _console.print(f"▸ {attack.name}")
                rounds = options.requests if attack.act is random_request else 0
                outcomes.append(rig.inflict(attack, attack.full, options.seconds, rounds))
                for fault in outcomes[-1].faults:
                    _console.print(f"  {fault}", style="red")
            rig.close()
        finally:
            stack.erase()
    print(_table(outcomes))
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "httptools", "fastapi"))
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {python_version()}, {packages}; seed {options.seed}")
    return 0 if all(outcome.survived for outcome in outcomes) else 1


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = [
        "| attack | connections | answers to the attackers | p99, worst of `/health/live` | tickets accepted | peak |"
    ]
    rows.append("|---|---|---|---|---|---|")
    for outcome in outcomes:
        answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(outcome.statuses.items()))
        p99, worst = outcome.live_ms
        accepted = f"{outcome.accepted:,} of {outcome.sent:,}{'' if outcome.survived else ' ✗'}"
        latency, peak = f"{p99:.0f} ms, {worst:.0f} ms", f"{outcome.peak_mib:.0f} MiB"
        cells = (outcome.attack, str(outcome.connections), answers, latency, accepted, peak)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument(
        "--only", metavar="TEXT", nargs="+", default=[""], help="only attacks whose name has one of these"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each attack")
    parser.add_argument("--requests", type=int, default=20_000, help="number of random requests")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="to repeat a run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
