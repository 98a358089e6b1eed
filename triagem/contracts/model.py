"""What a model version is and what a loaded model can do: words that registry, engine, trainer and worker share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, field_validator

from triagem.contracts.prediction import Thresholds

MANIFEST_FILE: Final = "manifest.json"
CURRENT_FILE: Final = "current"
INDEX_FILE: Final = "model_versions.json"
PROMOTIONS_FILE: Final = "promotions.jsonl"
ROWS_FILE: Final = "rows.json"
PREDICTIONS_FILE: Final = "test_predictions.jsonl"
REPORT_FILE: Final = "report.json"
REFERENCE_FILE: Final = "reference.safetensors"
PAGE_FILE: Final = "report.html"
VERSION_PATTERN: Final = r"^v\d+\.\d+\.\d+$"

Version = Annotated[str, Field(pattern=VERSION_PATTERN)]


class DataInfo(BaseModel):
    """The rows a version learned from: SHA-256 over them, and how many."""

    model_config = ConfigDict(frozen=True)

    digest: str
    rows: int


class Rows(BaseModel):
    """`rows.json`: which texts a version learned from, chose its checkpoint by, was calibrated and is tested on, as
    SHA-256 of the clean texts, hexadecimal. What a version and its ancestors trained on is no test for it."""

    model_config = ConfigDict(frozen=True)

    train: tuple[str, ...]
    dev: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]


class Answer(BaseModel):
    """A line of `test_predictions.jsonl`: a test row's true label and what the version said of it, calibrated."""

    model_config = ConfigDict(frozen=True)

    digest: str = Field(description="SHA-256 of the clean text, hexadecimal")
    label: str
    probabilities: tuple[float, ...] = Field(description="in the order of the manifest's labels")
    lang: str = ""


class Manifest(BaseModel):
    """`manifest.json` of one version. `labels` are in the order of the classifier's outputs."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    version: Version
    labels: tuple[str, ...] = Field(min_length=2)
    base: str
    parent: Version | None = Field(default=None, description="the version it was fine-tuned from")
    created_at: datetime
    data: DataInfo
    metrics: dict[str, float] = {}
    temperature: float = Field(default=1.0, gt=0)
    ece: float | None = None
    thresholds: Thresholds = Thresholds()
    max_tokens: int = 512
    cleaning_version: int = 1
    files: dict[str, str] = Field(description="file name → SHA-256, hexadecimal")

    @field_validator("files")
    @classmethod
    def _stay_in_the_folder(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if not name or name in {".", ".."} or "/" in name or "\\" in name:
                raise ValueError(f"{name!r} is not a plain file name")
        return files

    def changed(self, found: Mapping[str, str]) -> list[str]:
        """The files that are not as they were trained: absent, different, or added. `found` maps names to digests.

        Added, because a loader takes what lies in the folder, listed or not. Hidden files are nobody's input.
        """
        differ = [name for name, expected in self.files.items() if found.get(name) != expected]
        known = {*self.files, MANIFEST_FILE}
        return differ + sorted(name for name in found if name not in known and not name.startswith("."))


class CurrentModel(BaseModel):
    """The registry's `current` file. Each promotion or rollback raises `epoch`, so that results only move forward."""

    model_config = ConfigDict(frozen=True)

    version: Version
    epoch: int = Field(ge=1)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised text: ids with the special tokens, cut to the model's maximum."""

    ids: Sequence[int]
    truncated: bool


class Model(Protocol):
    """A loaded, immutable model version. Windows carry one from take to commit."""

    @property
    def version(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def thresholds(self) -> Thresholds: ...
    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Texts to tokens, same order."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        """One row a text, one column a label; each row sums to 1."""


@runtime_checkable
class Precise(Protocol):
    """A model that says in which numbers it computes."""

    @property
    def precision(self) -> str: ...


@runtime_checkable
class Embeds(Protocol):
    """A model that also shows what its classifier reads of a text. Without it, no samples are taken."""

    def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
        """One row a text, all of one width."""
