"""Where may be fetched from: a decision about a URL, and one about the addresses behind its host."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import httpx

from cernvmapi.errors import Invalid, SourceFailed
from cernvmcontroller.fetch.addresses import Address, is_public, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PORTS = frozenset({80, 443})
_LOWEST_OTHER = 1024
_DEFAULT = {"http": 80, "https": 443}
_LONGEST = 2048


@dataclass(frozen=True)
class Target:
    """A URL that may be asked, once the addresses of its host are known to be allowed."""

    url: httpx.URL
    host: str
    """In lower case, as it goes to the resolver."""
    port: int
    address: Address | None
    """Where the URL names no host but an address."""


@dataclass(frozen=True)
class Policy:
    """What the site allows.

    Parameters
    ----------
    hosts
        Names whose addresses may be whatever they are.
    networks
        Addresses that may be asked although they are not public.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, allowed: Iterable[str]) -> Policy:
        """Return the policy of a site that allows these host names, addresses and networks.

        Raises
        ------
        Invalid
            One is none of these.
        """
        hosts, networks = set(), []
        for each in allowed:
            try:
                networks.append(ip_network(each))
            except ValueError:
                if "/" in each or ":" in each or not each:
                    raise Invalid(f"{each!r} is neither a host name, an address nor a network.") from None
                hosts.add(each.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def target(self, url: str | httpx.URL, *, allow_http: bool) -> Target:
        """Return where a URL leads.

        Raises
        ------
        SourceFailed
            It may not be followed.
        """
        try:
            parsed = httpx.URL(url)
            host = parsed.raw_host.decode("ascii").lower().rstrip(".").strip("[]")
            address = literal(host)
        except (httpx.InvalidURL, UnicodeError):
            raise SourceFailed("The URL is not one that can be fetched; check it.") from None
        except ValueError:
            raise SourceFailed(
                "The URL's host is an address in an unusual notation; write it in the usual one, or a name."
            ) from None
        if parsed.scheme not in _DEFAULT or not host or len(str(parsed)) > _LONGEST:
            raise SourceFailed("Only URLs with https and http, and a host in them, are fetched.")
        if parsed.scheme == "http" and not allow_http:
            raise SourceFailed(
                f"{host} would be asked without encryption (http), to which nobody consented. Use https, or "
                "set allow_http."
            )
        if parsed.userinfo:
            raise SourceFailed("The URL carries credentials, which would end in lists and logs; use none.")
        port = parsed.port or _DEFAULT[parsed.scheme]
        if port not in _PORTS and port < _LOWEST_OTHER:
            raise SourceFailed(f"Port {port} is no web server's: only 80, 443 and those from 1024 on are.")
        if address is not None:
            self.check(host, [address])
        return Target(parsed, host, port, address)

    def check(self, host: str, addresses: Sequence[Address]) -> None:
        """Refuse a host with an address that may not be asked, be it one among others.

        Raises
        ------
        SourceFailed
            It has one.
        """
        if host in self.hosts:
            return
        if not all(is_public(each) or self._allowed(each) for each in addresses):
            raise SourceFailed(
                f"{host} is inside of the site (a private, local or reserved address) and is not asked. If "
                "it shall be, an administrator of the controller adds it to fetch_allowed."
            )

    def _allowed(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


def addresses(texts: Iterable[str]) -> list[Address]:
    """Return a resolver's answers as addresses; an IPv6 scope (``%eth0``) is of no use and kept out."""
    return list(dict.fromkeys(ip_address(text.partition("%")[0]) for text in texts))
