"""SHA-256 of a version's files."""

import hashlib
from pathlib import Path


def digest_of(path: Path) -> str | None:
    """A file's SHA-256 in hexadecimal, or None if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def digests(folder: Path) -> dict[str, str]:
    """The digests of a folder's files, but for links that lead out of it: what they lead to was never trained."""
    inside = folder.resolve()
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve().is_relative_to(inside)]
    return {path.name: digest for path in files if (digest := digest_of(path))}
