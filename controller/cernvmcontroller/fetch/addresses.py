"""Which addresses belong to strangers, and which would make a request reach into the site itself."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_LAST = re.compile(r"(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)\.?$", re.IGNORECASE)
"""A last label by which resolvers take a host for an address, in whatever notation (WHATWG URL, 3.5)."""
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64 (RFC 6052, RFC 8215): the last 32 bits are an IPv4 address."""
_COMPATIBLE = IPv6Network("::/96")


def literal(host: str) -> Address | None:
    """Return the address that a URL's host is; None for a name.

    Raises
    ------
    ValueError
        It is an address in a notation that hides which: 127.1, 2130706433, 0x7f000001, 0177.0.0.1 …
    """
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host or "%" in host or _LAST.search(host):
            raise ValueError(host) from None
        return None


def is_public(address: Address) -> bool:
    """Return whether an address is somewhere in the internet.

    Not so loopback, private, link-local (with the clouds' metadata service), shared, multicast, reserved and
    unspecified addresses, and IPv6 addresses that carry one of these.
    """
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return all(is_public(inner) for inner in _carried(address))


def _carried(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for on its way."""
    if isinstance(address, IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        carried += address.teredo
    if address in _COMPATIBLE or any(address in network for network in _TRANSLATED):
        carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in carried if each is not None]
