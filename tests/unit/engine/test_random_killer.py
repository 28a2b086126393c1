"""Fifty starts and stops, with a kill at a random instant of each: nothing is lost, leaked or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from random import Random

from killer import Killed, Killer
from scripted import ALICE, SESSION

from cernvmapi.errors import CernVMError
from cernvmapi.models import Status

ROUNDS = 50


async def act(lab, machine_id):
    """Start the machine, or stop it where it runs."""
    machine = await lab.engine.machines.get(machine_id)
    if machine.status is Status.RUNNING:
        operation = await lab.engine.machines.shutdown(ALICE, machine_id)
    else:
        operation = await lab.engine.machines.start(ALICE, machine_id, SESSION)
    await lab.engine.operations.wait(operation.id, 10)


async def test_fifty_starts_and_stops_with_a_kill_in_each(lab):
    seed = secrets.randbits(32)
    random = Random(seed)
    machine = await lab.create()
    for number in range(ROUNDS):
        killer = Killer(random.randint(1, 60))
        await lab.end()
        lab.killer = killer
        await lab.begin()
        killer.arm()
        acting, dying = asyncio.create_task(act(lab, machine.id)), asyncio.create_task(killer.dead.wait())
        await asyncio.wait({acting, dying}, return_when=asyncio.FIRST_COMPLETED)
        acting.cancel()
        dying.cancel()
        with contextlib.suppress(Killed, CernVMError, asyncio.CancelledError):
            await acting
        await lab.end()
        lab.killer = None
        await lab.begin()
        try:
            await lab.settle()
            await lab.agrees()
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}, round {number}, killed {killer.where}: {error!r}") from error
        assert len(lab.host.domains) <= 1, f"seed {seed}, round {number}"
        homes = [name for name in lab.volumes() if name.startswith("home-") and name.endswith(".qcow2")]
        assert len(homes) <= 1, f"seed {seed}, round {number}"
