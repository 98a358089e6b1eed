"""Secrets that lie in files, as Docker and Kubernetes hand them over: NAME_FILE stands for NAME."""

import os
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from triagem.contracts.errors import InvalidInput

# TRIAGEM_CRM_FILE and TRIAGEM_HEARTBEAT_FILE are settings of their own.
_NAMED: Final = re.compile(r"(TRIAGEM_\w+_(?:URL|PASSWORD|TOKEN|SECRET))_FILE")


def read_secret_files(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set TRIAGEM_REDIS_URL to the content of the file that TRIAGEM_REDIS_URL_FILE names, and so on.

    Raises:
        InvalidInput: a file cannot be read or is empty, or the variable is set too.
    """
    for name, path in list(environment.items()):
        named = _NAMED.fullmatch(name)
        if not named or not path:
            continue
        if environment.get(named[1]):
            raise InvalidInput(f"{named[1]} and {name} are both set: keep one")
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{name}={path} cannot be read ({type(error).__name__})") from None
        if not content:
            raise InvalidInput(f"{name}={path} is empty")
        environment[named[1]] = content
        # What this process starts inherits the value.
        del environment[name]
