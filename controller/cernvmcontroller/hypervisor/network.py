"""Verbs on networks and network filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import libvirt

from cernvmcontroller.hypervisor import errors, filterxml, networkxml
from cernvmcontroller.hypervisor.interface import WrongState

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.connection import Connection
    from cernvmcontroller.hypervisor.specs import FilterSpec, NetworkSpec


class Networks:
    """The networks and filters of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """Make the network exist and be active, and be as described unless machines use it."""

        def ensure(connection: Any) -> None:
            network = _network(connection, spec.name)
            if network is None:
                network = connection.networkDefineXML(networkxml.build(spec))
            elif not networkxml.same(network.XMLDesc(), spec):
                if network.isActive():
                    if network.listAllPorts():
                        raise WrongState(
                            f"The network {spec.name} is not as configured and machines use it: stop them, "
                            "or configure the subnet that they were started with."
                        )
                    network.destroy()
                network = connection.networkDefineXML(networkxml.build(spec, uuid=network.UUIDString()))
            network.setAutostart(True)
            if not network.isActive():
                network.create()

        await self._connection.call(ensure, slow=True)

    async def remove_network(self, name: str) -> None:
        """Stop and undefine a network."""

        def remove(connection: Any) -> None:
            network = _network(connection, name)
            if network is None:
                return
            if network.isActive():
                network.destroy()
            network.undefine()

        await self._connection.call(remove, slow=True)

    async def ensure_filter(self, spec: FilterSpec) -> None:
        """Make the filter be as described; one that is already is not touched, for that reloads rules."""

        def ensure(connection: Any) -> None:
            known = _filter(connection, spec.name)
            if known is None:
                connection.nwfilterDefineXML(filterxml.build(spec))
            elif not filterxml.same(known.XMLDesc(), spec):
                connection.nwfilterDefineXML(filterxml.build(spec, uuid=known.UUIDString()))

        await self._connection.call(ensure, slow=True)

    async def remove_filter(self, name: str) -> None:
        """Undefine a filter."""

        def remove(connection: Any) -> None:
            known = _filter(connection, name)
            if known is not None:
                known.undefine()

        await self._connection.call(remove, slow=True)


def _network(connection: Any, name: str) -> Any:
    try:
        return connection.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None
        raise


def _filter(connection: Any, name: str) -> Any:
    try:
        return connection.nwfilterLookupByName(name)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None
        raise
