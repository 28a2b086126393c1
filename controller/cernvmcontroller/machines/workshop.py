"""What the steps of a machine's life work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmcontroller import naming
from cernvmcontroller.guests import knock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cernvmapi.models import Session
    from cernvmcontroller.consoles.serial import Consoles
    from cernvmcontroller.guests.agentlink import AgentLink, AgentLinks
    from cernvmcontroller.guests.sessions import Held, Sessions
    from cernvmcontroller.inventory import HostLink, Inventory
    from cernvmcontroller.machines.ledger import Ledger
    from cernvmcontroller.machines.settings import Settings
    from cernvmcontroller.machines.sidecars import Sidecars
    from cernvmcontroller.machines.strangers import Strangers
    from cernvmcontroller.machines.uploads import Uploads
    from cernvmcontroller.repository import Repository
    from cernvmcontroller.store.tables import MachineRow


@dataclass(frozen=True)
class Workshop:
    """One for each controller."""

    hub_id: str
    settings: Settings
    ledger: Ledger
    inventory: Inventory
    repository: Repository
    uploads: Uploads
    consoles: Consoles
    links: AgentLinks
    sessions: Sessions
    sidecars: Sidecars
    strangers: Strangers
    poke: Callable[[str], None]
    """Has a machine looked at."""
    knock: Callable[[str, int, Session | None], Awaitable[None]] = knock.knock
    """Looks for a notebook server; see `cernvmcontroller.guests.knock.knock`."""

    def domain_name(self, machine: str) -> str:
        """Return the name of a machine's domain."""
        return naming.domain_name(self.settings.hub_name, machine)

    def follow(self, row: MachineRow, host: HostLink) -> AgentLink | None:
        """Read a running machine's console and talk with its agent; idempotent.

        Returns
        -------
        AgentLink or None
            None for an appliance without our agent.
        """
        uuid, machine = row.uuid, row.id
        self.consoles.follow(machine, lambda: host.hypervisor.open_console(uuid))
        if not self.has_agent(row):
            return None
        return self.links.open(
            machine, lambda: host.hypervisor.open_channel(uuid), lambda: self.poke(machine)
        )

    async def deliver(self, row: MachineRow, link: AgentLink, held: Held) -> str | None:
        """Give a machine's agent its session; see `AgentLink.deliver`.

        The server waits for the context only where the site has put something into it: ours is the host's
        name, and waiting for it would cost every start half a minute under emulation.
        """
        wait = bool(self.settings.context)
        return await link.deliver(held, home=row.home is not None, wait_for_context=wait)

    def has_agent(self, row: MachineRow) -> bool:
        """Return whether a machine's appliance has our agent; one that serves a notebook must."""
        return row.notebook or self.repository.has_agent(row.appliance)

    async def leave(self, machine: str) -> None:
        """Hang up on a machine that does not run any more."""
        await self.links.leave(machine)
        await self.consoles.leave(machine)
