"""Ten starts and stops of real guests, with a kill at a random instant of each: nothing is lost or doubled.

``CERNVM_KILLER_SEED`` repeats what a failure printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.lab.hosts import Host, hosts
from tests.lab.program import Program
from tests.lab.site import agrees, domains, options, until, volumes

from cernvmapi.errors import CernVMError
from cernvmapi.models import MachineCreate, OperationStatus, Power, Status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.machines

VICTIMS = ["controller"] * 6 + ["daemon", "daemon", "QEMU", "QEMU"]
LONGEST = 6.0
"""Seconds: by then a start or a stop is over, mostly."""
UNDER_WAY = (Status.STARTING, Status.STOPPING, Status.DELETING)


async def act(program: Program, machine_id: str) -> None:
    """Ask for a start of the machine, or for its end where it runs; the answer may never come."""
    machines = program.client.machines
    with contextlib.suppress(CernVMError):
        if (await machines.get(machine_id)).status is Status.RUNNING:
            await machines.shutdown(machine_id)
        else:
            await machines.start(machine_id)


async def kill(victim: str, program: Program, host: Host) -> None:
    """Kill it, and start again what does not start by itself."""
    match victim:
        case "controller":
            program.kill()
            await program.start()
        case "daemon":
            host.kill_daemon()
            await host.restart_daemon()
        case "QEMU":
            for domain in host.machine_pids():
                host.kill_machine(domain)


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
            for number, victim in enumerate(victims, start=1):
                seconds = random.uniform(0, LONGEST)
                print(f"round {number}: {victim} after {seconds:.2f} s", flush=True)
                acting = asyncio.create_task(act(program, machine.id))
                await asyncio.sleep(seconds)  # the instant
                await kill(victim, program, alpha)
                await acting
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
