"""Clusters as administrators make and fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from cernvmapi.clusters import DEFAULT_CLUSTER
from cernvmapi.errors import Conflict
from cernvmcontroller.store import clusters as rows
from cernvmcontroller.store.tables import ClusterRow

if TYPE_CHECKING:
    from cernvmapi.clusters import Cluster, ClusterChange, ClusterCreate, ClusterMembers
    from cernvmcontroller.store import Actor, Store, Transaction


class Clusters:
    """The clusters.

    Parameters
    ----------
    store
        Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self, *, host: str | None = None, machine: str | None = None) -> list[Cluster]:
        """Return the clusters, on request those that a host or a machine is in."""
        async with self._store.read() as session:
            return await rows.models(session, host=host, machine=machine)

    async def get(self, cluster_id: str) -> Cluster:
        """Return one cluster."""
        async with self._store.read() as session:
            return await rows.to_model(session, cluster_id)

    async def create(self, actor: Actor, request: ClusterCreate) -> Cluster:
        """Make a cluster; nothing is in it.

        Raises
        ------
        Conflict
            There is one of that id or name.
        """
        name = request.name or request.id
        async with self._store.write(actor, "cluster.create", f"cluster/{request.id}") as tx:
            tx.details["name"] = name
            if await tx.session.get(ClusterRow, request.id) is not None:
                raise Conflict(f"There is a cluster {request.id} already; choose another id.")
            await _refuse_name(tx, request.id, name)
            tx.session.add(ClusterRow(id=request.id, name=name, description=request.description))
            return await rows.changed(tx, request.id)

    async def change(self, actor: Actor, cluster_id: str, request: ClusterChange) -> Cluster:
        """Give a cluster another name or description; `Conflict` for a name that another one has."""
        async with self._store.write(actor, "cluster.change", f"cluster/{cluster_id}") as tx:
            row = await rows.get(tx.session, cluster_id)
            if request.name is not None:
                tx.details["name"] = request.name
                await _refuse_name(tx, cluster_id, request.name)
                row.name = request.name
            if request.description is not None:
                row.description = request.description
            return await rows.changed(tx, cluster_id)

    async def put_members(self, actor: Actor, cluster_id: str, request: ClusterMembers) -> Cluster:
        """Let hosts and machines come in and leave; `Conflict` for the default cluster, which has all."""
        async with self._store.write(actor, "cluster.members", f"cluster/{cluster_id}") as tx:
            for name in request.__struct_fields__:
                if members := getattr(request, name):
                    tx.details[name] = members
            await rows.get(tx.session, cluster_id)
            if cluster_id == DEFAULT_CLUSTER:
                raise Conflict("All hosts and machines are in the default cluster; choose another one.")
            await rows.change_members(tx, cluster_id, request)
            return await rows.to_model(tx.session, cluster_id)

    async def delete(self, actor: Actor, cluster_id: str) -> None:
        """Delete a cluster; its hosts and machines stay. `Conflict` for the default one."""
        async with self._store.write(actor, "cluster.delete", f"cluster/{cluster_id}") as tx:
            row = await rows.get(tx.session, cluster_id)
            if cluster_id == DEFAULT_CLUSTER:
                raise Conflict("The default cluster cannot be deleted: all hosts and machines are in it.")
            await rows.remove(tx, row)


async def _refuse_name(tx: Transaction, cluster_id: str, name: str) -> None:
    others = select(func.count()).where(
        ClusterRow.id != cluster_id, (ClusterRow.name == name) | (ClusterRow.id == name)
    )
    if await tx.session.scalar(others):
        raise Conflict(f"There is a cluster {name} already; choose another name.")
