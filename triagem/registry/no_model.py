"""Texts about a registry without a current version: the next step, which differs if there was one."""

from typing import Final

FIRST_STEP: Final = "run `triagem train DATA_DIR` with labelled rows, or `triagem start` to label messages"
LOST_STEP: Final = "but there was one: check TRIAGEM_REGISTRY_URL, or restore the folder"


def describe_lost(text: str, step: str = LOST_STEP) -> str:
    """A text that ends with FIRST_STEP, for a registry that had a current version."""
    return text.replace(f": {FIRST_STEP}", f", {step}")
