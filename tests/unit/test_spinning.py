"""How long a worker's threads wait awake."""

import pytest

from cli.processes import spin_briefly


def test_a_worker_s_threads_wait_awake_for_a_moment() -> None:
    environ = {"HOME": "/"}

    spin_briefly(environ)

    assert environ == {"HOME": "/", "GOMP_SPINCOUNT": "10000", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("policy", ["PASSIVE", "ACTIVE"])
def test_who_runs_it_has_the_last_word(policy: str) -> None:
    environ = {"OMP_WAIT_POLICY": policy}

    spin_briefly(environ)

    assert environ == {"OMP_WAIT_POLICY": policy}
