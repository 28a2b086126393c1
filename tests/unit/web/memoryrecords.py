"""What the engine in memory has written down: events, volumes, the audit record, what was used."""

import msgspec
from tests.unit.web.memoryrows import NOW, slice_of

from cernvmapi.errors import NotFound
from cernvmapi.models import Volume, VolumeKind
from cernvmapi.usage import Usage, UsageStatistics, UseOf
from cernvmcontroller.events import Batch


class ListJournal:
    """Events in a list; those up to `pruned` are forgotten."""

    def __init__(self):
        self.events = []
        self.pruned = 0

    async def since(self, after, upto, chosen, limit):
        found = [e for e in self.events if max(after, self.pruned) < e.id <= upto and chosen.wants(e)]
        return Batch(found[:limit], self.pruned)


class Volumes:
    def __init__(self):
        self.rows = {}

    def put(self, volume_id, owner, kind=VolumeKind.HOME):
        self.rows[volume_id] = Volume(
            id=volume_id, kind=kind, name=f"home-{volume_id}.qcow2", pool="local", owner=owner, created=NOW
        )

    async def get(self, volume_id):
        try:
            return self.rows[volume_id]
        except KeyError:
            raise NotFound("no such row") from None

    async def page(self, *, owner, kind, limit, cursor):
        rows = [
            row
            for row in self.rows.values()
            if (owner is None or row.owner == owner) and (kind is None or row.kind == kind)
        ]
        return slice_of(rows, limit, cursor)

    async def change(self, actor, volume_id, request):
        row = await self.get(volume_id)
        self.rows[volume_id] = msgspec.structs.replace(row, owner=request.owner or row.owner)
        return self.rows[volume_id]

    async def delete(self, actor, volume_id):
        del self.rows[volume_id]


class Audit:
    def __init__(self):
        self.rows = []

    async def page(self, *, actor, action, subject, limit, cursor):
        rows = [
            row
            for row in reversed(self.rows)
            if (actor is None or row.actor == actor)
            and (action is None or row.action == action)
            and (subject is None or row.subject == subject)
        ]
        return slice_of(rows, limit, cursor)


class UsageHistory:
    def __init__(self, engine):
        self.engine = engine
        self.asked = []

    def _usage(self, subject, wanted, owner=None):
        self.asked.append((subject, owner, wanted))
        columns = {
            name: [0.5, None]
            for name in (
                "cpus",
                "memory_mib",
                "disk_read",
                "disk_written",
                "network_received",
                "network_sent",
            )
        }
        return Usage(subject=subject, start=NOW, end=NOW, resolution=30, **columns)

    async def machine(self, machine_id, owner, wanted):
        return self._usage(f"machine/{machine_id}", wanted, owner)

    async def machines(self, ids, owner, wanted):
        return [self._usage(f"machine/{each}", wanted, owner) for each in ids]

    async def host(self, host_id, wanted):
        return self._usage(f"host/{host_id}", wanted)

    async def cluster(self, cluster_id, wanted):
        return self._usage(f"cluster/{cluster_id}", wanted)

    async def appliance(self, appliance_id, wanted):
        return self._usage(f"appliance/{appliance_id}", wanted)

    async def owner(self, owner, wanted):
        return self._usage("hub" if owner is None else f"user/{owner}", wanted, owner)

    async def statistics(self, owner, by, wanted):
        self.asked.append(("statistics", owner, wanted))
        return UsageStatistics(start=NOW, end=NOW, by=by, items=[UseOf(name=owner or "default", starts=1)])
