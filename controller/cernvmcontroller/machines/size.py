"""The size of a machine: what it has, and what it gets at its next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, Invalid
from cernvmapi.models import MachineSize, Status

if TYPE_CHECKING:
    from cernvmapi.models import Appliance, Flavor, MachineChange
    from cernvmcontroller.store.tables import MachineRow

_OFF = (Status.PENDING, Status.STOPPED, Status.FAILED)


def asked(row: MachineRow, request: MachineChange, flavor: Flavor | None) -> MachineSize | None:
    """Return the size that a machine shall have; None where nothing is said about it.

    Parameters
    ----------
    flavor
        The one that is named in the request.
    """
    if flavor is None and request.vcpus is None and request.memory_mib is None:
        return None
    now = row.pending or of(row)
    if flavor is not None:
        now = MachineSize(flavor=flavor.id, vcpus=flavor.vcpus, memory_mib=flavor.memory_mib)
    return MachineSize(
        flavor=now.flavor,
        vcpus=request.vcpus or now.vcpus,
        memory_mib=request.memory_mib or now.memory_mib,
    )


def of(row: MachineRow) -> MachineSize:
    """Return the size that a machine has."""
    return MachineSize(flavor=row.flavor, vcpus=row.vcpus, memory_mib=row.memory_mib)


def refuse(row: MachineRow, wanted: MachineSize, appliance: Appliance, host_vcpus: int | None) -> None:
    """Refuse a size that the machine could never start with.

    Raises
    ------
    Invalid
        Its appliance needs more.
    Conflict
        It is locked, or its host has not so many processors.
    """
    if row.lock is not None:
        raise Conflict(f"{row.lock.author} locked the machine: its size stays as it is until it is unlocked.")
    if wanted.memory_mib < appliance.min_memory_mib:
        raise Invalid(f"{appliance.title} needs {appliance.min_memory_mib} MiB of memory at least.")
    if wanted.vcpus < appliance.min_vcpus:
        raise Invalid(f"{appliance.title} needs {appliance.min_vcpus} processors at least.")
    if host_vcpus is not None and wanted.vcpus > host_vcpus:
        raise Conflict(
            f"The machine's host has {host_vcpus} processors, {wanted.vcpus} are asked for: move the machine "
            "first."
        )


def want(row: MachineRow, wanted: MachineSize) -> None:
    """Give a machine a size: at once while it is off, else at its next start."""
    if row.status in _OFF and not row.stored:
        row.pending = wanted
        apply(row)
    else:
        row.pending = None if wanted == of(row) else wanted


def apply(row: MachineRow) -> bool:
    """Let the size that was asked for be the one that the machine has; return whether there was any.

    Memory that is stored goes on with the processors and the memory that it had.
    """
    if row.pending is None or row.stored:
        return False
    row.flavor, row.vcpus, row.memory_mib = row.pending.flavor, row.pending.vcpus, row.pending.memory_mib
    row.pending = None
    return True
