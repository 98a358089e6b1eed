"""Asks a model hub for a base once. transformers itself retries for half a minute before it reports a missing hub."""

from typing import Final

TIMEOUT_S: Final = 10.0


def hub_problem(hub_id: str, revision: str, *, endpoint: str | None = None) -> str | None:
    """The reason that the base cannot be downloaded; None if it can.

    Args:
        endpoint: default: `HF_ENDPOINT`, or Hugging Face's hub.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415 - a packaged base needs no hub

    api = HfApi(endpoint=endpoint)
    try:
        api.model_info(hub_id, revision=revision, timeout=TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - its HTTP client, and so the exception, differs between releases
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"it is not in the cache {constants.HF_HUB_CACHE}, and {api.endpoint} cannot be asked for it: {reason}"
    return None
