"""Hosts as administrators attach, test, change and detach them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select

from cernvmapi.errors import CernVMError, Conflict, HostUnreachable
from cernvmapi.hosts import HostAttach, HostChange, HostReport, HostTest, SeenDomain
from cernvmapi.models import VolumeKind
from cernvmcontroller.inventory import register
from cernvmcontroller.inventory.hostspec import refuse_overlap, refuse_private_pool
from cernvmcontroller.store import inventory as rows
from cernvmcontroller.store import machines, volumes
from cernvmcontroller.store.tables import HostRow, MachineRow, PoolHostRow, VolumeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmapi.models import Host
    from cernvmcontroller.hypervisor.interface import DomainState, Hypervisor
    from cernvmcontroller.inventory.hostspec import HostSpec
    from cernvmcontroller.inventory.inventory import Inventory
    from cernvmcontroller.store import Actor, Store, Transaction

_PATIENCE = 15.0
"""Seconds that a test of a connection takes at most, and that attaching waits for a first answer."""

_TESTS_AT_ONCE = 4
"""A thread that waits for a silent host cannot be ended: no more of them at a time."""

_HOW = {"uris", "credentials", "level", "reached"}
"""What is changed of attached hosts only: how they are reached, and what for."""

_SHOWN = {"name", "maintenance", "labels", "notes", "address"}


class Hosts:
    """What is done with hosts; `Inventory` has them.

    Parameters
    ----------
    store
        Where they are listed.
    inventory
        Has their connections.
    hub_id
        Tells this hub's domains from others.
    """

    def __init__(self, store: Store, inventory: Inventory, hub_id: str) -> None:
        self._hub_id = hub_id
        self._store = store
        self._inventory = inventory
        self._testing = asyncio.Semaphore(_TESTS_AT_ONCE)

    async def test(self, request: HostTest) -> HostReport:
        """Connect, look and disconnect; why nothing answers is an answer too.

        Raises
        ------
        Invalid
            The credentials cannot be used.
        """
        spec = self._inventory.spec(
            HostAttach(name="tested", uris=[request.uri], credentials=request.credentials)
        )
        async with self._testing:
            hypervisor = self._inventory.open(spec.uri)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await hypervisor.open()
                    return await _report(hypervisor, spec)
            except TimeoutError:
                return HostReport(reachable=False, reason=f"It did not answer within {_PATIENCE:g} s.")
            except CernVMError as error:
                return HostReport(reachable=False, reason=error.detail)
            finally:
                await hypervisor.close()

    async def look(self, host_id: str) -> HostReport:
        """Return what there is on a host now, whoever made it.

        Raises
        ------
        HostUnreachable
            It does not answer.
        """
        async with self._store.read() as session:
            await rows.host(session, host_id)
        link = self._inventory.link(host_id)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await _report(link.hypervisor, link.spec)
        except TimeoutError:
            raise HostUnreachable(f"The host {host_id} did not answer within {_PATIENCE:g} s.") from None

    async def domains(self, host_id: str) -> list[SeenDomain]:
        """Return all domains of a host now, by name, those too that this hub did not make.

        Raises
        ------
        HostUnreachable
            It does not answer.
        """
        async with self._store.read() as session:
            await rows.host(session, host_id)
        link = self._inventory.link(host_id)
        found = await link.hypervisor.domains()
        return [_seen(each, self._hub_id) for each in sorted(found, key=lambda each: each.name)]

    async def attach(self, actor: Actor, request: HostAttach) -> Host:
        """Take a host in and return it as it is after the first attempt to connect.

        One that does not answer is kept: it is connected to when it does.

        Raises
        ------
        Conflict
            There is a host of that name, or it would have what another host has for itself.
        Invalid
            Its credentials or its subnet cannot be used.
        """
        spec = self._inventory.spec(request)
        details = {"uri": spec.shown_uri, "credentials": request.credentials, "level": spec.level.value}
        async with self._store.write(actor, "host.attach", f"host/{spec.name}", details=details) as tx:
            known = await tx.session.get(HostRow, spec.name)
            if spec.name in self._inventory.specs or (known is not None and known.attached is not None):
                raise Conflict(f"There is a host {spec.name} already; choose another name.")
            await _refuse_name(tx, spec.name, spec.name)
            self._refuse_clash(spec)
            await register.enter(tx, spec, request)
            await register.exist(tx, {**self._inventory.specs, spec.name: spec})
        return await self._joined(spec)

    async def change(self, actor: Actor, host_id: str, request: HostChange) -> Host:
        """Change what is given.

        Raises
        ------
        Conflict
            The configuration says it, or the name is another host's.
        """
        given = {name: getattr(request, name) for name in request.__struct_fields__}
        changes = {name: value for name, value in given.items() if value is not None}
        async with self._store.write(actor, "host.change", f"host/{host_id}") as tx:
            row = await rows.host(tx.session, host_id)
            tx.details.update(msgspec.to_builtins({**changes, "notes": "notes" in changes}))
            if request.name is not None:
                await _refuse_name(tx, host_id, request.name)
            _refuse_configured(row, request, changes)
            spec = self._reached_otherwise(row, changes)
            for name in _SHOWN & changes.keys():
                setattr(row, name, changes[name])
            if row.configured is not None:
                row.labels = row.labels | row.configured["labels"]
            if spec is not None:
                row.uris, row.level, row.reached = [spec.shown_uri], spec.level, spec.reached
                await register.exist(tx, {**self._inventory.specs, host_id: spec})
            await tx.session.flush()
            tx.emit("host.changed", f"host/{host_id}", None, await rows.host_model(tx.session, host_id))
        if spec is None:
            return await self._inventory.host(host_id)
        link = self._inventory.part(host_id)
        if link is not None:
            await link.close()
        return await self._joined(spec)

    def _reached_otherwise(self, row: HostRow, changes: dict[str, Any]) -> HostSpec | None:
        """Note how an attached host is reached from now on; None where that stays as it is."""
        if row.attached is None:
            return None
        kept = {name: value for name, value in changes.items() if name != "name"}
        row.attached = msgspec.structs.replace(row.attached, **kept)
        if not _HOW & changes.keys():
            return None
        spec = self._inventory.spec(row.attached)
        self._refuse_clash(spec)
        return spec

    async def detach(self, actor: Actor, host_id: str, *, forget: bool) -> None:
        """Let a host go; what is on it stays there.

        Parameters
        ----------
        forget
            Also with machines and homes, of a host that does not answer and never will: they are no longer
            known. Should it come back and be attached again, they are found again.

        Raises
        ------
        Conflict
            The configuration has it; machines or homes are on it; or it answers and shall be forgotten.
        """
        if host_id in self._inventory.configured:
            raise Conflict(
                f"The host {host_id} comes from the configuration: take it out there, and restart the "
                "controller."
            )
        async with self._store.write(actor, "host.detach", f"host/{host_id}") as tx:
            row = await rows.host(tx.session, host_id)
            placed = await machines.on_host(tx.session, host_id)
            homes = await _homes_only_on(tx, host_id)
            tx.details.update(
                forget=forget, machines=[each.id for each in placed], homes=[each.id for each in homes]
            )
            _refuse_loss(row, placed, homes, forget=forget, alive=self._inventory.alive(host_id))
            for machine in placed:
                await machines.remove(tx, machine)
            for home in homes:
                await volumes.remove(tx, home)
            await rows.forget_host(tx, row)
        link = self._inventory.part(host_id)
        if link is not None:
            await link.close()

    async def _joined(self, spec: HostSpec) -> Host:
        link = self._inventory.join(spec)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await link.tried.wait()
        return await self._inventory.host(spec.name)

    def _refuse_clash(self, spec: HostSpec) -> None:
        refuse_private_pool(spec, self._inventory.specs.values())
        refuse_overlap(spec, self._inventory.specs.values())


def _seen(state: DomainState, hub_id: str) -> SeenDomain:
    told = state.metadata
    ours = told is not None and told.hub_id == hub_id
    return SeenDomain(
        uuid=state.uuid,
        name=state.name,
        power=state.power,
        reason=state.reason,
        machine=told.machine_id if ours and told is not None else None,
        foreign=not ours,
    )


async def _report(hypervisor: Hypervisor, spec: HostSpec) -> HostReport:
    about, there = await hypervisor.capabilities(), await hypervisor.survey()
    return HostReport(
        reachable=True,
        reason=spec.why_not_more,
        level=spec.level,
        hostname=about.hostname,
        arch=about.arch,
        cpu_model=about.cpu_model,
        cpu_features=sorted(about.cpu_features),
        cpus=about.cpus,
        memory_mib=about.memory_mib,
        memory_free_mib=there.memory_free_mib,
        domains=there.domains,
        running=there.running,
        domain_types=sorted(about.domain_types),
        libvirt_version=about.libvirt_version,
        hypervisor_version=about.hypervisor_version,
        pools=list(there.pools),
        networks=list(there.networks),
    )


async def _refuse_name(tx: Transaction, host_id: str, name: str) -> None:
    """Raise `Conflict` where a name is another host's name or id: one could be taken for the other."""
    others = select(func.count()).where(HostRow.id != host_id, (HostRow.name == name) | (HostRow.id == name))
    if await tx.session.scalar(others):
        raise Conflict(f"There is a host {name} already; choose another name.")


