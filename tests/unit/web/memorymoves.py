"""The engine in memory: machines that move, hosts that are left, snapshots."""

from tests.unit.web.memoryrows import NOW

from cernvmapi.errors import NotFound
from cernvmapi.hosts import Proposal
from cernvmapi.snapshots import Snapshot


class Moves:
    def __init__(self, engine):
        self.engine = engine

    async def move(self, actor, machine_id, request):
        return await self.engine.machines._begin(actor, "machine.move", machine_id)

    async def propose(self, cluster=None):
        return [
            Proposal(machine="m-alice", name="a", from_host="local", to_host="other", before=0.3, after=0.1)
        ]


class Hosts:
    """Drains and evacuates."""

    def __init__(self, engine):
        self.engine = engine

    async def drain(self, actor, host_id, request):
        return await self._begin(actor, "host.drain", host_id)

    async def evacuate(self, actor, host_id, request):
        return await self._begin(actor, "host.evacuate", host_id)

    async def _begin(self, actor, action, host_id):
        await self.engine.inventory.host(host_id)
        self.engine.record(actor, action, f"host/{host_id}")
        return self.engine.operations.begin(action, f"host/{host_id}", actor.name, None)


class Snapshots:
    def __init__(self, engine):
        self.engine = engine

    async def all(self, machine_id):
        await self.engine.machines.get(machine_id)
        return [Snapshot(name="before", created=NOW, memory=True, current=True)]

    async def take(self, actor, machine_id, request):
        return await self.engine.machines._begin(actor, "machine.snapshot", machine_id)

    async def revert(self, actor, machine_id, name):
        return await self._about(actor, "machine.revert", machine_id, name)

    async def forget(self, actor, machine_id, name):
        return await self._about(actor, "machine.forget-snapshot", machine_id, name)

    async def _about(self, actor, action, machine_id, name):
        await self.engine.machines.get(machine_id)
        if name != "before":
            raise NotFound(f"The machine has no snapshot {name}.")
        return await self.engine.machines._begin(actor, action, machine_id)
