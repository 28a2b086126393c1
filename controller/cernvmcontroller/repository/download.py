"""The steps of one download: fetch, verify, import, put in its place; nothing is visible before the last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from cernvmapi.errors import SourceFailed
from cernvmapi.models import Appliance, Hardware, Origin
from cernvmcontroller.fetch import Transfer
from cernvmcontroller.importer.formats import declared
from cernvmcontroller.repository.manifest import write_manifest
from cernvmcontroller.repository.wanted import digits

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmcontroller.fetch import Fetcher, Received
    from cernvmcontroller.importer import Imported, Importer
    from cernvmcontroller.repository.settings import DownloadSettings
    from cernvmcontroller.repository.wanted import Wanted

Report = Callable[[int, str], Awaitable[None]]
"""Is told the percents of the whole, and a sentence for the person who waits."""

_MIB = 1024**2
_LARGEST_CHECKSUMS = 1024**2
_CHECKSUM_SECONDS = 60.0
_FETCHED = 80
"""Percent that are done when all of a file is here."""
_IMAGE = "image.qcow2"


class Download:
    """One download.

    Parameters
    ----------
    folder
        Of its own; what an earlier controller left in it is gone on with.
    """

    def __init__(
        self, wanted: Wanted, folder: Path, fetcher: Fetcher, importer: Importer, settings: DownloadSettings
    ) -> None:
        self._wanted = wanted
        self._folder = folder
        self._fetcher = fetcher
        self._importer = importer
        self._settings = settings

    async def run(self, report: Report) -> Path:
        """Return a folder with an image and its manifest, ready to be moved into the repository.

        Raises
        ------
        SourceFailed
            The file cannot be had, is not the one that was promised, or is no image that is imported.
        """
        said = declared(self._wanted.url, self._wanted.mime)
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        checksum = await self._checksum()
        received = await self._fetch(checksum, report)
        self._verify(received, checksum)
        await report(_FETCHED, "Converting the image.")
        imported = await self._importer(received.path, self._folder / "work", said)
        return await asyncio.to_thread(self._make_ready, received, imported)

    async def _checksum(self) -> tuple[str, str] | None:
        if self._wanted.checksum_url is None:
            return self._wanted.checksum
        fetched = await self._fetcher.fetch(
            self._wanted.checksum_url,
            limit=_LARGEST_CHECKSUMS,
            seconds=_CHECKSUM_SECONDS,
            # What is taken for the truth comes encrypted, whatever the file itself may do.
            allow_http=not self._wanted.verifiable,
        )
        return digits(fetched.content or b"", httpx.URL(self._wanted.url).path.rpartition("/")[2])

    async def _fetch(self, checksum: tuple[str, str] | None, report: Report) -> Received:
        largest = self._settings.largest_file_mib * _MIB
        transfer = Transfer(
            self._fetcher,
            self._wanted.url,
            self._folder,
            limit=min(self._wanted.length or largest, largest),
            algorithms={"sha256", *(checksum or ())[:1]},
            allow_http=self._wanted.allow_http,
        )
        speed = Speed(asyncio.get_running_loop().time)

        async def tell(done: int, total: int | None) -> None:
            total = total or self._wanted.length
            percent = min(_FETCHED, _FETCHED * done // total) if total else 0
            await report(percent, speed.sentence(done, total))

        try:
            async with asyncio.timeout(self._settings.seconds):
                return await transfer.run(tell)
        except TimeoutError:
            raise SourceFailed(
                f"The download did not end within {self._settings.seconds / 3600:g} hours; find a nearer "
                "source."
            ) from None

    def _verify(self, received: Received, checksum: tuple[str, str] | None) -> None:
        if self._wanted.length is not None and received.size != self._wanted.length:
            raise SourceFailed(
                f"The file has {received.size} bytes where {self._wanted.length} were announced: it is not "
                "the announced one, or it is incomplete."
            )
        if checksum is not None:
            algorithm, expected = checksum
            if received.checksums[algorithm] != expected:
                raise SourceFailed(
                    f"The file is not the announced one: its {algorithm} is {received.checksums[algorithm]} "
                    f"and not {expected}. It was thrown away."
                )

    def _make_ready(self, received: Received, imported: Imported) -> Path:
        wanted, ready = self._wanted, self._folder / "ready"
        ready.mkdir(mode=0o700)
        imported.path.rename(ready / _IMAGE)
        now = datetime.now(UTC)
        appliance = Appliance(
            id=wanted.id,
            title=wanted.title,
            version=wanted.version,
            description=wanted.description,
            arch=wanted.arch,
            sha256=imported.sha256,
            size=imported.size,
            virtual_size_mib=-(-imported.virtual_size // _MIB),
            min_memory_mib=wanted.min_memory_mib,
            min_vcpus=wanted.min_vcpus,
            context=wanted.context,
            notebook=False,
            hardware=Hardware(arch=wanted.arch, firmware=wanted.firmware),
            origin=Origin(
                url=wanted.shown_url,
                feed=wanted.feed,
                entry=wanted.entry,
                sha256=received.checksums["sha256"],
                verified=wanted.verifiable,
                at=now,
            ),
            updated=wanted.updated or now,
        )
        write_manifest(ready, appliance, _IMAGE)
        return ready


class Speed:
    """How fast a file comes, over the last seconds.

    Parameters
    ----------
    clock
        Seconds, from any begin.
    """

    _WINDOW = 5.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: list[tuple[float, int]] = []

    def sentence(self, done: int, total: int | None) -> str:
        """Return how far it is."""
        now = self._clock()
        self._marks = [(at, bytes_) for at, bytes_ in self._marks if at >= now - self._WINDOW]
        self._marks.append((now, done))
        of = f" of {total / _MIB:.0f}" if total else ""
        return f"Downloading: {done / _MIB:.0f}{of} MiB{self._rate(now, done)}."

    def _rate(self, now: float, done: int) -> str:
        at, before = self._marks[0]
        return f", {(done - before) / _MIB / (now - at):.1f} MiB/s" if now > at else ""
