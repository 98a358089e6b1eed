"""Embeddings of a company's texts by the frozen base, each text computed once.

The embeddings are stored by digest in one SQLite file for each base. The file holds only the texts of the last call:
an embedding reveals much about its text, so it must be deleted with the text. The trainer deletes a file that no job
has used for a day.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triagem.contracts.text import digest
from triagem.trainer.bases.catalogue import E5, find_base, installed_bases

MAX_TOKENS: Final = 512
_COMMIT_EVERY: Final = 1000  # texts; a killed job repeats at most these


def frozen_base() -> str:
    """The base of head versions: e5 if installed, because its heads are better in Portuguese; else another base."""
    installed = installed_bases()
    return E5.name if E5.name in installed or not installed else installed[0]


def embed_texts(
    base: str, texts: Sequence[str], folder: Path, on_progress: Callable[[int, int], None] = lambda _done, _all: None
) -> NDArray[np.float32]:
    """Embeddings `[texts][width]` of clean texts: the mean of each text's tokens.

    Args:
        base: as in `triagem.trainer.bases.catalogue.find_base`.
        texts: all texts in use; the embeddings of all other texts are deleted.
        folder: a folder for the file, for example a registry's `work_dir`. It may be emptied at any time.
        on_progress: called with the number of computed texts and the number of texts to compute.
    """
    digests = [digest(text) for text in texts]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"embeddings-{(find_base(base).verified_digest() or base)[:16].replace('/', '-')}.sqlite"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, timeout=60)) as store:
        store.execute("PRAGMA secure_delete = ON")  # otherwise the bytes of deleted rows stay in the file
        store.execute("CREATE TABLE IF NOT EXISTS embeddings (digest BLOB PRIMARY KEY, embedding BLOB NOT NULL)")
        known = {row[0] for row in store.execute("SELECT digest FROM embeddings")}
        missing = {key: text for key, text in zip(digests, texts, strict=True) if key not in known}
        _compute(base, missing, store, on_progress)
        store.executemany("DELETE FROM embeddings WHERE digest = ?", [(key,) for key in known.difference(digests)])
        store.commit()
        stored = dict(store.execute("SELECT digest, embedding FROM embeddings"))
    return np.stack([np.frombuffer(stored[key], dtype=np.float32) for key in digests])


def _compute(
    base: str, missing: dict[bytes, str], store: sqlite3.Connection, on_progress: Callable[[int, int], None]
) -> None:
    from triagem.trainer.fit.base_choice import embed  # noqa: PLC0415 - loads torch, and nothing may be missing

    keys = sorted(missing, key=lambda key: len(missing[key]))  # texts of similar length need little padding
    for start in range(0, len(keys), _COMMIT_EVERY):
        part = keys[start : start + _COMMIT_EVERY]
        rows = np.asarray(embed(base, [missing[key] for key in part], MAX_TOKENS), dtype=np.float32)
        pairs = [(key, row.tobytes()) for key, row in zip(part, rows, strict=True)]
        store.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", pairs)
        store.commit()
        on_progress(start + len(part), len(keys))
