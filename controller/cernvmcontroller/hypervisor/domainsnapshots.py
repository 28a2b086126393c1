"""Snapshots of domains by libvirt: `cernvmcontroller.hypervisor.snapshots.Snapshots`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import libvirt
from lxml import etree

from cernvmcontroller.hypervisor.elements import E
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.hypervisor.snapshots import SnapshotState

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.connection import Connection

_OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)


class DomainSnapshots:
    """Those of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self, uuid: str) -> list[SnapshotState]:
        """Return a domain's snapshots."""

        def look(connection: Any) -> list[SnapshotState]:
            domain = connection.lookupByUUIDString(uuid)
            current = domain.snapshotCurrent().getName() if domain.hasCurrentSnapshot() else ""
            found = [_state(each.getXMLDesc(), current) for each in domain.listAllSnapshots()]
            return sorted(found, key=lambda each: (each.created, each.name))

        return await self._connection.call(look)

    async def take(self, uuid: str, name: str, description: str) -> None:
        """Keep what the domain is now."""
        node = E.domainsnapshot(E.name(name), E.description(description))
        xml = etree.tostring(node, encoding="unicode")

        def take(connection: Any) -> None:
            domain = connection.lookupByUUIDString(uuid)
            if _snapshot(domain, name) is None:
                domain.snapshotCreateXML(xml)

        await self._connection.call_long(take, f"snapshot {uuid}")

    async def revert(self, uuid: str, name: str) -> None:
        """Bring the domain back."""

        def revert(connection: Any) -> None:
            domain = connection.lookupByUUIDString(uuid)
            snapshot = domain.snapshotLookupByName(name)
            if _state(snapshot.getXMLDesc(), "").memory is (domain.state()[0] in _OFF):
                raise WrongState("The snapshot is of a domain that ran, and this one is off, or the reverse.")
            domain.revertToSnapshot(snapshot)

        await self._connection.call_long(revert, f"revert {uuid}")

    async def delete(self, uuid: str, name: str) -> None:
        """Forget a snapshot."""

        def delete(connection: Any) -> None:
            snapshot = _snapshot(connection.lookupByUUIDString(uuid), name)
            if snapshot is not None:
                snapshot.delete()

        await self._connection.call_long(delete, f"forget snapshot {uuid}")


def _snapshot(domain: Any, name: str) -> Any:
    try:
        return domain.snapshotLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            return None
        raise


def _state(xml: str, current: str) -> SnapshotState:
    root = etree.fromstring(xml.encode())
    name = root.findtext("name") or ""
    return SnapshotState(
        name=name,
        created=datetime.fromtimestamp(int(root.findtext("creationTime") or 0), UTC),
        memory=root.findtext("state") != "shutoff",
        description=root.findtext("description") or "",
        current=name == current,
    )
