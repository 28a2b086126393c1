"""How a machine comes into being: checked, placed and given an address and a home, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, ForeignHome, Invalid, NoRoom
from cernvmapi.models import Appliance, Flavor, Machine, MachineCreate, Status, Target, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.machines import hands, quota
from cernvmcontroller.machines.ledger import changed, to_model
from cernvmcontroller.machines.volumes import deletion
from cernvmcontroller.placement import Wish, choose
from cernvmcontroller.store import (
    Actor,
    Store,
    Transaction,
    addresses,
    clusters,
    inventory,
    machines,
    volumes,
)
from cernvmcontroller.store.tables import MachineRow, VolumeRow

if TYPE_CHECKING:
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.workshop import Workshop


class Birth:
    """Makes machines."""

    def __init__(self, store: Store, workshop: Workshop) -> None:
        self._store = store
        self._shop = workshop

    async def create(self, actor: Actor, request: MachineCreate, owner: str | None) -> tuple[Machine, bool]:
        """Return the machine and whether it is new.

        Raises
        ------
        NotFound
            There is no such appliance, flavor or cluster.
        Invalid
            The appliance cannot be what is asked for.
        Conflict
            The server has a machine of another kind, or its home is in use.
        ForeignHome
            The home of that name is another account's.
        NoRoom
            No host can take it.
        """
        machine, new = await self._create(actor, request, owner)
        if machine.home is not None:
            # It may have changed hands: what is beside it says so, and so does the domain that was there.
            await self._shop.sidecars.go_on(machine.home)
        if not new:
            self._shop.poke(machine.id)
        return machine, new

    async def _create(self, actor: Actor, request: MachineCreate, owner: str | None) -> tuple[Machine, bool]:
        appliance = self._shop.repository.choose(request.appliance).appliance
        flavor = self._shop.inventory.flavor(request.flavor)
        _check(request, owner, appliance, flavor)
        await self._shop.inventory.settled()
        machine_id = naming.new_id("m")
        details = {
            "appliance": appliance.id,
            "flavor": flavor.id,
            "owner": owner,
            "server": request.server_name,
        }
        subject = f"machine/{machine_id}"
        async with self._store.write(actor, "machine.create", subject, details=details) as tx:
            home = await self._own_home(tx, request, owner)
            if request.notebook and owner is not None and request.server_name is not None:
                there = await machines.find_server(tx.session, owner, request.server_name)
                if there is not None:
                    return _same(there, request, appliance, flavor), False
            row = self._row(machine_id, request, owner, appliance, flavor)
            await self._refuse_home_in_use(tx, home)
            await quota.check(tx.session, self._shop.settings.quota, row, new=True)
            host = await self._place(tx, row, request, appliance, home)
            tx.session.add(row)
            await inventory.promise(tx, row, host.id)
            if row.cluster is not None:
                await clusters.add_machine(tx, row.cluster, row.id)
            network = host.spec.network
            others = self._shop.strangers.addresses(network.name)
            index = await addresses.claim(tx, network.name, row.id, avoid=others)
            row.network, row.address, row.mac = network.name, str(network.address(index)), network.mac(index)
            row.hypervisor, row.acceleration = host.spec.shown_uri, host.known_acceleration()
            if request.home:
                home = home or await self._new_home(tx, row, request, host)
                row.home = home.id
            return await changed(tx, row), True

    def _row(
        self, machine_id: str, request: MachineCreate, owner: str | None, appliance: Appliance, flavor: Flavor
    ) -> MachineRow:
        server = f"{owner}/{request.server_name}" if request.server_name else owner
        return MachineRow(
            id=machine_id,
            name=request.name or (server if request.notebook else None) or machine_id,
            owner=owner,
            server_name=request.server_name,
            notebook=request.notebook,
            appliance=appliance.id,
            appliance_title=appliance.title,
            flavor=flavor.id,
            vcpus=request.vcpus or flavor.vcpus,
            memory_mib=request.memory_mib or flavor.memory_mib,
            disk_mib=max(flavor.disk_mib, appliance.virtual_size_mib),
            cluster=request.cluster,
            apart=request.apart,
            uuid=naming.domain_uuid(self._shop.hub_id, machine_id),
            port=self._shop.settings.port if request.notebook else None,
            status=Status.PENDING,
            target=Target.STOPPED,
            labels=request.labels,
            notes=request.notes,
        )

    async def _place(
        self,
        tx: Transaction,
        row: MachineRow,
        request: MachineCreate,
        appliance: Appliance,
        home: VolumeRow | None,
    ) -> HostLink:
        if request.cluster is not None:
            await clusters.get(tx.session, request.cluster)
        away = frozenset[str]()
        if request.apart is not None:
            away = await inventory.with_group(tx.session, row.owner, request.apart)
        reach = None
        if home is not None:
            pool = await inventory.pool(tx.session, home.pool)
            reach = frozenset(there.host_id for there in pool.hosts)
        wish = Wish(
            vcpus=row.vcpus,
            memory_mib=row.memory_mib,
            disk_mib=row.disk_mib,
            arch=appliance.arch,
            host_arch=request.arch,
            cpu_features=frozenset(request.cpu_features),
            labels=request.host_labels,
            notebook=request.notebook,
            base=appliance.sha256,
            host=request.host,
            cluster=request.cluster,
            away_from=away,
            home_hosts=reach,
            overcommit=self._shop.settings.overcommit,
        )
        candidates = await self._shop.inventory.candidates(
            tx.session, self._shop.settings.reserved_memory_mib
        )
        try:
            choice = choose(candidates, wish, self._shop.settings.policy)
        except NoRoom:
            # A home goes where there is room, as long as a host that has it answers.
            if home is None or not self._shop.inventory.reaches(home.pool):
                raise
            wish = replace(wish, home_hosts=None, brings_mib=home.allocation_mib or 0)
            choice = choose(candidates, wish, self._shop.settings.policy)
            tx.details["brings_home"] = home.id
        tx.details["host"], tx.details["weights"] = choice.hosts[0].id, choice.weights[0]
        return self._shop.inventory.links[choice.hosts[0].id]

    async def _own_home(self, tx: Transaction, request: MachineCreate, owner: str | None) -> VolumeRow | None:
        """Return the home of the server, which goes with the account, not with its name."""
        if not request.home or owner is None:
            return None
        server = request.server_name or ""
        home = await volumes.home(tx.session, owner, server)
        if home is None and request.owner_id is not None:
            home = await volumes.home_of_account(tx.session, request.owner_id, server)
        if home is None:
            return None
        if home.owner_id not in {None, request.owner_id} and not request.adopt_home:
            raise ForeignHome(
                f"There is the home {home.id} of another account with the name {owner}, as of a user who was "
                "deleted. An administrator hands it over or deletes it; until then no server with a home can "
                "start here."
            )
        await hands.change_home(tx, home, owner, home.server_name, request.owner_id or home.owner_id)
        return home

    async def _refuse_home_in_use(self, tx: Transaction, home: VolumeRow | None) -> None:
        if home is not None and home.machine is not None:
            raise Conflict(f"The home is in use by the machine {home.machine}; stop that one first.")
        if home is not None and await deletion(tx.session, home.id) is not None:
            raise Conflict("The home is being deleted; try again in a moment: then you get a new one.")

    async def _new_home(
        self, tx: Transaction, row: MachineRow, request: MachineCreate, host: HostLink
    ) -> VolumeRow:
        volume_id = naming.new_id("v")
        home = VolumeRow(
            id=volume_id,
            kind=VolumeKind.HOME,
            name=naming.home_volume(volume_id),
            pool=host.spec.pool.name,
            owner=row.owner,
            server_name=request.server_name or "",
            owner_id=request.owner_id,
            capacity_mib=request.home_mib or self._shop.settings.home_mib,
            created=datetime.now(UTC),
        )
        await volumes.add(tx, home)
        return home


def _same(there: MachineRow, request: MachineCreate, appliance: Appliance, flavor: Flavor) -> Machine:
    """Return the machine that a server has already, if it is what is asked for."""
    asked = (appliance.id, flavor.id, request.vcpus or flavor.vcpus, request.memory_mib or flavor.memory_mib)
    if (there.appliance, there.flavor, there.vcpus, there.memory_mib) != asked:
        raise Conflict(
            f"The server has the machine {there.id} already, with the appliance {there.appliance} "
            "and the flavor "
            f"{there.flavor}. Delete it first: the home stays."
        )
    return to_model(there)


def _check(request: MachineCreate, owner: str | None, appliance: Appliance, flavor: Flavor) -> None:
    """Refuse what cannot work, before anything is reserved."""
    vcpus, memory = request.vcpus or flavor.vcpus, request.memory_mib or flavor.memory_mib
    if memory < appliance.min_memory_mib:
        raise Invalid(
            f"{appliance.title} needs {appliance.min_memory_mib} MiB of memory and gets {memory}; "
            "choose a larger flavor."
        )
    if vcpus < appliance.min_vcpus:
        raise Invalid(
            f"{appliance.title} needs {appliance.min_vcpus} processors and gets {vcpus}; choose a "
            "larger flavor."
        )
    if request.notebook and (owner is None or request.server_name is None):
        raise Invalid("A machine that serves a notebook needs an owner and a server name.")
    if request.notebook and not (appliance.notebook and appliance.agent_protocol is not None):
        raise Invalid(f"{appliance.title} cannot serve a notebook; choose another appliance.")
    if request.home and owner is None:
        raise Invalid("A home belongs to somebody: name an owner.")
    if request.notebook and request.start:
        raise Invalid("A machine that serves a notebook is started with its session, after it was made.")
