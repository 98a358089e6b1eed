"""The packed e5 becomes a BERT folder: its weights, the pieces that are kept, and its tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support import packed_e5
from triagem.trainer.bases import e5


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    packed_e5.write_package(folder)
    return folder


@pytest.fixture(scope="module")
def converted(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    e5.convert(package, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(converted: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(converted)


@pytest.mark.parametrize(
    ("name", "theirs", "rows", "columns"),
    [
        ("encoder.layer.1.attention.self.key.weight", "l1.k.w", packed_e5.WIDTH, packed_e5.WIDTH),
        ("encoder.layer.0.intermediate.dense.weight", "l0.fi.w", packed_e5.INNER, packed_e5.WIDTH),
        ("encoder.layer.0.output.dense.weight", "l0.fo.w", packed_e5.WIDTH, packed_e5.INNER),
    ],
)
def test_a_matrix_has_the_weights_of_its_blocks(
    converted: Path, name: str, theirs: str, rows: int, columns: int
) -> None:
    _, expected = packed_e5.quantised(theirs, rows, columns)
    np.testing.assert_allclose(load_file(converted / "model.safetensors")[name], expected, rtol=1e-6)


def test_transformers_loads_it_and_misses_only_the_pooler(converted: Path) -> None:
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(converted, output_loading_info=True)

    assert type(model).__name__ == "BertModel"
    assert set(info["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}
    assert not info["unexpected_keys"]


def test_listed_pieces_signs_and_latin_letters_are_kept_with_their_embeddings(
    package: Path, converted: Path, tokenizer: Any
) -> None:
    source = e5.read(package / e5.PACKED_MODEL)
    vocabulary = tokenizer.get_vocab()
    embeddings = load_file(converted / "model.safetensors")["embeddings.word_embeddings.weight"]
    _, every = packed_e5.quantised("emb.word", len(source.pieces), packed_e5.WIDTH)

    assert {"▁internet", "@", "#", "[", "]", "_", "=", "!!!", "ü"} <= vocabulary.keys()
    assert "▁привет" not in vocabulary
    assert len(embeddings) == len(vocabulary) == len(source.pieces) - 1
    for piece, number in vocabulary.items():
        np.testing.assert_allclose(embeddings[number], every[source.pieces.index(piece)], rtol=1e-6)


def test_the_tokenizer_takes_whole_pieces_and_composes_accents(tokenizer: Any) -> None:
    assert tokenizer.tokenize("internet  caiu!!!") == ["▁internet", "▁caiu", "!!!"]
    assert tokenizer.tokenize("licenc\u0327as") == ["▁licen", "ças"]
    assert tokenizer("caiu", "caiu")["input_ids"][0] == tokenizer.cls_token_id
    assert tokenizer("привет")["input_ids"][1:-1] == [tokenizer.get_vocab()["▁"], tokenizer.unk_token_id]
    assert (tokenizer.pad_token, tokenizer.model_max_length) == ("<pad>", packed_e5.POSITIONS)
