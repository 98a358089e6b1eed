"""Where a training keeps its checkpoints, so that the same command goes on after a kill, and which one is kept in the
end. Files only, no torch.

Not here: what a checkpoint holds; Hugging Face's Trainer writes and reads it.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from math import sqrt
from pathlib import Path
from typing import Final

from triagem.contracts.errors import AlreadyTraining

# Written last, so that a checkpoint with a readable one is whole.
_STATE: Final = "trainer_state.json"
# Twice the size of the model, and of use in the newest checkpoint alone.
_OPTIMIZER: Final = "optimizer.pt"


def mark_of(*parts: object) -> str:
    """The name of a training: 12 hexadecimal digits that change with anything it is made of."""
    return sha256("\0".join(repr(part) for part in parts).encode()).hexdigest()[:12]


@contextmanager
def workplace(root: Path, mark: str) -> Iterator[Path]:
    """The training's own folder in `root`, the same at each try: kept if the block fails and left checkpoints.

    Raises:
        AlreadyTraining: another process is at the same training.
    """
    folder = root / f".training-{mark}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyTraining(f"the same training runs already (in {folder}): wait for it, or end it") from None
        try:
            yield folder
        except BaseException:
            if not begun(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def begun(folder: Path) -> bool:
    """Whether a training left something in its folder to go on from."""
    return any(folder.glob("fold-*.json")) or any(folder.rglob(_STATE))


def last_whole(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; newer ones, cut off by a kill, are removed."""
    numbered = [(int(path.name.partition("-")[2]), path) for path in folder.glob("checkpoint-*")]
    for _, path in sorted(numbered, reverse=True):
        if _whole(path):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def thin_out(folder: Path) -> None:
    """Take the optimizer's state out of all checkpoints but the newest: only that one is gone on from."""
    *older, _ = sorted(folder.glob(f"checkpoint-*/{_OPTIMIZER}"), key=lambda path: int(path.parent.name[11:]))
    for path in older:
        path.unlink(missing_ok=True)


def beats_last(best: float, last: float, rows: int) -> bool:
    """Whether a checkpoint's share of right answers on dev beats the last one's by over a standard error.

    What does not is chance (Breiman et al. 1984, section 3.4.3), and the last checkpoint has learned most. On a few
    hundred dev rows several get the same number right, and the Trainer would keep the first of them, the least
    trained: see docs/model-quality.md.
    """
    return best - last > sqrt(last * (1 - last) / rows)


def _whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_bytes())
    except (OSError, ValueError):
        return False
    return (checkpoint / _OPTIMIZER).is_file()
