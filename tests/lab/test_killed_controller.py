"""A controller that is killed, alone or with its host, while real guests are created, started and ended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.hosts import Host, hosts
from tests.lab.program import Program
from tests.lab.site import agrees, domains, options, until, volumes

from cernvmapi.errors import CernVMError
from cernvmapi.models import Machine, MachineCreate, OperationStatus, Phase, Power, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.machines

UNDER_WAY = (Status.STARTING, Status.STOPPING, Status.DELETING)


class Killed:
    """A controller that is killed when a machine is at a step.

    Parameters
    ----------
    program
        The controller.
    host
        Its only host.
    chosen
        Its options.
    """

    def __init__(self, program: Program, host: Host, chosen: dict[str, Any]) -> None:
        self.program, self.host, self.chosen = program, host, chosen
        self.machines = program.client.machines

    async def create(self, server: str) -> Machine:
        """Return a new machine, off, with the home of a server."""
        return await self.machines.create(
            MachineCreate(appliance="tiny", host="alpha", home=True, owner="alice", server_name=server)
        )

    async def at(
        self, machine: str, step: Callable[[Machine], bool] | None = None, *, power: bool = False
    ) -> None:
        """Kill the controller when a machine is at a step, with its host or alone; return when both answer.

        Parameters
        ----------
        step
            The machine must be under way until then: a kill that comes too late is a failure of the test.
            None: at once, for what is over in a moment.
        power
            The host loses its power at that instant too.
        """
        said = "told to be off or gone"
        if step is not None:
            async with asyncio.timeout(30):
                while not step(seen := await self.machines.get(machine)):
                    assert seen.status in UNDER_WAY, seen
            said = f"{seen.status.value}, {seen.phase}"
        self.program.kill()
        if power:
            self.host.power_loss()
            await self.host.start()
        print(f"killed when {machine} was {said}", flush=True)
        await self.program.start()
        await until(self._alive, 60)

    async def calm(self) -> None:
        """Wait until nothing is under way, and look whether all agrees."""
        await until(self._settled, 60)
        await agrees(self.chosen)

    async def status(self, machine: str) -> Status:
        """Return a machine's status."""
        return (await self.machines.get(machine)).status

    async def _settled(self) -> bool:
        client = self.program.client
        running = (await client.operations.list(status=OperationStatus.RUNNING)).total
        known = await client.machines.all()
        calm = all(one.status not in UNDER_WAY and one.power is not Power.UNKNOWN for one in known)
        return await self._alive() and not running and calm

    async def _alive(self) -> bool:
        return (await self.program.client.hosts.get("alpha")).alive


@pytest.fixture
async def killed(tmp_path: Path) -> AsyncIterator[Killed]:
    async with hosts(1) as (alpha,):
        chosen = options([alpha], tmp_path / "state")
        program = Program(chosen, tmp_path)
        try:
            await program.start()
            yield Killed(program, alpha, chosen)
        finally:
            print(program.log)
            await program.close()


def phase(wanted: Phase) -> Callable[[Machine], bool]:
    """Return what tells that a start is in a phase, or further."""
    rest = list(Phase)[list(Phase).index(wanted) :]
    return lambda machine: machine.status is Status.STARTING and machine.phase in rest


def is_now(wanted: Status) -> Callable[[Machine], bool]:
    """Return what tells that a machine has a status."""
    return lambda machine: machine.status is wanted


async def test_a_controller_killed_at_steps_of_a_whole_life_is_gone_on_from(killed: Killed) -> None:
    creating = asyncio.create_task(killed.create("created"))
    await until(lambda: _there(killed))
    killed.program.kill()
    with contextlib.suppress(CernVMError):
        await creating
    await killed.program.start()
    await killed.calm()
    (created,) = await killed.machines.all()
    assert created.status is Status.PENDING

    started: list[str] = []
    for step in (Phase.PLACED, Phase.DISK, Phase.BOOT):
        machine = await killed.create(step.value)
        started.append(machine.id)
        await killed.machines.start(machine.id)
        await killed.at(machine.id, phase(step))
    await killed.calm()
    for each in started:
        assert await killed.status(each) is Status.RUNNING
    assert domains(killed.host) == dict.fromkeys(started, True)

    stopped, off, deleted = started
    await killed.machines.shutdown(stopped)
    await killed.at(stopped, is_now(Status.STOPPING))
    await killed.machines.poweroff(off)
    await killed.at(off)
    await killed.machines.delete(deleted)
    await killed.at(deleted)
    await killed.calm()
    assert [await killed.status(each) for each in (stopped, off)] == [Status.STOPPED] * 2
    assert domains(killed.host) == {stopped: False, off: False}
    assert {name.partition("-")[0] for name in volumes(killed.host) if deleted in name} == set()


async def _there(killed: Killed) -> bool:
    return (await killed.machines.list()).total > 0


async def test_power_that_is_lost_with_the_controller_in_a_start_and_in_a_stop_costs_no_disk(
    killed: Killed,
) -> None:
    machine = await killed.create("")
    await killed.machines.start(machine.id)
    await killed.at(machine.id, phase(Phase.BOOT), power=True)
    await killed.calm()
    if await killed.status(machine.id) is not Status.RUNNING:
        await killed.machines.start(machine.id, wait=True, timeout=60)
    assert domains(killed.host) == {machine.id: True}
    there = volumes(killed.host)
    await killed.machines.shutdown(machine.id)
    await killed.at(machine.id, is_now(Status.STOPPING), power=True)
    await killed.calm()
    assert await killed.status(machine.id) is Status.STOPPED
    assert domains(killed.host) == {machine.id: False}
    assert volumes(killed.host) == there
    await killed.machines.start(machine.id, wait=True, timeout=60)
    await killed.calm()
