"""How the controller is: dead, where it can do nothing for anybody, or degraded, where something is missing.

Dead (``down``) is a database that cannot be read or written, and a reconciler that stands still. A host that
is away, and all else, is ``degraded``: the rest goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from cernvmapi.errors import StoreUnavailable
from cernvmapi.models import ComponentHealth
from cernvmcontroller.store import inventory as rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cernvmapi.models import Pool
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.store import Store

_log = structlog.get_logger(__name__)
OK, DEGRADED, DOWN = "ok", "degraded", "down"

STORE_PATIENCE = 5.0
"""Seconds in which the database has to answer."""
STORE_EVERY = 5.0
"""Seconds for which an answer counts: whoever asks all the time makes no load."""
LATE = 2.0
"""Seconds by which the event loop may be late."""
NEARLY_FULL = 0.05
"""Part of a pool that has to be free."""
CERTIFICATE_NEAR_ITS_END = timedelta(days=90)
_MINUTE = 60.0


def overall(components: Iterable[ComponentHealth]) -> str:
    """Return what the parts amount to: a host that is away does not make the controller dead."""
    worst = OK
    for part in components:
        if part.status == DOWN and not part.name.startswith("host/"):
            return DOWN
        if part.status != OK:
            worst = DEGRADED
    return worst


class Conditions:
    """Remembers since when each part is as it is."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, datetime]] = {}

    def note(self, found: Iterable[ComponentHealth]) -> list[ComponentHealth]:
        """Return the parts with since when they are so; a change is logged."""
        noted = []
        for part in found:
            before = self._known.get(part.name)
            if before is None or before[0] != part.status:
                self._known[part.name] = (part.status, datetime.now(UTC))
                if before is not None or part.status != OK:
                    _log.info("health", component=part.name, status=part.status, reason=part.detail)
            since = self._known[part.name][1]
            noted.append(ComponentHealth(name=part.name, status=part.status, detail=part.detail, since=since))
        return noted


class StoreCheck:
    """Reads and writes the database, for certain and not too often.

    Parameters
    ----------
    store
        Is checked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at = float("-inf")
        self._found = ComponentHealth(name="store", status=OK)
        self._pools: list[Pool] = []
        self._one = asyncio.Lock()

    async def look(self) -> tuple[ComponentHealth, list[Pool]]:
        """Return how the database is, and the pools as it has them."""
        async with self._one:
            if time.monotonic() - self._at >= STORE_EVERY:
                self._found = await self._look()
                self._at = time.monotonic()
        return self._found, self._pools

    async def _look(self) -> ComponentHealth:
        try:
            async with asyncio.timeout(STORE_PATIENCE):
                async with self._store.read() as session:
                    self._pools = await rows.pool_models(session)
                why = await self._store.check()
        except TimeoutError:
            why = f"The database did not answer within {STORE_PATIENCE:g} s. Look at its disk and its server."
        except StoreUnavailable as error:
            why = error.detail
        return ComponentHealth(name="store", status=DOWN if why else OK, detail=why)


class LoopLag:
    """How late the event loop was in the last minute."""

    def __init__(self, every: float = 1.0) -> None:
        self._every = every
        self._late: deque[tuple[float, float]] = deque()

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            due = time.monotonic() + self._every
            await asyncio.sleep(self._every)
            self.note(time.monotonic(), time.monotonic() - due)

    def note(self, now: float, late: float) -> None:
        """Take note of one measurement, and forget those of more than a minute ago."""
        self._late.append((now, late))
        while self._late[0][0] < now - _MINUTE:
            self._late.popleft()

    @property
    def worst(self) -> float:
        """Seconds by which it was late at the worst."""
        return max((late for _, late in self._late), default=0.0)

    def health(self) -> ComponentHealth:
        """Say whether it is quick enough."""
        if self.worst <= LATE:
            return ComponentHealth(name="event-loop", status=OK)
        return ComponentHealth(
            name="event-loop",
            status=DEGRADED,
            detail=f"The event loop stood still for {self.worst:.1f} s: the machine is overloaded, "
            "or it is a bug of the controller.",
        )


class Pulse:
    """Whether something that has to happen again and again still does.

    Parameters
    ----------
    longest
        Seconds between two beats.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._last = time.monotonic()

    def beat(self) -> None:
        """Say that it happened."""
        self._last = time.monotonic()

    def health(self) -> ComponentHealth:
        """Say whether it still happens."""
        silent = time.monotonic() - self._last
        if silent <= self._longest:
            return ComponentHealth(name="reconciler", status=OK)
        return ComponentHealth(
            name="reconciler",
            status=DOWN,
            detail=f"The machines were not looked at for {silent:.0f} s. Restart the controller; "
            "machines run on. Its log says what it did last.",
        )


class Certificates:
    """When the certificates end with which this program began; a file that was renewed since does not count.

    Parameters
    ----------
    files
        Of certificates in PEM. What cannot be read is for whoever uses it to say.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._ends: list[datetime] = []
        for file in files:
            try:
                found = x509.load_pem_x509_certificates(file.read_bytes())
            except (OSError, ValueError):
                continue
            self._ends += [one.not_valid_after_utc for one in found]

    def health(self, now: datetime | None = None) -> Iterator[ComponentHealth]:
        """Say whether the first of them ends soon; nothing where there are none."""
        if not self._ends:
            return
        end = min(self._ends)
        soon = end - (now or datetime.now(UTC)) < CERTIFICATE_NEAR_ITS_END
        why = (
            f"The certificates of hub, proxy and controller end on {end:%Y-%m-%d}, and then none reaches the "
            "other. End the three and start them again with make run, which renews them. Stop and start "
            "machines that run since before: they do not know the new ones."
        )
        yield ComponentHealth(
            name="certificates", status=DEGRADED if soon else OK, detail=why if soon else ""
        )


def hosts(links: Iterable[HostLink]) -> Iterator[ComponentHealth]:
    """Say how each host is."""
    none = True
    for link in links:
        none = False
        name = f"host/{link.id}"
        if link.hypervisor.breaker_open:
            why = f"It missed so many deadlines that it is left alone until it answers: {link.reason}"
            yield ComponentHealth(name=name, status=DOWN, detail=why)
        elif not link.alive:
            why = link.reason or link.hypervisor.reason or "It does not answer."
            yield ComponentHealth(name=name, status=DOWN, detail=why)
        elif link.known_acceleration() is None:
            why = "It is being found out whether KVM runs machines there; they start when that is known."
            yield ComponentHealth(name=name, status=DEGRADED, detail=why)
        else:
            yield ComponentHealth(name=name, status=OK)
    if none:
        why = "No host is configured: set c.CernVMController.hosts."
        yield ComponentHealth(name="hosts", status=DEGRADED, detail=why)


def pools(found: Iterable[Pool]) -> Iterator[ComponentHealth]:
    """Say whether there is room in each pool."""
    for pool in found:
        full = pool.capacity_mib and pool.available_mib < pool.capacity_mib * NEARLY_FULL
        why = (
            f"Only {pool.available_mib} of {pool.capacity_mib} MiB are free: machines will be paused when "
            "it is full. Make room, or stop machines."
        )
        yield ComponentHealth(
            name=f"pool/{pool.name}", status=DEGRADED if full else OK, detail=why if full else ""
        )
