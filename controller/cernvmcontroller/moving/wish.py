"""What a machine that is somewhere needs of another host: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmcontroller.placement import Overcommit, Wish

if TYPE_CHECKING:
    from cernvmapi.models import Appliance
    from cernvmcontroller.store.tables import MachineRow


def elsewhere(
    row: MachineRow,
    appliance: Appliance,
    overcommit: Overcommit,
    *,
    leaves: str,
    home_hosts: frozenset[str] | None,
) -> Wish:
    """Return what every machine needs that goes from one host to another.

    Parameters
    ----------
    leaves
        Id of the host that it is on.
    home_hosts
        Ids of the hosts that reach what is not brought along; None where all of it is.
    """
    return Wish(
        # One that is off needs no room before it starts again.
        vcpus=row.vcpus if row.promised else 1,
        memory_mib=row.memory_mib if row.promised else 0,
        disk_mib=row.disk_mib,
        arch=appliance.arch,
        notebook=row.notebook,
        base=appliance.sha256,
        cluster=row.cluster,
        home_hosts=home_hosts,
        keeps_address=True,
        leaves=leaves,
        network=row.network,
        overcommit=overcommit,
    )
