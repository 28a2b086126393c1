"""Removing all that a hub made on a host: what ``cernvm-controller clean`` does, without hub or database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import NotFound
from cernvmapi.models import Power
from cernvmcontroller import naming

if TYPE_CHECKING:
    from collections.abc import Collection

    from cernvmcontroller.hypervisor.interface import DomainState, Hypervisor
    from cernvmcontroller.inventory import HostSpec

_log = structlog.get_logger(__name__)


def ours(domain: DomainState, hub_name: str, hub_id: str | None) -> bool:
    """Return whether a domain is a machine of this hub, or of an earlier one with the same names.

    What that one left stands on the same volumes and the same network, which go.

    Parameters
    ----------
    hub_id
        None where the installation's identity is lost; then the name alone decides, for machines only.
    """
    metadata = domain.metadata
    if metadata is None:
        return False
    return metadata.hub_id == hub_id or domain.name == naming.domain_name(hub_name, metadata.machine_id)


async def clean_host(
    hypervisor: Hypervisor, spec: HostSpec, hub_name: str, hub_id: str | None, known: Collection[str] = ()
) -> None:
    """Remove machines, volumes, pool, network and filter of a hub from a host; homes too.

    Parameters
    ----------
    known
        Names of volumes that may be there unfinished, so that they are not listed.
    """
    for domain in await hypervisor.domains():
        if ours(domain, hub_name, hub_id):
            if domain.power is not Power.OFF:
                await hypervisor.destroy(domain.uuid)
            await hypervisor.undefine(domain.uuid)
            _log.info("removed", host=spec.name, domain=domain.name)
    try:
        volumes = [volume.name for volume in await hypervisor.volumes(spec.pool.name)]
    except NotFound:
        volumes = []
    else:
        for name in {*(name for name in volumes if naming.parse_volume(name)), *known}:
            await hypervisor.delete_volume(spec.pool.name, name)
        _log.info("removed", host=spec.name, volumes=len(volumes))
    await hypervisor.remove_pool(spec.pool.name)
    await hypervisor.remove_network(spec.network.name)
    await hypervisor.remove_filter(spec.filter.name)
    _log.info("removed", host=spec.name, pool=spec.pool.name, network=spec.network.name)
