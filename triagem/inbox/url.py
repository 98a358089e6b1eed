"""What a Redis URL may say. A URL holds a password, so no message here ever shows a part of it.

What follows the `?` would outrank our own settings of the connection (with `decode_responses=true` no entry could be
read), so only the certificates' options may stand there: those that redis-py and Celery read alike.
"""

from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from triagem.contracts.errors import InvalidInput

_TLS_OPTIONS: Final = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_keyfile",
        "ssl_password",
    }
)
_SHAPE: Final = "redis://user:password@host:port/0, or rediss:// for TLS"


def checked(url: str, setting: str) -> str:
    """The URL, if it can be used; `setting` is the variable that it came from.

    Raises:
        InvalidInput: another scheme, a port or database that is no number, an option that is not ours to pass on.
    """
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/") or "0"
        # `port` raises as well: where a `/` or `:` in the password was not escaped, it holds a part of it.
        valid = parts.scheme in {"redis", "rediss"} and parts.port != 0 and database.isdecimal()
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"{setting} is no URL: {_SHAPE}; escape `/ : @ ? # %` in the password")
    _check_options(parts, setting)
    return url


def _check_options(parts: SplitResult, setting: str) -> None:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= (_TLS_OPTIONS if parts.scheme == "rediss" else set()) or parts.fragment:
        allowed = ", ".join(sorted(_TLS_OPTIONS))
        raise InvalidInput(f"{setting}: only rediss:// takes options, and of these: {allowed}")
    if options.get("ssl_cert_reqs", "required") not in {"none", "optional", "required"}:
        raise InvalidInput(f"{setting}: ssl_cert_reqs is required (the default), optional or none")
