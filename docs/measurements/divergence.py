"""Measures how often reviews are found to contradict confidences that are calibrated, or 5 or 10 points too high.

`python docs/measurements/divergence.py`, a minute on one core. `triagem.db.reviews.expected` has the rule.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.unit.test_accuracy import History, alarms

for points, histories in ((0, 1000), (5, 200), (10, 200)):
    simulated = (History(seed, size=3000, overconfidence=points / 100) for seed in range(1000, 1000 + histories))
    print(f"{points} points too high: an alarm in {alarms(simulated)} of {histories} histories")
