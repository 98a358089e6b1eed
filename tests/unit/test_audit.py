"""The lint's search for secrets finds those that have a shape, and says where without saying what."""

import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parent.parent.parent / ".ci" / "audit.py"


def secrets_in(folder: Path) -> str:
    """What the search says of a folder's tracked files."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "-A", "-f"], check=True)
    call = [sys.executable, "-c", f"import runpy; print(runpy.run_path({str(AUDIT)!r})['secrets']())"]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "secret",
    ["-----BEGIN " + "PRIVATE KEY-----", "AKIA" + "A1B2" * 4, "ghp_" + "a1B2" * 9, "hf_" + "a1B2" * 9],
)
def test_a_line_with_a_key_is_named_but_not_shown(tmp_path: Path, secret: str) -> None:
    (tmp_path / "notes.md").write_text(f"fine\nkey = {secret}\n")

    assert secrets_in(tmp_path) == "['notes.md:2: looks like a key or token']"


@pytest.mark.parametrize("name", [".env", "secrets.json", "tls.key", "id_ed25519"])
def test_a_file_that_is_a_secret_by_name_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("fine\n")

    assert name in secrets_in(tmp_path)


def test_ordinary_files_are_no_finding(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("postgresql://user:password@host/db, sk-ipped, hf_hub\n")

    assert secrets_in(tmp_path) == "[]"
