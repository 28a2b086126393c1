"""Which addresses belong to strangers, and which would make a request reach into the site itself."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_LAST = re.compile(r"(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)\.?$", re.IGNORECASE)
"""A last label by which resolvers take a host for an address, in whatever notation (WHATWG URL, 3.5)."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last 32 bits are an IPv4 address."""


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
    if isinstance(address, IPv6Address):
        if (inner := _carried(address)) is not None:
            return is_public(inner)
        if address.is_site_local:  # RFC 3879: no more, and still in use
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, or goes by on its way."""
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
