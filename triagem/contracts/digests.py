"""SHA-256 digests of a version's files."""

import hashlib
from pathlib import Path


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
