"""Model version files and the interface of a loaded model, shared by registry, engine, trainer and worker."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, Field, field_validator

from triagem.contracts.prediction import Thresholds

MANIFEST_FILE: Final = "manifest.json"
CURRENT_FILE: Final = "current"
INDEX_FILE: Final = "model_versions.json"
PROMOTIONS_FILE: Final = "promotions.jsonl"
ARCHIVED_FILE: Final = "archived.json"
ROWS_FILE: Final = "rows.json"
PREDICTIONS_FILE: Final = "test_predictions.jsonl"
REPORT_FILE: Final = "report.json"
REFERENCE_FILE: Final = "reference.safetensors"
HTML_REPORT_FILE: Final = "report.html"
HTML_REPORT_PT_FILE: Final = "report.pt-BR.html"
CURRENT_PREDICTIONS_FILE: Final = "test_predictions_of_{}.jsonl"  # of the version that was current at the training
VERSION_PATTERN: Final = r"^v\d+\.\d+\.\d+$"
UNREGISTERED: Final = "v0.0.0"  # the version in a manifest until the registry numbers it

Pooling = Literal["first", "mean"]
Version = Annotated[str, Field(pattern=VERSION_PATTERN)]


class DataInfo(BaseModel, frozen=True):
    """The rows of a version: the SHA-256 over its training rows, and counts. Near-duplicates are one text."""

    digest: str
    rows: int = Field(description="training rows")
    texts: int | None = Field(default=None, description="different training texts")
    given: int | None = Field(default=None, description="all rows of the data, held-out parts included")
    given_texts: int | None = Field(default=None, description="different texts among them")
    leaked: int = Field(default=0, description="test rows that are, or nearly are, training rows: no score counts")


class SplitDigests(BaseModel, frozen=True):
    """`rows.json`: the texts of a version's train, dev, calibration and test rows, as SHA-256 of the clean texts,
    hexadecimal. Texts that a version or its ancestors were trained on must not be used to test it."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]


class ScoredRow(BaseModel, frozen=True):
    """A line of `test_predictions.jsonl`: a test row's true label and the version's calibrated probabilities."""

    digest: str = Field(description="SHA-256 of the clean text, hexadecimal")
    label: str
    probabilities: tuple[float, ...] = Field(description="in the order of the manifest's labels")
    lang: str = ""


class BaseScore(BaseModel, frozen=True):
    """A base's cross-validated macro-F1 by language, or under `all`, of a linear classifier on its embeddings."""

    base: str
    macro_f1: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over the languages."""
        return sum(self.macro_f1.values()) / len(self.macro_f1)


class BaseChoice(BaseModel, frozen=True):
    """The comparison by which training chose the base: the scores of all installed bases on training rows."""

    rows: int
    scores: tuple[BaseScore, ...]

    def summary(self, chosen: str) -> str:
        """One line for a person."""
        figures = "; ".join(
            f"{score.base} " + ", ".join(f"{lang} {value:.3f}" for lang, value in score.macro_f1.items())
            for score in self.scores
        )
        return (
            f"base {chosen}, chosen by cross-validation on {self.rows:,} training rows (macro-F1 of linear "
            f"classifiers on frozen embeddings: {figures}); --base chooses another"
        )


class Manifest(BaseModel, frozen=True, protected_namespaces=()):
    """`manifest.json` of a version. `labels` are in the order of the classifier's outputs."""

    version: Version
    labels: tuple[str, ...] = Field(min_length=2)
    base: str
    base_digest: str | None = Field(default=None, description="SHA-256 of the base's weights")
    base_choice: BaseChoice | None = Field(default=None, description="None if the base was given")
    parent: Version | None = Field(default=None, description="the version it was fine-tuned from")
    job: str | None = Field(default=None, description="the training job that made it: id and time of the request")
    created_at: datetime = Field(description="start of the training")
    data: DataInfo
    metrics: dict[str, float] = {}
    temperature: float = Field(default=1.0, gt=0)
    ece: float | None = None
    thresholds: Thresholds = Thresholds()
    max_tokens: int = 512
    pooling: Pooling = Field(
        default="first",
        description="the classifier's input: the first token after BERT's pooler, or the tokens' mean",
    )
    cleaning_version: int = 1
    files: dict[str, str] = Field(description="file name → SHA-256, hexadecimal")

    @field_validator("files")
    @classmethod
    def _stay_in_the_folder(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if not name or name in {".", ".."} or "/" in name or "\\" in name:
                raise ValueError(f"{name!r} is not a plain file name")
        return files

    def changed_files(self, digests: Mapping[str, str]) -> list[str]:
        """The files that are missing, different or added since training. `digests` maps file names to digests.

        Added files count, because a loader reads the whole folder, listed or not. Hidden files do not: nothing reads
        them.
        """
        differ = [name for name, expected in self.files.items() if digests.get(name) != expected]
        listed = {*self.files, MANIFEST_FILE}
        return differ + sorted(name for name in digests if name not in listed and not name.startswith("."))


def file_digest(path: Path) -> str | None:
    """A file's SHA-256 in hexadecimal, or None if the file does not exist."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def folder_digests(folder: Path) -> dict[str, str]:
    """The digests of a folder's files, without links that lead out of it: their targets are not part of the model."""
    inside = folder.resolve()
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve().is_relative_to(inside)]
    return {path.name: digest for path in files if (digest := file_digest(path))}


class CurrentModel(BaseModel, frozen=True):
    """The registry's `current` file. Each promotion or rollback raises `epoch`: results of a newer epoch win."""

    version: Version
    epoch: int = Field(ge=1)


@dataclass(slots=True)
class Tokens:
    """A tokenized text: ids with the special tokens, truncated to the model's maximum."""

    ids: Sequence[int]
    truncated: bool


class Model(Protocol):
    """A loaded, immutable model version. A window uses the same one from fetch to commit."""

    @property
    def manifest(self) -> Manifest: ...
    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenize texts, in the same order."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        """One row per text, one column per label; each row sums to 1."""


@runtime_checkable
class DeviceModel(Protocol):
    """A model that reports its type of device (`cpu`, `cuda`, `mps`) and the number format it computes in."""

    @property
    def device_type(self) -> str: ...

    @property
    def precision(self) -> str: ...


@runtime_checkable
class EmbeddingModel(Protocol):
    """A model that also returns its classifier's input vector. Without it, no drift samples are stored."""

    def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
        """One row per text, all of the same width."""
