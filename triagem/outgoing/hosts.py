"""Where requests may go: to listed hosts, by https, and never into a private network that is not listed.

An entry is a host name, an address, or a network such as `10.1.2.0/24`. `check_url` judges what is written,
`check_address` what a name resolved to: whoever sends must ask both, and connect to the address that was judged.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from triagem.contracts.errors import InvalidInput

_Address = IPv4Address | IPv6Address


def check_url(url: str, allowed: Sequence[str], where: str) -> None:
    """Raises InvalidInput, saying where the address stands and what is wrong with it; never the address itself."""
    parts = _parts(url)
    if parts is None or not parts.hostname:
        raise InvalidInput(f"{where}: is no address, expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(f"{where}: holds a user or password, give it in its own field")
    host, literal = _name(parts.hostname), _literal(parts.hostname)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host, literal)):
        raise InvalidInput(f"{where}: expected https (http on loopback only)")
    if host not in map(_name, allowed) and not _listed(literal, allowed):
        raise InvalidInput(f"{where}: the host is not in allowed_hosts")


def check_address(address: str, allowed: Sequence[str], where: str) -> None:
    """Raises InvalidInput if a name resolved to an address that is not public and not listed (DNS rebinding)."""
    literal = _literal(address)
    if literal is None or not (_is_public(literal) or _listed(literal, allowed)):
        raise InvalidInput(f"{where}: resolves to a private address, list it or its network in allowed_hosts")


def _parts(url: str) -> SplitResult | None:
    """The parts, if all readers of the address would see the same ones."""
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def _name(host: str) -> str:
    return host.lower().rstrip(".")


def _literal(host: str) -> _Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _is_loopback(host: str, literal: _Address | None) -> bool:
    return host == "localhost" if literal is None else literal.is_loopback


def _is_public(literal: _Address) -> bool:
    return literal.is_global and not literal.is_multicast


def _listed(literal: _Address | None, allowed: Sequence[str]) -> bool:
    """Whether an address, or a network that holds it, is listed."""
    for entry in allowed:
        try:
            if literal is not None and literal in ip_network(entry):
                return True
        except (ValueError, TypeError):  # a name; the other family
            continue
    return False
