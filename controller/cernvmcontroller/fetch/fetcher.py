"""Fetching: conditional, limited in size and time, every hop checked and pinned to the checked address.

A host's name is resolved once a hop, all its addresses are checked, and the connection is made to one of
them: between the check and the request nobody can change where the name leads (DNS rebinding). TLS and the
``Host`` header still have the name. No proxy and no credentials of the environment are used, and a body that
comes compressed is refused: what it unpacks to would have no limit.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from cernvmapi.errors import Invalid, SourceFailed
from cernvmapi.wire import user_agent
from cernvmcontroller.fetch.policy import Policy, Target, addresses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from cernvmcontroller.fetch.addresses import Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, as text; raises `OSError` where it has none."""

MOST_HOPS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED = 304
_OK = 200
_PARTIAL = 206
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of servers that may answer better later."""
_LONGEST_VALIDATOR = 1024
_TIMEOUTS = httpx.Timeout(20.0, connect=10.0)


class Broken(SourceFailed):
    """The connection broke, or the server cannot now: the same may go well later."""


@dataclass(frozen=True)
class Validators:
    """By what a server knows a version of what it serves (RFC 9110, section 8.8)."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for another version only."""
        headers = {}
        if self.etag:
            headers["If-None-Match"] = self.etag
        if self.last_modified:
            headers["If-Modified-Since"] = self.last_modified
        return headers

    def strong(self) -> str | None:
        """Return what tells this version from every other one, byte for byte; None without such."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        # A weak tag is none, and a date is one to the second only: of a file that is not made anew all the
        # time it is good enough, and what was put together is checked in the end.
        return self.last_modified

    @classmethod
    def of(cls, response: httpx.Response) -> Validators:
        """Return what a response is known by; what cannot be sent back is left out."""
        return cls(_sendable(response.headers.get("ETag")), _sendable(response.headers.get("Last-Modified")))


def _sendable(value: str | None) -> str | None:
    good = value is not None and value.isascii() and value.isprintable() and len(value) <= _LONGEST_VALIDATOR
    return value if good else None


@dataclass(frozen=True)
class Fetched:
    """An answer.

    Parameters
    ----------
    url
        Where it came from in the end.
    content
        None where the server has no other version than the one that is known.
    """

    url: str
    content: bytes | None
    validators: Validators


async def resolve(host: str, port: int) -> list[str]:
    """Return a host's addresses, as this machine knows them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Fetcher:
    """Fetches from where `policy` allows.

    Parameters
    ----------
    policy
        The site's.
    context
        The authorities that servers' certificates must lead to.
    resolver
        Finds the addresses of a host.
    """

    def __init__(self, policy: Policy, context: ssl.SSLContext, resolver: Resolve = resolve) -> None:
        self.policy = policy
        self._context = context
        self._resolve = resolver

    @classmethod
    def of_site(cls, allowed: Iterable[str], authorities: str | None) -> Fetcher:
        """Return the fetcher of a site.

        Parameters
        ----------
        allowed
            Host names, addresses and networks that may be asked although they are inside of it.
        authorities
            File with certificates of authorities beside the system's own.

        Raises
        ------
        Invalid
            One of these cannot be used.
        """
        context = ssl.create_default_context()
        if authorities is not None:
            try:
                context.load_verify_locations(authorities)
            except OSError as error:
                raise Invalid(f"The authorities in {authorities} cannot be used: {error}.") from None
        return cls(Policy.of(allowed), context)

    async def fetch(
        self,
        url: str,
        *,
        limit: int,
        seconds: float,
        allow_http: bool = False,
        known: Validators | None = None,
    ) -> Fetched:
        """Return what is at a URL.

        Parameters
        ----------
        limit
            Bytes that it may have.
        seconds
            Until all of it is here, redirects included.
        allow_http
            Whether any hop may be without encryption.
        known
            The version that is here already.

        Raises
        ------
        SourceFailed
            It cannot, or may not, be fetched; the sentence says which.
        """
        try:
            async with (
                asyncio.timeout(seconds),
                self.open(url, allow_http=allow_http, known=known) as response,
            ):
                if response.status_code == _NOT_MODIFIED:
                    return Fetched(_shown(response), None, known or Validators())
                return Fetched(_shown(response), await _body(response, limit), Validators.of(response))
        except TimeoutError:
            raise SourceFailed(
                f"{_host(url)} did not send everything within {seconds:g} seconds; it is tried again."
            ) from None

    @asynccontextmanager
    async def open(
        self, url: str, *, allow_http: bool = False, known: Validators | None = None, start: int = 0
    ) -> AsyncIterator[httpx.Response]:
        """Yield the answer at a URL, its body not yet read.

        Its status is 200, or 304 where `known` still holds; with `start` instead 206 where `known` still
        holds, and the body begins there.

        Raises
        ------
        SourceFailed
            As `fetch`; also for what goes wrong while the body is read. `Broken`: it may go well later.
        """
        headers = {"User-Agent": user_agent(), "Accept": "*/*", "Accept-Encoding": "identity"}
        headers |= _asking(known, start)
        target = self.policy.target(url, allow_http=allow_http)
        async with httpx.AsyncClient(verify=self._context, trust_env=False, timeout=_TIMEOUTS) as client:
            for _ in range(MOST_HOPS + 1):
                try:
                    response = await self._send(client, target, headers)
                    try:
                        if response.status_code not in _REDIRECTS:
                            _check(response, target, known=known, start=start)
                            yield response
                            return
                        there = target.url.join(response.headers.get("Location", ""))
                    finally:
                        await response.aclose()
                except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                    kind = Broken if isinstance(error, httpx.TransportError) else SourceFailed
                    raise kind(
                        f"{target.host} did not answer as a web server does ({_reason(error)})."
                    ) from None
                target = self.policy.target(there, allow_http=allow_http)
        raise SourceFailed(f"{_host(url)} redirects more than {MOST_HOPS} times; use the last URL itself.")

    async def _send(
        self, client: httpx.AsyncClient, target: Target, headers: dict[str, str]
    ) -> httpx.Response:
        """Ask one of the addresses of the target's host, the first that takes a connection."""
        refused: httpx.HTTPError | None = None
        for address in await self._addresses(target):
            host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004
            request = client.build_request(
                "GET",
                target.url.copy_with(host=host),
                headers={**headers, "Host": target.url.netloc.decode("ascii")},
                extensions={"sni_hostname": target.host},
            )
            try:
                response = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
            else:
                client.cookies.clear()  # by address they would go to other hosts on it
                response.extensions["asked"] = str(target.url)
                return response
        raise refused or httpx.ConnectError("no address")

    async def _addresses(self, target: Target) -> list[Address]:
        if target.address is not None:
            return [target.address]
        try:
            found = addresses(await self._resolve(target.host, target.port))
        except (OSError, UnicodeError, ValueError):
            raise SourceFailed(f"The host {target.host} is not known; check the URL.") from None
        self.policy.check(target.host, found)
        return found


