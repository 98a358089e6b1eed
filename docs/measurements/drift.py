"""Measures how often drift is reported without a shift, and how often a shift to another domain is found.

`python docs/measurements/drift.py FILE [MODEL]`, some minutes on two cores. FILE has labelled texts of several
domains, one JSON object per line with `prompt`, `completion` and `domain`. MODEL is a version's folder; the default
is the small BERT as pip installs it.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.support.drift import concatenate, drifted, false_alarms, populations, subset
from tests.support.small_bert import register_small_bert
from triagem.engine.classify import EngineSettings, LoadedModel, load
from triagem.trainer.monitor.reference import Population

EXAMPLES = Path(__file__).parents[2] / "examples" / "train.jsonl"
ROWS = 300  # of each group
SPLITS = 200
SEEDS = 10


def load_model(arguments: list[str]) -> LoadedModel:
    """The model of the command line."""
    settings = EngineSettings(device="cpu")
    if arguments:
        return load(Path(arguments[0]), settings)
    with TemporaryDirectory() as folder:
        return load(register_small_bert(Path(folder) / "models").folder("v1.0.0"), settings)


def mixture_drifted(domains: dict[str, Population], new: str, recent: int, share: float, seed: int) -> bool:
    """Whether 500 texts of all domains but `new` differ from others of theirs mixed with a share of `new`."""
    rng = np.random.default_rng(seed)
    known = concatenate(population for name, population in domains.items() if name != new)
    order, number = rng.permutation(len(known)).tolist(), min(round(share * recent), len(domains[new]))
    others = subset(known, order[500 : 500 + recent - number])
    added = subset(domains[new], rng.permutation(len(domains[new])).tolist()[:number])
    return drifted(subset(known, order[:500]), concatenate([others, added]))


def main(file: Path, model: LoadedModel) -> None:
    """Print a line for each figure."""
    domains = populations(file, lambda record: str(record["domain"]), model, rows=ROWS)
    languages = populations(EXAMPLES, lambda record: str(record["lang"]), model, rows=ROWS)
    together = concatenate(domains.values())
    print(f"false alarms in {SPLITS} splits:")
    for recent in (100, 500):
        print(f"  all domains, {recent} against 500: {false_alarms(together, SPLITS, recent=recent)}")
    for name, population in (domains | languages).items():
        print(f"  {name}, 100 against the rest: {false_alarms(population, SPLITS)}", flush=True)
    print(f"drift found in {SEEDS * len(domains)} mixtures with a domain that the reference lacks:")
    for recent in (100, 300):
        for share in (1.0, 0.5, 0.25):
            detected = sum(
                mixture_drifted(domains, name, recent, share, seed) for name in domains for seed in range(SEEDS)
            )
            print(f"  {share:.0%} of {recent}: {detected}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), load_model(sys.argv[2:]))
