"""The site of the engine in memory: hosts, clusters, appliances, feeds."""

import msgspec
from tests.unit.web.memoryrows import NOW, slice_of

from cernvmapi.clusters import Cluster
from cernvmapi.errors import Conflict, NotFound
from cernvmapi.hosts import HostReport, SeenDomain
from cernvmapi.models import Appliance, CatalogueEntry, Feed, Flavor, Host, Level, Network, Pool, Power


class Inventory:
    async def hosts(self):
        return [await self.host("local")]

    async def host(self, host_id):
        if host_id != "local":
            raise NotFound(f"There is no host {host_id}.")
        return Host(id="local", name="local", uris=["qemu:///system"], level=Level.NOTEBOOK, alive=True)

    async def networks(self):
        return [
            Network(
                id="n",
                name="n",
                hosts=["local"],
                cidr="10.80.0.0/20",
                gateway="10.80.0.1",
                addresses=4000,
                used=1,
            )
        ]

    async def pools(self):
        return [Pool(id="p", name="p", hosts=["local"], shared=False)]

    async def flavors(self):
        return [Flavor(id="small", title="Small", vcpus=1, memory_mib=1024, disk_mib=8192, default=True)]


class Hosts:
    def __init__(self, engine):
        self.engine = engine
        self.attached = []

    async def test(self, request):
        return HostReport(reachable=False, reason=f"Nothing answers at {request.uri}.")

    async def look(self, host_id):
        await self.engine.inventory.host(host_id)
        return HostReport(reachable=True, level=Level.NOTEBOOK)

    async def domains(self, host_id):
        await self.engine.inventory.host(host_id)
        return [SeenDomain(uuid="u", name="old-server", power=Power.ON, reason="booted")]

    async def attach(self, actor, request):
        self.engine.record(actor, "host.attach", f"host/{request.name}")
        self.attached.append(request)
        return Host(
            id=request.name,
            name=request.name,
            uris=request.uris,
            level=request.level,
            alive=False,
            source="api",
        )

    async def change(self, actor, host_id, request):
        self.engine.record(actor, "host.change", f"host/{host_id}")
        host = await self.engine.inventory.host(host_id)
        return msgspec.structs.replace(host, maintenance=bool(request.maintenance))

    async def detach(self, actor, host_id, *, forget):
        self.engine.record(actor, "host.forget" if forget else "host.detach", f"host/{host_id}")


class Clusters:
    def __init__(self, engine):
        self.engine = engine
        self.rows = {"default": Cluster(id="default", name="default", default=True, created=NOW)}

    async def all(self, *, host, machine):
        return list(self.rows.values())

    async def get(self, cluster_id):
        try:
            return self.rows[cluster_id]
        except KeyError:
            raise NotFound(f"There is no cluster {cluster_id}.") from None

    async def create(self, actor, request):
        self.engine.record(actor, "cluster.create", f"cluster/{request.id}")
        self.rows[request.id] = Cluster(id=request.id, name=request.name or request.id, created=NOW)
        return self.rows[request.id]

    async def change(self, actor, cluster_id, request):
        row = await self.get(cluster_id)
        self.rows[cluster_id] = msgspec.structs.replace(row, name=request.name or row.name)
        return self.rows[cluster_id]

    async def put_members(self, actor, cluster_id, request):
        row = await self.get(cluster_id)
        self.rows[cluster_id] = msgspec.structs.replace(row, hosts=request.add_hosts)
        return self.rows[cluster_id]

    async def delete(self, actor, cluster_id):
        await self.get(cluster_id)
        del self.rows[cluster_id]


class Repository:
    def __init__(self):
        self.rows = {
            name: Appliance(
                id=name,
                title=name,
                version="1",
                sha256="0" * 64,
                size=1,
                virtual_size_mib=1,
                hidden=name == "secret",
                updated=NOW,
            )
            for name in ("default", "secret")
        }

    async def appliances(self):
        return list(self.rows.values())

    async def appliance(self, appliance_id):
        try:
            return self.rows[appliance_id]
        except KeyError:
            raise NotFound(f"There is no appliance {appliance_id}.") from None


class Feeds:
    def __init__(self, engine):
        self.engine = engine
        self.rows = {}
        self.put(
            Feed(id="f-one", title="One", url="https://feeds.example/one.rss", interval=3600, created=NOW)
        )

    def put(self, row):
        self.rows[row.id] = row
        return row

    async def feeds(self):
        return list(self.rows.values())

    async def feed(self, feed_id):
        try:
            return self.rows[feed_id]
        except KeyError:
            raise NotFound(f"There is no feed {feed_id}.") from None

    async def create(self, actor, request):
        id_ = request.id or f"f-{len(self.rows)}"
        if id_ in self.rows:
            raise Conflict(f"There is a feed {id_} already.")
        self.engine.record(actor, "feed.create", f"feed/{id_}")
        title = request.title or "untitled"
        return self.put(Feed(id=id_, title=title, url=request.url, interval=request.interval, created=NOW))

    async def change(self, actor, feed_id, update):
        row = await self.feed(feed_id)
        self.engine.record(actor, "feed.change", f"feed/{feed_id}")
        return self.put(msgspec.structs.replace(row, title=update.title or row.title))

    async def delete(self, actor, feed_id):
        await self.feed(feed_id)
        self.engine.record(actor, "feed.delete", f"feed/{feed_id}")
        del self.rows[feed_id]

    async def refresh(self, actor, feed_id):
        await self.feed(feed_id)
        self.engine.record(actor, "feed.refresh", f"feed/{feed_id}")
        return self.engine.operations.begin("feed.refresh", f"feed/{feed_id}", actor.name, None)


class Catalogue:
    def __init__(self):
        self.rows = [
            CatalogueEntry(
                id=f"e-{number}", guid=f"{number}", title=f"Entry {number}", feed="f-one", feed_title="One"
            )
            for number in range(5)
        ]

    async def page(self, wanted):
        rows = [row for row in self.rows if wanted.search is None or wanted.search in row.title]
        return slice_of(rows, wanted.limit, wanted.cursor)


class Downloads:
    def __init__(self, engine):
        self.engine = engine

    async def create(self, actor, request):
        subject = f"appliance/{request.id or 'new'}"
        self.engine.record(actor, "appliance.download", subject)
        return self.engine.operations.begin("appliance.download", subject, actor.name, None)
