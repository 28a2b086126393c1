"""Ten starts and stops of real guests, with a kill at a random instant of each: nothing is lost or doubled.

``CERNVM_KILLER_SEED`` repeats what a failure printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.lab.hosts import Host, hosts
from tests.lab.program import Program
from tests.lab.site import agrees, domains, options, until, volumes

from cernvmapi.models import MachineCreate, Operation, OperationStatus, Power, Status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.machines

VICTIMS = ["controller"] * 6 + ["daemon", "daemon", "QEMU", "QEMU"]
MISSES = 20
"""Rounds that may be without a kill, because what was under way was over before its instant came."""
UNDER_WAY = (Status.STARTING, Status.STOPPING, Status.DELETING)


async def act(program: Program, machine_id: str) -> Operation:
    """Ask for a start of the machine, or for its end where it runs."""
    machines = program.client.machines
    if (await machines.get(machine_id)).status is Status.RUNNING:
        return await machines.shutdown(machine_id)
    return await machines.start(machine_id)


async def strike(victim: str, program: Program, host: Host, operation: Operation, seconds: float) -> bool:
    """Kill at an instant of what is under way; return whether it came to that.

    What does not start by itself is started again. A QEMU is killed then, or as soon as there is one.
    """
    await asyncio.sleep(seconds)  # the instant

    async def its_turn() -> bool:
        return victim != "QEMU" or bool(host.machine_pids()) or not await under_way(program, operation)

    await until(its_turn)
    if not await under_way(program, operation):
        return False
    match victim:
        case "controller":
            program.kill()
            await program.start()
        case "daemon":
            host.kill_daemon()
            await host.restart_daemon()
        case "QEMU":
            before = host.machine_pids()
            for domain in before:
                with contextlib.suppress(KeyError):  # it went off by itself at this moment
                    host.kill_machine(domain)
                    return True
            return False
    return True


async def under_way(program: Program, operation: Operation) -> bool:
    return (await program.client.operations.get(operation.id)).status is OperationStatus.RUNNING


async def settled(program: Program) -> bool:
    """Whether the host answers and nothing is under way."""
    client = program.client
    (machine,) = await client.machines.all()
    running = (await client.operations.list(status=OperationStatus.RUNNING)).total
    alive = (await client.hosts.get("alpha")).alive
    return alive and not running and machine.status not in UNDER_WAY and machine.power is not Power.UNKNOWN


async def test_ten_starts_and_stops_with_a_kill_in_each(tmp_path: Path) -> None:
    seed = int(os.environ.get("CERNVM_KILLER_SEED") or secrets.randbits(32))
    print(f"CERNVM_KILLER_SEED={seed}")
    random = Random(seed)
    victims = random.sample(VICTIMS, len(VICTIMS))
    async with hosts(1) as (alpha,):
        chosen = options([alpha], tmp_path / "state")
        program = Program(chosen, tmp_path)
        try:
            await program.start()
            request = MachineCreate(appliance="tiny", host="alpha", home=True, owner="alice", server_name="")
            machine = await program.client.machines.create(request)
            lengths = {}
            for _ in range(2):
                began = time.monotonic()
                unharmed = await act(program, machine.id)
                await program.client.operations.wait(unharmed.id, timeout=60)
                lengths[unharmed.action] = time.monotonic() - began
            print(f"unharmed, in seconds: {lengths}")
            assert len(lengths) == 2
            misses = 0
            while victims:
                operation = await act(program, machine.id)
                seconds = random.uniform(0, lengths[operation.action])
                killed = await strike(victims[-1], program, alpha, operation, seconds)
                what = f"{victims[-1]} after {seconds:.2f} s of {operation.action}"
                print(f"{what}: {'killed' if killed else 'it was over'}", flush=True)
                if killed:
                    victims.pop()
                misses += not killed
                assert misses <= MISSES
                await until(lambda: settled(program), 60)
                await agrees(chosen)
                found = await program.client.machines.get(machine.id)
                print(f"    {found.status.value}, {found.error.detail if found.error else 'well'}")
                there, running = domains(alpha), alpha.machine_pids()
                assert set(there) <= {machine.id}
                assert len(running) == sum(there.values()) == (found.status is Status.RUNNING)
                homes = [name for name in volumes(alpha) if name.startswith("home-")]
                assert len(homes) <= 2, f"one home and its sidecar: {homes}"
            await program.client.machines.delete(machine.id, wait=True, timeout=60)
            await agrees(chosen)
            assert domains(alpha) == {}
            assert {name.partition("-")[0] for name in volumes(alpha)} <= {"home"}
        except BaseException:
            print(program.log)
            raise
        finally:
            await program.close()
