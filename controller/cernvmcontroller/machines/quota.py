"""What somebody may have at most, as a site decides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmapi.errors import NoRoom
from cernvmcontroller.store import inventory

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.tables import MachineRow


@dataclass(frozen=True)
class Usage:
    """What an owner has, and what they ask for now.

    Parameters
    ----------
    owner
        None for a machine that belongs to nobody.
    machines
        How many they have, running or not, without this one.
    vcpus, memory_mib
        Promised to those that run.
    wanted_vcpus, wanted_memory_mib
        Of this one.
    """

    owner: str | None
    machines: int
    vcpus: int
    memory_mib: int
    wanted_vcpus: int
    wanted_memory_mib: int


Quota = Callable[[Usage], str | None]
"""Returns why it is too much, in a sentence that says what to do; None where it is not."""


async def check(session: AsyncSession, quota: Quota | None, row: MachineRow, *, new: bool) -> None:
    """Ask the site whether a machine may be promised what it needs.

    Parameters
    ----------
    new
        The machine is not in the database yet.

    Raises
    ------
    NoRoom
        It may not, with the site's sentence.
    """
    if quota is None:
        return
    has = await inventory.promised_to(session, row.owner)
    own = inventory.Promise(row.vcpus, row.memory_mib) if row.promised and not new else inventory.Promise()
    usage = Usage(
        owner=row.owner,
        machines=has.machines - (0 if new else 1),
        vcpus=has.vcpus - own.vcpus,
        memory_mib=has.memory_mib - own.memory_mib,
        wanted_vcpus=row.vcpus,
        wanted_memory_mib=row.memory_mib,
    )
    reason = quota(usage)
    if reason is not None:
        raise NoRoom(reason, errors=[{"filter": "quota", "reason": reason}])
