"""Loads and warms up a model version, and turns texts into probabilities. A loaded model is immutable."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from triagem.contracts.errors import InvalidInput, LabelsMismatch, ModelCorrupt, NoModel, OutOfMemory
from triagem.contracts.model import MANIFEST_FILE, UNREGISTERED, Manifest, Tokens, folder_digests
from triagem.engine.bert import packable
from triagem.engine.planner import plan
from triagem.engine.precision import Rows, Runner, probes, select_runner
from triagem.settings import Settings

log = structlog.get_logger(__name__)

WARM_UP_TEXTS: Final = ["minha internet caiu", "I would like a quote for twenty licences " * 8]


class EngineSettings(Settings, used_by="worker, `triagem classify`"):
    """The engine's settings. `auto` is CUDA, then MPS, then the CPU; see `engine.precision`."""

    device: str = Field(
        default="auto",
        description="cpu, cuda or mps; auto: CUDA, then MPS, then the CPU",
        json_schema_extra={"used_by": "worker, `triagem classify`, `triagem train`"},
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="auto: bf16 if the hardware supports it and the labels equal those of fp32, else fp32"
        " (fp16 on GPUs without bf16)",
    )


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Tokenizer, weights, labels and thresholds of one version. See `triagem.contracts.model.Model`."""

    manifest: Manifest
    tokenizer: Any
    device: torch.device
    runner: Runner
    # the fast tokenizer stores the truncation setting as state, so only one thread may use it at a time
    _tokenizing: threading.Lock

    @property
    def device_type(self) -> str:
        return self.device.type

    @property
    def precision(self) -> str:
        return self.runner.precision

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Ids with special tokens; a text longer than the model's maximum is truncated and marked."""
        with self._tokenizing:
            encodings = self.tokenizer.backend_tokenizer.encode_batch(list(texts))
        return [Tokens(ids=encoding.ids, truncated=bool(encoding.overflowing)) for encoding in encodings]

    @torch.inference_mode()
    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        """Softmax of logits ÷ temperature (Guo et al. 2017, arXiv:1706.04599): `[texts][labels]`, rows sum to 1.

        Raises:
            OutOfMemory: this micro-batch does not fit into memory; a smaller one may.
        """
        # Copied to the CPU first: a softmax on the GPU would need three more kernel launches for 32 rows of two
        # numbers.
        logits = _run(self.runner.logits, batch)
        probabilities: list[list[float]] = torch.softmax(logits / self.manifest.temperature, dim=-1).tolist()
        return probabilities

    @torch.inference_mode()
    def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
        """Embeddings, the classifier's input for each text: `[texts][width]`. Raises OutOfMemory."""
        embeddings: list[list[float]] = _run(self.runner.pooled, batch).tolist()
        return embeddings


def _run(compute: Callable[[Rows], torch.Tensor], batch: Sequence[Tokens]) -> torch.Tensor:
    try:
        return compute([tokens.ids for tokens in batch]).cpu().double()
    except RuntimeError as error:
        # The CPU allocator raises a plain RuntimeError.
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(f"not enough memory for a micro-batch of {len(batch)} texts") from None
        raise


@torch.inference_mode()
def load(folder: Path, settings: EngineSettings | None = None, *, packed: bool = True) -> LoadedModel:
    """Verify every file of a version against its manifest, load it and warm it up.

    Args:
        packed: compute no padding; False: the reference implementation.

    Raises:
        InvalidInput: the setting requires a GPU, and torch finds none.
        NoModel: the folder has no manifest.
        ModelCorrupt: a file changed since training. Only safetensors are read, no code from the folder.
        LabelsMismatch: the number of classifier outputs differs from the manifest's labels.
    """
    settings = settings or EngineSettings()
    manifest = _verified_manifest(folder)
    device = _device(settings.device)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    network, tokenizer = _from_files(folder)
    if network.config.num_labels != len(manifest.labels):
        raise LabelsMismatch(
            f"{folder}: the classifier has {network.config.num_labels} outputs, "
            f"the manifest {len(manifest.labels)} labels ({', '.join(manifest.labels)})"
        )
    if manifest.pooling == "mean" and not packable(network):
        raise ModelCorrupt(f"{folder}: only a BERT classifier can have the pooling 'mean': train again")
    network.set_attn_implementation("sdpa")
    tokenizer.backend_tokenizer.enable_truncation(max_length=manifest.max_tokens)
    tokenizer.backend_tokenizer.no_padding()

    def pad(rows: Sequence[Sequence[int]]) -> Any:
        return tokenizer.pad({"input_ids": [list(row) for row in rows]}, return_tensors="pt").to(device)

    runner = select_runner(
        network.to(device).eval(),
        pad,
        device,
        precision=settings.precision,
        packed=packed,
        rows=[encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(probes())],
        pooling=manifest.pooling,
    )
    model = LoadedModel(manifest, tokenizer, device, runner, threading.Lock())
    model.probabilities(model.tokenize(WARM_UP_TEXTS))
    log.info(
        "model loaded",
        version="not registered yet" if manifest.version == UNREGISTERED else manifest.version,
        architecture=type(network).__name__,
        device=str(device),
        precision=runner.precision,
        attention="packed" if runner.packed else "padded",
    )
    return model


load_cached = functools.cache(load)


def classify(
    model: LoadedModel, texts: Sequence[str], *, batch_size: int = 32, batch_tokens: int | None = None
) -> list[list[float]]:
    """Probabilities `[texts][labels]` of clean texts, in their order. `engine.planner.plan` defines the limits."""
    tokens = model.tokenize(texts)
    rows: list[list[float]] = [[]] * len(texts)
    for batch in plan([len(text.ids) for text in tokens], batch_size=batch_size, batch_tokens=batch_tokens):
        for index, row in zip(batch, model.probabilities([tokens[i] for i in batch]), strict=True):
            rows[index] = row
    return rows


def _from_files(folder: Path) -> tuple[Any, Any]:
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder, **arguments)
        # A config may name an attention implementation that transformers would download from a hub as code. `load`
        # overrides it.
        config._attn_implementation = "eager"  # noqa: SLF001
        network = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, **arguments
        )
        return network, AutoTokenizer.from_pretrained(folder, **arguments)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelCorrupt(f"{folder} is not a classifier that transformers can load: {reason}") from error


def _verified_manifest(folder: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except FileNotFoundError:
        raise NoModel(f"{folder} is not a model version: it has no {MANIFEST_FILE}") from None
    except (OSError, ValidationError) as error:
        raise ModelCorrupt(f"{folder / MANIFEST_FILE} cannot be read ({type(error).__name__})") from error
    if changed := manifest.changed_files(folder_digests(folder)):
        raise ModelCorrupt(f"{folder}: {', '.join(changed)} changed since training: restore it or train again")
    return manifest


def gpu_memory() -> int | None:
    """Bytes of memory of the largest CUDA GPU, 0 without a GPU; None if the GPU shares the machine's memory (MPS)."""
    if torch.cuda.is_available():
        return max(torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count()))
    return None if torch.backends.mps.is_available() else 0


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        raise InvalidInput(
            f"TRIAGEM_DEVICE=cuda (`--gpus` sets it), but torch finds no CUDA GPU (CUDA_VISIBLE_DEVICES: {visible})"
        )
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
