"""Reads secrets from files, as Docker and Kubernetes mount them: NAME_FILE is the path of the value of NAME."""

import os
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from triagem.contracts.errors import InvalidInput

# TRIAGEM_CRM_FILE and TRIAGEM_HEARTBEAT_FILE do not match: they are settings of their own.
_SECRET_FILE: Final = re.compile(r"(TRIAGEM_\w+_(?:URL|PASSWORD|TOKEN|SECRET))_FILE")


def read_secret_files(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set TRIAGEM_REDIS_URL to the content of the file named by TRIAGEM_REDIS_URL_FILE, and so on.

    Raises:
        InvalidInput: a file cannot be read or is empty, or both variables are set.
    """
    for name, path in list(environment.items()):
        match = _SECRET_FILE.fullmatch(name)
        if not match or not path:
            continue
        if environment.get(match[1]):
            raise InvalidInput(f"{match[1]} and {name} are both set: unset one of them")
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{name}={path} cannot be read ({type(error).__name__})") from None
        if not content:
            raise InvalidInput(f"{name}={path} is empty")
        environment[match[1]] = content
        # Child processes inherit the value, so they must not see both variables.
        del environment[name]
