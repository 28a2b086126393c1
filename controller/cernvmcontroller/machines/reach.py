"""The last step of a start: the hub's side of the network finds the notebook server.

The agent believes what it sees from within: the network may bring nobody there, and an agent may lie.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cernvmapi.errors import StartFailed
from cernvmcontroller.guests.knock import Stranger, Unreachable
from cernvmcontroller.inventory.localaddresses import is_ours

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.job import Job
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow


async def reach(
    shop: Workshop, row: MachineRow, host: HostLink, job: Job, check: Callable[[], Awaitable[None]]
) -> None:
    """Look for a machine's notebook server, where this controller has an address on its network.

    Parameters
    ----------
    check
        Raises where the start came to an end meanwhile.

    Raises
    ------
    StartFailed
        It is not reached in time, or something else answers.
    """
    seconds = shop.settings.reach_timeout
    if not seconds or not await asyncio.to_thread(is_ours, str(host.spec.network.gateway)):
        return
    held, link = shop.sessions.get(row.id), shop.links.get(row.id)
    session = held.session if held else None
    address = row.address or ""
    port = (session.port if session else row.port) or (link.port if link else None) or shop.settings.port
    last = ""

    async def reached() -> bool | None:
        nonlocal last
        await check()
        try:
            await job.until(shop.knock(address, port, session))
        except Unreachable as error:
            last = str(error)
            return None
        except Stranger as error:
            raise StartFailed(
                f"The machine says that its notebook server runs, but what answers at {address}:{port} "
                f"is not that server: {error}. Start it again, or choose another appliance."
            ) from None
        return True

    if await job.look(reached, seconds, min(1.0, shop.settings.wait_interval)) is None:
        raise StartFailed(
            f"The notebook server runs in the machine, but the hub does not reach it at {address}:{port} "
            f"({last}): the machine has not got its address. Choose another appliance, or ask an "
            "administrator to look at the machine's network and context."
        )
