"""Shows how often the choice of the base depends on the drawn rows, by the number of rows.

`python docs/measurements/base_choice.py ROWS.jsonl`, a few minutes. ROWS.jsonl has `prompt` and `completion`, all in
one language. For each number of rows, eight seeds draw rows as a training does. No row is used for anything else.
"""

import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from triagem.trainer.bases.catalogue import installed_bases
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import load
from triagem.trainer.fit import base_choice

_SEEDS = range(42, 50)

if __name__ == "__main__":
    rows = load(Path(sys.argv[1])).train
    rows = [rows[index] for index in distinct_rows(rows)]
    number = {row.text: index for index, row in enumerate(rows)}
    embeddings = {base: base_choice.embed(base, [row.text for row in rows]) for base in installed_bases()}

    def embed(base: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return embeddings[base][[number[text] for text in texts]]  # type: ignore[no-any-return]

    for count in (500, 1000, 2000):
        chosen, gains = Counter[str](), []
        for seed in _SEEDS:
            drawn = random.Random(seed).sample(rows, min(count, len(rows)))
            with patch.object(base_choice, "embed", embed):
                base, choice = base_choice.choose_base(list(embeddings), drawn, seed=seed)
            assert choice
            chosen[base] += 1
            gains.append(choice.scores[1].mean - choice.scores[0].mean)
        shares = ", ".join(f"{base} {times} of {len(_SEEDS)}" for base, times in chosen.items())
        print(f"{count} rows: {shares}; second base minus first {np.min(gains):+.3f} to {np.max(gains):+.3f}")
