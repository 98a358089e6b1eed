"""All faults by family, in the order in which they run."""

from typing import Final

from tests.faults import conversations, kills, model, order, overload, poison, postgres, redis, runs
from tests.faults.catalog import Fault, faults_of

FAMILIES: Final[dict[str, list[Fault]]] = {
    family.__name__.rpartition(".")[2]: list(faults_of(family))
    for family in (kills, redis, postgres, poison, model, order, conversations, runs, overload)
}
