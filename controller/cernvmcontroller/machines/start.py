"""A start: idempotent steps, each persisted before it is done, so that it can be gone on with after any."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, ClassVar

from cernvmapi.errors import Conflict, NotFound, StartFailed
from cernvmapi.models import OperationStatus, Phase, Power, Status, Target, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.context import NetworkIdentity, compose, seed_image
from cernvmcontroller.definitions.merge import merged
from cernvmcontroller.guests.verdict import refuse_ended, refuse_mismatch
from cernvmcontroller.hypervisor.domainxml import build
from cernvmcontroller.hypervisor.lifecycle import SAVED
from cernvmcontroller.hypervisor.specs import DomainSpec, MachineMetadata, VolumeRef
from cernvmcontroller.machines.homebringing import bring
from cernvmcontroller.machines.ledger import finish_operations, mark
from cernvmcontroller.machines.reach import reach
from cernvmcontroller.store import definitions, operations, volumes
from cernvmcontroller.store.tables import MachineRow, VolumeRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cernvmcontroller.guests.agentlink import AgentLink
    from cernvmcontroller.hypervisor.interface import VolumeState
    from cernvmcontroller.machines.job import Job
    from cernvmcontroller.machines.uploads import Upload
    from cernvmcontroller.machines.workshop import Workshop

_MIB = 1024 * 1024

AGENT_PHASES: dict[str, tuple[Phase, str, int]] = {
    "context": (Phase.CONTEXT, "The machine reads its context", 66),
    "home": (Phase.CONTEXT, "Your home is attached", 70),
    "server": (Phase.SERVER, "The notebook server starts", 78),
}


class Start:
    """One attempt at a start.

    Parameters
    ----------
    workshop
        What it works with.
    row
        The machine as it was when the attempt began; what changes is read again.
    job
        Wakes and interrupts it.
    """

    def __init__(self, workshop: Workshop, row: MachineRow, job: Job) -> None:
        self.shop = workshop
        self.row = row
        self.job = job
        self.host = workshop.inventory.link(row.host)
        self.hypervisor = self.host.hypervisor
        self.pool = self.host.spec.pool.name
        self.base: VolumeState | None = None
        self.disk: VolumeState | None = None
        self.home: VolumeState | None = None
        self.layer: VolumeState | None = None
        self.seed: VolumeState | None = None

    async def run(self) -> None:
        """Do what is left to do until the machine runs and, if it serves a notebook, its server answers."""
        await self.job.until(self.host.slots.acquire())
        try:
            for name, phase, message, progress, step in self.MAKE:
                await self._enter(name, phase, message, progress)
                await step(self)
        finally:
            self.host.slots.release()
        for name, phase, message, progress, step in self.TALK:
            await self._enter(name, phase, message, progress)
            await step(self)
        await self._done()

    # --- steps: what the machine is made of ---

    async def _base(self) -> None:
        try:
            manifest = self.shop.repository.choose(self.row.appliance)
        except NotFound:
            if await self.hypervisor.volume(self.pool, naming.disk_volume(self.row.id)) is None:
                raise
            return  # the appliance is offered no more, but the machine has its disk, on a base of its own
        upload = self.shop.uploads.base(
            self.host, manifest, lambda: self.shop.repository.image(self.row.appliance)
        )
        self.base = await self._uploaded(upload, "The appliance is copied to the host")

    async def _disk(self) -> None:
        name = naming.disk_volume(self.row.id)
        await self._remember(VolumeKind.DISK, name, self.row.disk_mib)
        capacity = max(self.row.disk_mib * _MIB, self.base.capacity if self.base else 0)
        self.disk = await self.hypervisor.create_volume(
            self.pool, name, capacity=capacity, format="qcow2", backing=self.base, backing_format="qcow2"
        )

    async def _home(self) -> None:
        if self.row.home is None:
            return
        async with self.shop.ledger.change(self.row.id, status=Status.STARTING) as (tx, _):
            home = await volumes.get(tx.session, self.row.home)
            try:
                await volumes.attach(tx, home, self.row.id)
            except Conflict:
                raise Conflict(
                    f"Your home is in use by the machine {home.machine}; stop that one first: two "
                    "machines that write one disk destroy it."
                ) from None
        home = await bring(self, home)
        await self.shop.sidecars.write(home.id, self.hypervisor)
        self.home = await self.hypervisor.create_volume(
            home.pool, home.name, capacity=home.capacity_mib * _MIB, format="qcow2"
        )
        if home.allocation_mib is None:
            # From now on a home that is not in its pool was lost, and is not one that was never made.
            async with self.shop.ledger.change(self.row.id, status=Status.STARTING) as (tx, _):
                made = await volumes.get(tx.session, home.id)
                made.allocation_mib = self.home.allocation // _MIB
                await volumes.changed(tx, made)

    async def _layer(self) -> None:
        path = self.shop.settings.layer
        if path is not None and self.shop.has_agent(self.row):
            self.layer = await self._uploaded(
                await self.shop.uploads.layer(self.host, path), "The hub's own layer is copied to the host"
            )

    async def _seed(self) -> None:
        dialects = (await self.shop.repository.appliance(self.row.appliance)).context
        if not dialects:
            return
        network = self.host.spec.network
        context = compose(
            machine_id=self.row.id,
            network=NetworkIdentity(
                mac=self.row.mac or "",
                address=self.row.address or "",
                prefix=IPv4Network(network.cidr).prefixlen,
                gateway=str(network.gateway),
                nameservers=(str(network.gateway),),
            ),
            site=self.shop.settings.context,
        )
        name = naming.seed_volume(self.row.id)
        image = await asyncio.to_thread(seed_image, context, dialects)
        await self._remember(VolumeKind.SEED, name, 1)
        self.seed = await self.hypervisor.upload_volume(self.pool, name, image, format="raw")

    async def _define(self) -> None:
        row = self.row
        acceleration = await self.job.until(asyncio.shield(self.host.acceleration))
        async with self.shop.ledger.change(row.id, status=Status.STARTING) as (tx, current):
            current.acceleration = acceleration
            own = await definitions.own(tx.session, row.id)
        assert self.disk is not None
        # Machines outlive their appliances: what was taken out of the configuration is still listed.
        appliance = await self.shop.repository.appliance(row.appliance)
        base = self.disk.backing or (self.base.path if self.base else None)
        spec = DomainSpec(
            name=self.shop.domain_name(row.id),
            uuid=row.uuid,
            title=row.name,
            metadata=MachineMetadata(
                hub_id=self.shop.hub_id,
                machine_id=row.id,
                owner=row.owner,
                server_name=row.server_name,
                appliance=row.appliance,
                flavor=row.flavor,
                cluster=row.cluster,
                network=row.network,
                address=row.address,
                home=row.home,
                notebook=row.notebook,
                port=row.port,
                revision=row.revision,
            ),
            domain_type=acceleration,
            vcpus=row.vcpus,
            memory_mib=row.memory_mib,
            root=VolumeRef(self.disk.path, "qcow2", ((base, "qcow2"),) if base else ()),
            network=self.host.spec.network.name,
            mac=row.mac or "",
            address=row.address or "",
            filter=self.host.spec.filter.name,
            hardware=appliance.hardware,
            seed=self.seed.path if self.seed else None,
            home=VolumeRef(self.home.path) if self.home else None,
            layer=self.layer.path if self.layer else None,
            bandwidth=self.host.spec.bandwidth,
        )
        xml = build(spec)
        await self.hypervisor.define(merged(own, xml) if own is not None else xml)

    async def _create(self) -> None:
        state = await self.hypervisor.domain(self.row.uuid)
        if state is None or state.power is Power.OFF:
            await self.shop.leave(self.row.id)
            self.shop.consoles.restart(self.row.id)
            if state is not None and state.reason == SAVED and not self.row.stored:
                await self.hypervisor.discard(self.row.uuid)
            await self.hypervisor.start(self.row.uuid)
        elif state.power is Power.PAUSED:
            raise StartFailed(
                f"The machine is paused on its host ({state.reason}); power it off and start it again."
            )
        async with self.shop.ledger.change(self.row.id, status=Status.STARTING) as (_, current):
            current.power, current.stored = Power.ON, False
        self.shop.follow(self.row, self.host)

    # --- steps: what is said to it ---

    async def _agent(self) -> None:
        link = self.shop.follow(self.row, self.host)
        if link is None:
            return

        async def there() -> bool | None:
            await self._still_on()
            refuse_mismatch(link, self.row.appliance_title)
            return True if link.connected else None

        if await self._look(there, self.shop.settings.boot_timeout) is None:
            raise StartFailed(
                f"The machine did not come up within {self.shop.settings.boot_timeout:g} seconds: its agent "
                "never answered. The end of its console says how far it came; try again, or ask an "
                "administrator."
            )

    async def _session(self) -> None:
        if not self.row.notebook:
            return
        link = self._link()

        async def delivered() -> bool | None:
            await self._still_on()
            refuse_mismatch(link, self.row.appliance_title)
            if not link.connected:
                return None
            held = self.shop.sessions.get(self.row.id)
            if held is None:
                if await self._has_session(link):
                    return True
                await self._await_session(waits=True)
                return None
            await self._await_session(waits=False, session_id=held.id, port=held.session.port)
            if link.session == held.id and link.state != "waiting":
                return True
            try:
                refused = await self.shop.deliver(self.row, link, held)
            except ConnectionError:
                return None  # the link is re-made, and then it is delivered again
            if refused is not None:
                raise StartFailed(f"The machine did not take its session: {refused}")
            return True

        if await self._look(delivered, self.shop.settings.session_timeout) is None:
            raise StartFailed(
                "The machine is up and waits for its session, which nobody sent within "
                f"{self.shop.settings.session_timeout:g} seconds. Start it from the hub."
            )

    async def _ready(self) -> None:
        if not self.row.notebook:
            return
        link = self._link()

        async def ready() -> bool | None:
            await self._still_on()
            refuse_mismatch(link, self.row.appliance_title)
            held = self.shop.sessions.get(self.row.id)
            if held is not None and link.connected and link.session != held.id:
                # The agent began anew, or the hub sent another session.
                await self._session()
            refuse_ended(link)
            if link.phase is not None and link.phase.phase in AGENT_PHASES:
                phase, message, progress = AGENT_PHASES[link.phase.phase]
                await self.tell(phase, message, progress)
            return True if link.state == "ready" and link.session is not None else None

        if await self._look(ready, self.shop.settings.server_timeout) is None:
            raise StartFailed(
                "The machine is up, and its notebook server did not answer within "
                f"{self.shop.settings.server_timeout:g} seconds. The end of the console says more; "
                "try again, or choose a larger flavor."
            )

    async def _reach(self) -> None:
        if not self.row.notebook:
            return
        link = self._link()

        async def goes_on() -> None:
            await self._still_on()
            refuse_ended(link)

        await reach(self.shop, self.row, self.host, self.job, goes_on)

    MAKE: ClassVar[tuple[tuple[str, Phase, str, int, Callable[[Start], Awaitable[None]]], ...]] = (
        ("base", Phase.DISK, "The appliance is brought to the host", 8, _base),
        ("disk", Phase.DISK, "The machine's disk is made", 20, _disk),
        ("home", Phase.DISK, "Your home is made ready", 22, _home),
        ("layer", Phase.DISK, "The machine's software is made ready", 24, _layer),
        ("seed", Phase.DISK, "The machine's context is written", 26, _seed),
        ("define", Phase.DISK, "The machine is put together", 28, _define),
        ("create", Phase.BOOT, "The machine is switched on", 30, _create),
    )
    TALK: ClassVar[tuple[tuple[str, Phase, str, int, Callable[[Start], Awaitable[None]]], ...]] = (
        ("agent", Phase.BOOT, "The machine boots", 34, _agent),
        ("session", Phase.CONTEXT, "The machine is up and gets its session", 64, _session),
        ("ready", Phase.CONTEXT, "The machine gets ready for you", 68, _ready),
        ("reach", Phase.SERVER, "The notebook server is looked for", 95, _reach),
    )

    # --- what the steps share ---

    async def _enter(self, step: str, phase: Phase, message: str, progress: int) -> None:
        self.job.checkpoint()
        await self.tell(phase, message, progress, step)

    async def tell(self, phase: Phase, message: str, progress: int, step: str | None = None) -> None:
        """Write down how far the start is."""
        change = self.shop.ledger.change(self.row.id, status=Status.STARTING, target=Target.RUNNING)
        async with change as (tx, row):
            row.step = step or row.step
            if mark(row, phase, message, progress):
                for operation in await operations.running(tx.session, f"machine/{row.id}"):
                    await operations.progress(tx, operation, row.progress, message)

    async def _done(self) -> None:
        link = self.shop.links.get(self.row.id)
        change = self.shop.ledger.change(self.row.id, status=Status.STARTING, target=Target.RUNNING)
        async with change as (tx, row):
            row.status, row.step, row.attempts, row.error, row.awaiting_session = (
                Status.RUNNING,
                None,
                0,
                None,
                False,
            )
            row.power = Power.ON
            if row.notebook and link is not None:
                row.session_id = link.session
            mark(
                row, Phase.READY, "Your notebook server answers" if row.notebook else "The machine runs", 100
            )
            await finish_operations(tx, row, OperationStatus.SUCCEEDED)

    async def _uploaded(self, upload: Upload, message: str) -> VolumeState:
        assert upload.task is not None
        shown = 0
        while True:
            done, _ = await self.job.until(asyncio.wait({upload.task}, timeout=1))
            if done:
                return upload.task.result()
            if upload.percent > shown:
                shown = upload.percent
                await self.tell(Phase.DISK, f"{message}: {shown} %", 8 + shown // 10)

    async def _remember(self, kind: VolumeKind, name: str, capacity_mib: int) -> None:
        """Persist that a volume will exist, so that it can be found and removed whatever happens next."""
        async with self.shop.ledger.change(self.row.id, status=Status.STARTING) as (tx, row):
            if await volumes.by_name(tx.session, self.pool, name) is None:
                await volumes.add(
                    tx,
                    VolumeRow(
                        id=naming.new_id("v"),
                        kind=kind,
                        name=name,
                        pool=self.pool,
                        owner=row.owner,
                        server_name=row.server_name,
                        capacity_mib=capacity_mib,
                        machine=row.id,
                        created=datetime.now(UTC),
                    ),
                )

    async def _look(self, check: Callable[[], Awaitable[bool | None]], seconds: float) -> bool | None:
        return await self.job.look(check, seconds, self.shop.settings.wait_interval)

    async def _still_on(self) -> None:
        """Notice a machine that died while it was waited for."""
        state = await self.hypervisor.domain(self.row.uuid)
        if state is None:
            raise StartFailed("The machine vanished from its host while it started; start it again.")
        if state.power is Power.OFF:
            raise StartFailed(
                f"The machine went off while it started ({state.reason}). The end of its console says "
                "how far it came."
            )
        if state.power is Power.PAUSED:
            raise StartFailed(
                f"The host paused the machine while it started ({state.reason}): its storage may be full. "
                "Ask an administrator."
            )

    def _link(self) -> AgentLink:
        link = self.shop.follow(self.row, self.host)
        assert link is not None
        return link

    async def _has_session(self, link: AgentLink) -> bool:
        """Whether the agent has the session that it was given before this controller was restarted."""
        row = await self.shop.ledger.get(self.row.id)
        return (
            row is not None
            and row.session_id is not None
            and link.session == row.session_id
            and link.state in ("starting", "ready")
        )

    async def _await_session(
        self, *, waits: bool, session_id: str | None = None, port: int | None = None
    ) -> None:
        async with self.shop.ledger.change(self.row.id, status=Status.STARTING) as (_, row):
            row.awaiting_session = waits
            row.session_id = session_id or row.session_id
            row.port = port or row.port