def _refuse_configured(row: HostRow, request: HostChange, changes: dict[str, Any]) -> None:
    """Raise `Conflict` where the configuration says what shall be changed."""
    how = sorted(_HOW & changes.keys())
    if how and row.attached is None:
        raise Conflict(
            f"{' and '.join(how)} of the host {row.name} come from the configuration: change them there and "
            "restart the controller."
        )
    said = row.configured or {}
    if request.maintenance is False and said.get("maintenance"):
        raise Conflict(f"The configuration says that the host {row.name} is in maintenance: change it there.")
    for key, value in said.get("labels", {}).items():
        if request.labels is not None and request.labels.get(key, value) != value:
            raise Conflict(f"The label {key} of the host {row.name} comes from the configuration.")


def _refuse_loss(
    row: HostRow, placed: Sequence[MachineRow], homes: Sequence[VolumeRow], *, forget: bool, alive: bool
) -> None:
    if not placed and not homes:
        return
    what = f"{len(placed)} machines and {len(homes)} homes are on the host {row.name}"
    if not forget:
        raise Conflict(
            f"{what}: delete them or move them first. Where it never answers again, say that they shall be "
            "forgotten."
        )
    if alive:
        raise Conflict(f"{what}, and it answers: they are not forgotten. Delete them or move them first.")


async def _homes_only_on(tx: Transaction, host_id: str) -> Sequence[VolumeRow]:
    """Return the homes that no other host reaches."""
    elsewhere = select(PoolHostRow.pool_id).where(PoolHostRow.host_id != host_id)
    here = select(PoolHostRow.pool_id).where(PoolHostRow.host_id == host_id)
    query = select(VolumeRow).where(
        VolumeRow.kind == VolumeKind.HOME, VolumeRow.pool.in_(here), VolumeRow.pool.not_in(elsewhere)
    )
    return (await tx.session.scalars(query)).all()
