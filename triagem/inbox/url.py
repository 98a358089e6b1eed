"""Validates Redis URLs. A URL holds a password, so no error message shows any part of it.

Options after the `?` override our own connection settings (with `decode_responses=true` no entry could be read).
Only the certificate options that redis-py and Celery read alike are allowed.
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


def check_redis_url(url: str, setting: str) -> str:
    """Return the URL if it is usable; `setting` is the variable that it came from.

    Raises:
        InvalidInput: another scheme, a port or database that is not a number, or an option that is not allowed.
    """
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/") or "0"
        # `port` raises too: with an unescaped `/` or `:` in the password, it holds a part of the password.
        valid = parts.scheme in {"redis", "rediss"} and parts.port != 0 and database.isdecimal()
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"{setting} is not a Redis URL: expected {_SHAPE}; escape `/ : @ ? # %` in the password")
    _check_options(parts, setting)
    return url


def _check_options(parts: SplitResult, setting: str) -> None:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= (_TLS_OPTIONS if parts.scheme == "rediss" else set()) or parts.fragment:
        allowed = ", ".join(sorted(_TLS_OPTIONS))
        raise InvalidInput(f"{setting}: options are allowed with rediss:// only, and only these: {allowed}")
    if options.get("ssl_cert_reqs", "required") not in {"none", "optional", "required"}:
        raise InvalidInput(f"{setting}: ssl_cert_reqs must be required (the default), optional or none")
