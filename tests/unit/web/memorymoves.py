"""The engine in memory: machines that move, hosts that are left, snapshots."""

import msgspec
from tests.unit.web.memoryrows import NOW

from cernvmapi.definitions import BrokenRule, Definition, MachineXml, XmlChange, XmlChanged
from cernvmapi.errors import Invalid, NotFound
from cernvmapi.hosts import Proposal
from cernvmapi.snapshots import Snapshot
from cernvmcontroller.definitions import hardware, rules
from cernvmcontroller.hypervisor.offers import Offers


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


XML = """<domain type="qemu">
  <name>m-alice</name>
  <devices>
    <watchdog model="i6300esb" action="reset"/>
  </devices>
</domain>
"""


class Definitions:
    """With the real rules; every machine has the same definition."""

    def __init__(self, engine):
        self.engine = engine
        self.xml = XML
        self.changes = []

    async def get(self, machine_id):
        await self.engine.machines.get(machine_id)
        own = bool(self.changes)
        return MachineXml(machine=machine_id, xml=self.xml, digest="0" * 64, running=XML, own=own)

    async def write(self, actor, machine_id, request):
        await self.engine.machines.get(machine_id)
        broken = [
            BrokenRule(rule=each.rule, line=each.line, message=each.words)
            for each in rules.broken(request.xml, self.xml)
        ]
        diff = "".join(f"+{line}\n" for line in request.xml.splitlines() if line not in self.xml)
        if not request.preview:
            if broken:
                raise Invalid(
                    "The definition breaks a rule.", errors=[msgspec.to_builtins(x) for x in broken]
                )
            self.engine.record(actor, "machine.xml", f"machine/{machine_id}")
            self.xml = request.xml
            change = Definition(
                number=1, at=NOW, author=actor.name, comment=request.comment, own=True, xml=XML, diff=diff
            )
            self.changes = [change]
        kept = not request.preview
        return XmlChanged(
            machine=machine_id, kept=kept, diff=diff, broken=broken, digest="1" * 64, pending=kept
        )

    async def reset(self, actor, machine_id):
        await self.engine.machines.get(machine_id)
        self.engine.record(actor, "machine.xml", f"machine/{machine_id}")
        self.xml, self.changes = XML, []
        return XmlChanged(machine=machine_id, kept=True, diff="", digest="0" * 64)

    async def history(self, machine_id):
        await self.engine.machines.get(machine_id)
        return self.changes


class Fitting:
    def __init__(self, engine):
        self.engine = engine

    async def get(self, machine_id):
        await self.engine.machines.get(machine_id)
        return hardware.read(machine_id, self.engine.definitions.xml, None, Offers())

    async def change(self, actor, machine_id, wanted):
        definitions = self.engine.definitions
        xml = hardware.changed(definitions.xml, wanted)
        await definitions.write(actor, machine_id, XmlChange(xml=xml))
        return await self.get(machine_id)
