"""Checks where requests may go: to listed hosts, by https, and to private networks only if they are listed.

An entry is a host name, an address, or a network such as `10.1.2.0/24`. `check_url` checks the URL as written,
`check_address` an address to which its host name resolved. A sender must call both, and connect to this address.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from triagem.contracts.errors import InvalidInput

_Address = IPv4Address | IPv6Address
# IPv6 addresses whose last 32 bits are an IPv4 address: IPv4-compatible (RFC 4291) and NAT64 (RFC 6052).
_HOLD_IPV4: Final = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215: local-use NAT64; Python 3.11 considers it public


def check_url(url: str, allowed: Sequence[str], where: str) -> None:
    """Check a URL. Raises InvalidInput with the place (`where`) and the problem, without the URL itself."""
    parts = _parts(url)
    if parts is None or not parts.hostname:
        raise InvalidInput(f"{where}: is not a URL, expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(f"{where}: contains a user or password, give it in its own field")
    host, literal = _name(parts.hostname), _literal(parts.hostname)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host, literal)):
        raise InvalidInput(f"{where}: expected https (http on loopback only)")
    if host not in map(_name, allowed) and not _listed(literal, allowed):
        raise InvalidInput(f"{where}: the host is not in allowed_hosts: add it to this list at the top of the file")


def check_address(address: str, allowed: Sequence[str], where: str) -> None:
    """Check a resolved address. Raises InvalidInput if it is neither public nor listed (DNS rebinding)."""
    literal = _literal(address)
    if literal is None or not (_is_public(literal) or _listed(literal, allowed)):
        raise InvalidInput(f"{where}: resolves to a private address, list it or its network in allowed_hosts")


def _parts(url: str) -> SplitResult | None:
    """The parts of the URL; None if two parsers could split the URL differently."""
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
    """Whether an address and the IPv4 address that a gateway may translate it to are public."""
    if not literal.is_global or literal.is_multicast:
        return False
    if isinstance(literal, IPv4Address):
        return True
    if literal.is_site_local or literal in _LOCAL_NAT64:
        return False
    inner = literal.sixtofour or next(
        (IPv4Address(int(literal) & 0xFFFFFFFF) for network in _HOLD_IPV4 if literal in network), None
    )
    return inner is None or _is_public(inner)


def _listed(literal: _Address | None, allowed: Sequence[str]) -> bool:
    """Whether `allowed_hosts` contains an address or a network that includes the address."""
    for entry in allowed:
        try:
            if literal is not None and literal in ip_network(entry):
                return True
        except (ValueError, TypeError):  # the entry is a name, or of the other address family
            continue
    return False
