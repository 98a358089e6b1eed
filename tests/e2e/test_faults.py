"""The fault suite in short form: after any fault, each accepted ticket ends as exactly one current result.

`make faults` inflicts the same faults in full.
"""

import random
from collections.abc import Iterator

import pytest

from tests.faults.catalog import Fault
from tests.faults.families import FAMILIES
from tests.faults.rig import Rig

# Ten seconds or more each: `make test-slow` and `make faults` run them.
LONG = {
    "beat without an ops worker", "a registry that hangs while a run waits for its version",
    "texts that kill the process", "Postgres frozen", "a broken device", "a device that fails 30 % of its calls",
    "Postgres slower than a statement may take", "ops killed while a run is under way",
    "workers killed while Postgres is unavailable and one ticket waits",
}  # fmt: skip
# Each fault with one that fails for the same broken code: see the table in docs/explanation/reliability.md.
IMPLIED = {
    "kill -9 at random moments, two workers": "kill -9 at random moments, one worker",
    "Redis unavailable": "Redis killed and restarted",
    "a worker killed while Redis is unavailable": "Redis killed and restarted",
    "Postgres unavailable": "a worker killed while Postgres is unavailable",
    "a serialisation failure": "a deadlock",
    "an entry of an unknown wire version": "an entry that is not JSON",
    "the current version's weights changed": "the current version's folder deleted",
    "the current version half written": "the current version's folder deleted",
    "an older text after the newer one": "two workers with the same tickets in any order",
    "one ticket in both lanes at once": "two workers with the same tickets in any order",
    "a delayed worker with the previous model, after a promotion":
        "a delayed worker with the withdrawn model, after a rollback",
}  # fmt: skip
ALL = [
    pytest.param(
        fault,
        id=f"{family}: {fault.name}",
        marks=[pytest.mark.slow] if fault.name in LONG | IMPLIED.keys() else [],
    )
    for family, faults in FAMILIES.items()
    for fault in faults
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Servers for all faults."""
    with Rig(tmp_path_factory.mktemp("faults"), random.SystemRandom().randrange(10**6)) as opened:
        yield opened


@pytest.mark.parametrize("fault", ALL)
def test_no_ticket_is_lost_duplicated_or_wrongly_dead_lettered(rig: Rig, fault: Fault) -> None:
    print(f"python -m tests.faults --short --seed {rig.seed} --only '{fault.name}'")  # shown when it fails
    with rig.clean(fault.name):
        fault.inflict(rig, fault.short)
        assert rig.outcome().survived, rig.outcome()
