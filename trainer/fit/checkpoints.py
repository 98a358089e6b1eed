"""Stores a training's checkpoints so that the same command resumes it after an interruption. Files only, no torch.

Hugging Face's Trainer writes and reads the checkpoints themselves.
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

# Written last, so a checkpoint is complete if this file is readable.
_STATE: Final = "trainer_state.json"
# The optimizer state is twice the size of the model, and needed only in the newest checkpoint.
_OPTIMIZER: Final = "optimizer.pt"


def training_id(*parts: object) -> str:
    """The identifier of a training: 12 hexadecimal digits that depend on all its inputs."""
    return sha256("\0".join(repr(part) for part in parts).encode()).hexdigest()[:12]


@contextmanager
def training_folder(root: Path, name: str) -> Iterator[Path]:
    """The training's own folder in `root`, the same on every attempt.

    It is kept if the block fails after a checkpoint.

    Raises:
        AlreadyTraining: another process runs the same training.
    """
    folder = root / f".training-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyTraining(
                f"the same training is already running (in {folder}): wait for it, or stop it"
            ) from None
        try:
            yield folder
        except BaseException:
            if not has_progress(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def has_progress(folder: Path) -> bool:
    """Whether a training left something in its folder to resume from."""
    return any(folder.glob("fold-*.json")) or any(folder.rglob(_STATE))


def newest_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint. Incomplete checkpoints after it are removed."""
    numbered = [(int(path.name.partition("-")[2]), path) for path in folder.glob("checkpoint-*")]
    for _, path in sorted(numbered, reverse=True):
        if _is_complete(path):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def drop_old_optimizer_states(folder: Path) -> None:
    """Delete the optimizer state of all checkpoints except the newest: training resumes only from the newest."""
    *older, _ = sorted(folder.glob(f"checkpoint-*/{_OPTIMIZER}"), key=lambda path: int(path.parent.name[11:]))
    for path in older:
        path.unlink(missing_ok=True)


def clearly_better(best: float, last: float, rows: int) -> bool:
    """Whether an accuracy on `rows` dev rows beats the last checkpoint's by more than a standard error.

    A smaller difference is chance (Breiman et al. 1984, section 3.4.3), and the last checkpoint has trained longest.
    On a few hundred dev rows, several checkpoints have the same accuracy, and the Trainer would keep the first one,
    which is trained least: see docs/explanation/model-quality.md.
    """
    return best - last > sqrt(last * (1 - last) / rows)


def _is_complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_bytes())
    except (OSError, ValueError):
        return False
    return (checkpoint / _OPTIMIZER).is_file()
