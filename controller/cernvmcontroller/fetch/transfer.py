"""A large file on its way here: hashed as it comes, gone on with after whatever breaks it off.

What came so far is in a file; beside it stands of which version on the server it is a part. A connection that
breaks is made again, and a transfer that was ended (with the controller, say) goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import msgspec

from cernvmapi.errors import SourceFailed
from cernvmcontroller.fetch.fetcher import Broken, Fetcher, Validators

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

Tell = Callable[[int, int | None], Awaitable[None]]
"""Is told how many bytes are here, and of how many, where that is known."""

_CHUNK = 1024**2
_PAUSE = 1.0
"""Seconds after a connection broke the first time; each further one in a row doubles them."""
_LONGEST_PAUSE = 60.0
_MOST_FAILURES = 8
"""Broken connections in a row that brought nothing."""
_PARTIAL = 206
_WHOLE = re.compile(r"bytes [0-9]{1,19}-[0-9]{1,19}/([0-9]{1,19})")
"""RFC 9110, section 14.4."""


class _Known(msgspec.Struct):
    """Of what there is a part already."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None
    """Of the whole."""


@dataclass(frozen=True)
class Received:
    """A file that is here.

    Parameters
    ----------
    checksums
        By algorithm, in hexadecimal.
    """

    path: Path
    size: int
    checksums: dict[str, str]


class Transfer:
    """A file on its way here.

    Parameters
    ----------
    fetcher
        Asks the server.
    url
        Where it is.
    folder
        Where it is put; what is there of the same URL is gone on with.
    limit
        Bytes that it may have.
    algorithms
        Of its checksums, as `hashlib` names them.
    allow_http
        Whether it may come without encryption.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        url: str,
        folder: Path,
        *,
        limit: int,
        algorithms: Collection[str] = ("sha256",),
        allow_http: bool = False,
    ) -> None:
        self._fetcher = fetcher
        self._url = url
        self._path = folder / "partial"
        self._note = folder / "partial.json"
        self._limit = limit
        self._algorithms = algorithms
        self._allow_http = allow_http
        self._known = _Known(url)
        self._start_over()

    async def run(self, tell: Tell) -> Received:
        """Return the file when all of it is here.

        Raises
        ------
        SourceFailed
            It cannot be had, or has more bytes than it may; or the connection broke too often.
        """
        await asyncio.to_thread(self._find)
        failures = 0
        while self._known.size is None or self._done != self._known.size:
            before = self._done
            try:
                await self._receive(tell)
                break
            except Broken:
                failures = 1 if self._done > before else failures + 1
                if failures == _MOST_FAILURES:
                    raise
                await asyncio.sleep(min(_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE))
        checksums = {name: each.hexdigest() for name, each in self._hashes.items()}
        return Received(self._path, self._done, checksums)

    def _start_over(self) -> None:
        self._done = 0
        self._hashes = {name: hashlib.new(name) for name in self._algorithms}

    def _find(self) -> None:
        """Take up what an earlier transfer left."""
        try:
            known = msgspec.json.decode(self._note.read_bytes(), type=_Known)
            partial = self._path.open("rb")
        except (OSError, msgspec.DecodeError):
            return
        with partial:
            # Of a file of unknown length nobody can say when all of it is here.
            if known.url != self._url or known.size is None:
                return
            self._known = known
            while chunk := partial.read(_CHUNK):
                self._hash(chunk)

    def _hash(self, chunk: bytes) -> None:
        for each in self._hashes.values():
            each.update(chunk)
        self._done += len(chunk)

    async def _receive(self, tell: Tell) -> None:
        known = Validators(self._known.etag, self._known.last_modified)
        async with self._fetcher.open(
            self._url, allow_http=self._allow_http, known=known if self._done else None, start=self._done
        ) as response:
            if response.status_code != _PARTIAL:
                self._start_over()
            total = self._total(response)
            async with self._opened(Validators.of(response), total) as file:
                await tell(self._done, total)
                async for block in _blocks(response):
                    await _to_its_end(self._take, file, block)
                    await tell(self._done, total)
        if total is not None and self._done < total:
            raise Broken(f"Only {self._done} of {total} bytes came.")

    def _total(self, response: httpx.Response) -> int | None:
        """Return how many bytes the whole has; the part that comes may be shorter."""
        whole = _WHOLE.fullmatch(response.headers.get("Content-Range", ""))
        text = response.headers.get("Content-Length", "")
        if response.status_code == _PARTIAL and whole:
            total: int | None = int(whole[1])
        else:
            total = self._done + int(text[:20]) if text.isascii() and text.isdigit() else None
        if total is not None and total > self._limit:
            raise self._too_much()
        return total

    @asynccontextmanager
    async def _opened(self, version: Validators, total: int | None) -> AsyncIterator[BinaryIO]:
        """Yield the file that blocks go into; closed also where the download is cancelled while it opens."""
        opening = asyncio.create_task(asyncio.to_thread(self._begin, version, total))
        try:
            yield await asyncio.shield(opening)
        finally:
            await asyncio.wait({opening})
            if opening.exception() is None:
                opening.result().close()

    def _begin(self, version: Validators, total: int | None) -> BinaryIO:
        self._known = _Known(self._url, version.etag, version.last_modified, total)
        if not self._done:
            self._path.unlink(missing_ok=True)
            self._note.write_bytes(msgspec.json.encode(self._known))
        return self._path.open("ab")

    def _take(self, file: BinaryIO, block: bytes) -> None:
        if self._done + len(block) > self._limit:
            raise self._too_much()
        file.write(block)
        self._hash(block)

    def _too_much(self) -> SourceFailed:
        return SourceFailed(
            f"It has more than {self._limit // 1024**2} MiB, which is the most that it may have."
        )


async def _blocks(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield a body in large pieces; what came before the connection broke is one too."""
    block = bytearray()
    try:
        async for chunk in response.aiter_raw():
            block += chunk
            if len(block) >= _CHUNK:
                yield bytes(block)
                block.clear()
    except httpx.TransportError:
        yield bytes(block)
        raise
    yield bytes(block)


async def _to_its_end(work: Callable[[BinaryIO, bytes], None], file: BinaryIO, block: bytes) -> None:
    """Work in a thread; whoever is cancelled meanwhile closes the file only after that."""
    thread = asyncio.create_task(asyncio.to_thread(work, file, block))
    try:
        await asyncio.shield(thread)
    finally:
        await asyncio.wait({thread})
