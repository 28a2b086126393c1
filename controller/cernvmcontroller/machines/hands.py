"""Homes and machines that change hands, or whose server is renamed: in the rows first, all of them at once.

What the hosts have of it follows, whoever ends the controller in between: the sidecars by
`cernvmcontroller.machines.sidecars`, the metadata of domains by `cernvmcontroller.machines.watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmapi.errors import Conflict, Invalid
from cernvmapi.models import Target, VolumeKind
from cernvmcontroller.machines import sidecars
from cernvmcontroller.machines.ledger import changed
from cernvmcontroller.store import machines, volumes
from cernvmcontroller.store.tables import MachineRow, VolumeRow

if TYPE_CHECKING:
    from cernvmapi.models import MachineChange
    from cernvmcontroller.store import Transaction

_OF_A_MACHINE = (VolumeKind.DISK, VolumeKind.SEED)


async def change_machine(tx: Transaction, row: MachineRow, request: MachineChange) -> None:
    """Give a machine, with its home, to somebody else, or to another server of theirs; who calls tells it.

    Raises
    ------
    Invalid
        It serves no hub server.
    Conflict
        The server has another machine or another home.
    """
    owner = row.owner if request.owner is None else request.owner
    server = row.server_name if request.server_name is None else request.server_name
    if request.server_name is not None and not row.notebook:
        raise Invalid("The machine serves no hub server: leave server_name out.")
    if row.notebook and owner is not None and server is not None:
        there = await machines.find_server(tx.session, owner, server)
        if there is not None and there.id != row.id:
            raise Conflict(f"The server has the machine {there.id} already; delete one of the two first.")
    home = await tx.session.get(VolumeRow, row.home) if row.home is not None else None
    if home is not None:
        account = request.owner_id or home.owner_id
        await change_home(tx, home, owner, home.server_name if server is None else server, account)
    await _rename(tx, row, owner, server)


async def change_home(
    tx: Transaction, home: VolumeRow, owner: str | None, server: str | None, account: str | None
) -> list[str]:
    """Write down whose a home is from now on; the machines that use it go with it.

    Returns
    -------
    list of str
        Ids of those machines, whose domains have to tell it too.

    Raises
    ------
    Conflict
        The server has another home.
    """
    there = await volumes.home(tx.session, owner or "", server or "")
    if there is not None and there.id != home.id:
        raise Conflict(f"The server has the home {there.id} already; delete one of the two first.")
    if (home.owner, home.server_name, home.owner_id) == (owner, server, account):
        return []
    home.owner, home.server_name, home.owner_id = owner, server, account
    await volumes.changed(tx, home)
    await sidecars.begin(tx, home)
    query = select(MachineRow).where(MachineRow.home == home.id, MachineRow.target != Target.DELETED)
    moved = []
    for row in await tx.session.scalars(query):
        if (row.owner, row.server_name) != (owner, server):
            await _rename(tx, row, owner, server if row.notebook else row.server_name)
            await changed(tx, row)
            moved.append(row.id)
    return moved


async def _rename(tx: Transaction, row: MachineRow, owner: str | None, server: str | None) -> None:
    row.owner, row.server_name = owner, server
    query = select(VolumeRow).where(VolumeRow.machine == row.id, VolumeRow.kind.in_(_OF_A_MACHINE))
    for volume in await tx.session.scalars(query):
        volume.owner, volume.server_name = owner, server
        await volumes.changed(tx, volume)
