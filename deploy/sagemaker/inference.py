"""Handler for SageMaker's Hugging Face and PyTorch containers, packed as `code/inference.py` in a model.tar.gz.

A request is JSON, `{"inputs": "a text"}` or `{"inputs": ["one", "another"]}`. The response is the result of
`triagem.engine.predict_batch` for these texts, in their order. It reads no queue and stores nothing.
"""

import json
from pathlib import Path
from typing import Any

from triagem.engine import SpecificationPrediction, predict, predict_batch

JSON = "application/json"


def model_fn(model_dir: str, _context: Any = None) -> Path:
    """Verify and load the version in the folder, so that the first request does not have to."""
    folder = Path(model_dir)
    predict("minha internet caiu", model=folder)
    return folder


def input_fn(body: str | bytes, content_type: str = JSON, _context: Any = None) -> list[str]:
    """Parse a request's texts. Raises ValueError, which the container returns as a client error."""
    if content_type.partition(";")[0].strip() != JSON:
        raise ValueError(f"expected {JSON}, got {content_type}")
    request = json.loads(body)
    texts = request.get("inputs") if isinstance(request, dict) else None
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError('expected {"inputs": "a text"} or {"inputs": ["one", "another"]}')
    return texts


def predict_fn(texts: list[str], model: Path, _context: Any = None) -> list[SpecificationPrediction]:
    """Classify the texts."""
    return predict_batch(texts, model=model)


def output_fn(answers: list[SpecificationPrediction], accept: str = JSON, _context: Any = None) -> str:
    """The predictions as JSON. Raises ValueError if the client does not accept JSON."""
    media_types = {media_type.partition(";")[0].strip() for media_type in accept.split(",")}
    if not media_types & {JSON, "application/*", "*/*"}:
        raise ValueError(f"only {JSON} is supported, not {accept}")
    return json.dumps(answers, ensure_ascii=False)
