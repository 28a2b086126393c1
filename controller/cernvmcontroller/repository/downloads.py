"""Downloads into the repository: begun, several at once, cancelled, and gone on with after a restart."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import structlog

from cernvmapi.errors import CernVMError, Conflict, Invalid, SourceFailed, StoreUnavailable
from cernvmapi.models import Operation, OperationStatus
from cernvmcontroller.catalogue.sources import refused
from cernvmcontroller.importer import Importer
from cernvmcontroller.importer.importing import remove
from cernvmcontroller.naming import new_id
from cernvmcontroller.repository import wanted as wishes
from cernvmcontroller.repository.download import Download
from cernvmcontroller.repository.settings import DownloadSettings
from cernvmcontroller.store import Actor, Store, entries, feeds, operations
from cernvmcontroller.store.surely import surely
from cernvmcontroller.store.tables import ApplianceRow
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.models import ApplianceCreate
    from cernvmcontroller.fetch import Fetcher
    from cernvmcontroller.repository.repository import Repository
    from cernvmcontroller.repository.wanted import Wanted

_log = structlog.get_logger(__name__)

ACTION = "appliance.download"
_TELL_EVERY = 1.0
"""Seconds between two times that the progress of a download is told."""
_MIB = 1024**2
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(eq=False)
class _Job:
    """A download under way."""

    wanted: Wanted
    task: asyncio.Task[None] | None = None
    told: float = float("-inf")
    publishing: bool = False
    """It is being made visible and cannot be cancelled any more."""


class Downloads:
    """Downloads under way.

    Parameters
    ----------
    fetcher
        Gets them, and says from where they may be got.
    repository
        Where they end.
    """

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        repository: Repository,
        settings: DownloadSettings | None = None,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._repository = repository
        self._settings = settings or DownloadSettings()
        self._importer = Importer(largest=self._settings.largest_disk_mib * _MIB)
        self._folder = repository.folder.parent / "downloads"
        self._slots = asyncio.Semaphore(self._settings.at_once)
        self._jobs: dict[str, _Job] = {}

    async def start(self) -> None:
        """Go on with what an earlier controller began, and throw away what it left of others."""
        async with self._store.read() as session:
            begun = [row for row in await operations.running(session) if row.action == ACTION]
        await asyncio.to_thread(self._tidy, {row.id for row in begun})
        for row in begun:
            self._begin(row.id, wishes.from_details(row.details))

    async def close(self) -> None:
        """Break off; the next controller goes on."""
        await end(job.task for job in self._jobs.values() if job.task is not None)

    async def create(self, actor: Actor, request: ApplianceCreate) -> Operation:
        """Begin to download an entry of the catalogue, or what is at a URL; once, however often it is asked.

        Raises
        ------
        Invalid
            It may not be downloaded from there, or nobody can say whether it is the right file.
        NotFound
            There is no such entry.
        Conflict
            There is an appliance of this id.
        """
        wanted = await self._wanted(request)
        try:
            self._fetcher.policy.target(wanted.url, allow_http=wanted.allow_http)
        except SourceFailed as error:
            raise refused(error) from None
        subject = f"appliance/{wanted.id}"
        details = {"url": wanted.shown_url, "unverified": not wanted.verifiable}
        async with self._store.write(actor, ACTION, subject, details=details) as tx:
            for row in await operations.running(tx.session, subject):
                if wishes.from_details(row.details) == wanted:
                    return operations.to_model(row)
                raise Conflict(f"Another download becomes {wanted.id}: wait for it, or choose another id.")
            if self._is_here(wanted) or await tx.session.get(ApplianceRow, wanted.id) is not None:
                raise Conflict(f"There is an appliance {wanted.id} already; choose another id.")
            row = await operations.create(
                tx,
                new_id("o"),
                ACTION,
                subject,
                cancellable=True,
                message="Waiting for its turn.",
                details={"wanted": msgspec.to_builtins(wanted)},
            )
            operation = operations.to_model(row)
        self._begin(operation.id, wanted)
        return operation

    async def cancel(self, actor: Actor, appliance_id: str, operation_id: str) -> None:
        """End a download; nothing of it stays.

        Raises
        ------
        Conflict
            It is being made visible already.
        """
        job = self._jobs.get(operation_id)
        if job is None or job.task is None or job.publishing:
            raise Conflict("The appliance is there in a moment; it is too late to cancel its download.")
        await end([job.task])
        try:
            async with self._store.write(actor, "operation.cancel", f"appliance/{appliance_id}") as tx:
                await operations.finish(tx, operation_id, OperationStatus.CANCELLED, message="Cancelled.")
        except StoreUnavailable:
            self._begin(operation_id, job.wanted)  # nothing would go on with it, nor end it
            raise
        await asyncio.to_thread(remove, self._folder / operation_id)

    async def _wanted(self, request: ApplianceCreate) -> Wanted:
        if (request.entry is None) == (request.url is None):
            raise Invalid("Say what to download: an entry of the catalogue, or a URL.")
        if request.entry is None:
            return wishes.of_url(request)
        async with self._store.read() as session:
            entry = await entries.get(session, request.entry)
            return wishes.of_entry(request, entry, await feeds.get(session, entry.feed))

    # --- the work ---

    def _begin(self, operation: str, wanted: Wanted) -> None:
        job = self._jobs[operation] = _Job(wanted)
        self._repository.expect(wanted.id)
        job.task = asyncio.create_task(self._run(operation, job), name=f"download {wanted.id}")
        job.task.add_done_callback(lambda _: self._ended(operation, wanted))

    def _ended(self, operation: str, wanted: Wanted) -> None:
        self._jobs.pop(operation, None)
        self._repository.expect_no_more(wanted.id)

    async def _run(self, operation: str, job: _Job) -> None:
        folder = self._folder / operation
        try:
            if not self._is_here(job.wanted):
                async with self._slots:
                    await self._download(operation, job, folder)
            job.publishing = True
            await asyncio.to_thread(remove, folder)
            await surely(lambda: self._offer(operation, job.wanted))
        except CernVMError as error:
            await self._failed(operation, job, error)
        except OSError as error:
            await self._failed(operation, job, _of_the_disk(error, self._folder))
        except Exception:  # noqa: BLE001 - an operation must not stay without an end because we erred
            _log.exception("a download was not ended", appliance=job.wanted.id)
            ours = CernVMError("The controller made an error; its log has the details.")
            await self._failed(operation, job, ours)

    async def _download(self, operation: str, job: _Job, folder: Path) -> None:
        """Bring an appliance into the folder of the repository, whole."""

        async def report(percent: int, message: str) -> None:
            now = asyncio.get_running_loop().time()
            if now - job.told >= _TELL_EVERY:
                job.told = now
                with suppress(StoreUnavailable):
                    await self._progress(operation, percent, message)

        await asyncio.to_thread(_forget_steps, folder)
        steps = Download(job.wanted, folder, self._fetcher, self._importer, self._settings)
        ready = await steps.run(report)
        job.publishing = True
        await asyncio.to_thread(self._move, ready, job.wanted.id)

    async def _progress(self, operation: str, percent: int, message: str) -> None:
        async with self._store.write(Actor.system(), ACTION, "operations", audit=False) as tx:
            await operations.progress(tx, operation, percent, message)

    async def _offer(self, operation: str, wanted: Wanted) -> None:
        async with self._store.write(Actor.system(), ACTION, f"appliance/{wanted.id}", audit=False) as tx:
            manifest = await self._repository.add(tx, wanted.id)
            await operations.finish(tx, operation, OperationStatus.SUCCEEDED, message="It is ready.")
        self._repository.offer(manifest)
        _log.info("appliance downloaded", appliance=wanted.id, verified=wanted.verifiable)

    async def _failed(self, operation: str, job: _Job, error: CernVMError) -> None:
        _log.warning("appliance not downloaded", appliance=job.wanted.id, reason=error.detail)
        await asyncio.to_thread(remove, self._folder / operation)
        await surely(lambda: self._end(operation, job.wanted, error))

    async def _end(self, operation: str, wanted: Wanted, error: CernVMError) -> None:
        async with self._store.write(Actor.system(), ACTION, f"appliance/{wanted.id}", audit=False) as tx:
            await operations.finish(tx, operation, OperationStatus.FAILED, error=error.problem())

    # --- the disk ---

    def _is_here(self, wanted: Wanted) -> bool:
        """Return whether it is in its place: of a download, an earlier controller did not live to say so."""
        return (self._repository.folder / wanted.id).exists()

    def _move(self, ready: Path, id_: str) -> None:
        self._repository.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ready.rename(self._repository.folder / id_)

    def _tidy(self, begun: set[str]) -> None:
        for folder in self._folder.glob("*"):
            if folder.name not in begun:
                remove(folder)


def _forget_steps(folder: Path) -> None:
    """Throw away what an earlier controller made of a file; the file itself is gone on with."""
    for step in ("work", "ready"):
        remove(folder / step)


def _of_the_disk(error: OSError, folder: Path) -> CernVMError:
    if error.errno in _FULL:
        return CernVMError(f"The disk of {folder} is full: make room there, and download it again.")
    return CernVMError(f"{folder} cannot be used: {error.strerror}.")
