"""Each attack in its short form harms no legitimate client.

`make hostile` inflicts the same attacks in full, and measures.
"""

import random
from collections.abc import Iterator

import pytest

from tests.hostile.attacks import ATTACKS, Attack, random_request
from tests.hostile.rig import Rig
from triagem.stack import LocalStack

SECONDS = 0.5


@pytest.fixture(scope="module")
def rig(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown when a test fails
    opened = Rig(stack.endpoints, tmp_path_factory.mktemp("hostile"), seed, receive_timeout_s=1)
    yield opened
    opened.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_the_gateway_serves_others_and_repeats_nothing(rig: Rig, attack: Attack) -> None:
    outcome = rig.inflict(attack, attack.short, SECONDS, rounds=200 if attack.act is random_request else 0)

    assert outcome.faults == []
    assert outcome.accepted == outcome.sent
    assert outcome.survived, outcome