def _asking(known: Validators | None, start: int) -> dict[str, str]:
    """Return the headers that ask for what is not here yet."""
    if not start:
        return known.headers() if known else {}
    same = known.strong() if known else None
    # Without a way to say which version it is the rest of, the rest is of no use.
    return {"Range": f"bytes={start}-", "If-Range": same} if same else {}


def _check(response: httpx.Response, target: Target, *, known: Validators | None, start: int) -> None:
    status = response.status_code
    if status == _NOT_MODIFIED and known is not None and not start:
        return
    if status == _PARTIAL and start:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise SourceFailed(f"{target.host} sends another part than it was asked for.")
    elif status != _OK:
        kind = Broken if status in _PASSING else SourceFailed
        raise kind(f"{target.host} answered with status {status}; check the URL.")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise SourceFailed(f"{target.host} sends it compressed although it was asked not to.")


async def _body(response: httpx.Response, limit: int) -> bytes:
    too_much = SourceFailed(
        f"{_host(_shown(response))} sends more than {limit // 1024} KiB, which is not read."
    )
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise too_much
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > limit:
            raise too_much
    return bytes(content)


def _shown(response: httpx.Response) -> str:
    """Return the URL that was asked for: the request's own has the address in place of the name."""
    return str(response.extensions["asked"])


def _host(url: str) -> str:
    return httpx.URL(url).host


def _reason(error: Exception) -> str:
    said = str(error).strip().rstrip(".") or type(error).__name__
    return said if len(said) <= 200 else said[:199] + "…"  # noqa: PLR2004 - a sentence's length
