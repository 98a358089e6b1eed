"""The handler that SageMaker's Hugging Face and PyTorch containers call, from `code/inference.py` of a model.tar.gz.

A request is JSON, `{"inputs": "a text"}` or `{"inputs": ["one", "another"]}`; the answer is what
`engine.predict_batch` returns for these texts, in their order. It reads no queue and stores nothing.
"""

import json
from pathlib import Path
from typing import Any

from triagem.engine import SeedPrediction, predict, predict_batch

JSON = "application/json"


def model_fn(model_dir: str, _context: Any = None) -> Path:
    """Load the version that lies there, after checking its files, so that the first request need not."""
    folder = Path(model_dir)
    predict("minha internet caiu", model=folder)
    return folder


def input_fn(body: str | bytes, content_type: str = JSON, _context: Any = None) -> list[str]:
    """The texts of a request. Raises ValueError, which the container answers as the caller's mistake."""
    if content_type.partition(";")[0].strip() != JSON:
        raise ValueError(f"expected {JSON}, got {content_type}")
    asked = json.loads(body)
    texts = asked.get("inputs") if isinstance(asked, dict) else None
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError('expected {"inputs": "a text"} or {"inputs": ["one", "another"]}')
    return texts


def predict_fn(texts: list[str], model: Path, _context: Any = None) -> list[SeedPrediction]:
    """The engine's answers."""
    return predict_batch(texts, model=model)


def output_fn(answers: list[SeedPrediction], accept: str = JSON, _context: Any = None) -> str:
    """The answers as JSON, whatever else would have been accepted too. Raises ValueError if JSON would not."""
    kinds = {kind.partition(";")[0].strip() for kind in accept.split(",")}
    if not kinds & {JSON, "application/*", "*/*"}:
        raise ValueError(f"only {JSON} can be answered, not {accept}")
    return json.dumps(answers, ensure_ascii=False)
