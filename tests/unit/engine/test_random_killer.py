"""Fifty starts and stops, with a kill at a random instant of each: nothing is lost, leaked or doubled.

``CERNVM_KILLER_SEED`` repeats what a failure said; `tests.lab.test_random_killer` does it to real guests.
"""

from __future__ import annotations

import os
import secrets
from random import Random

from killer import Killer
from scripted import ALICE, SESSION

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
    seed = int(os.environ.get("CERNVM_KILLER_SEED") or secrets.randbits(32))
    random = Random(seed)
    machine = await lab.create()
    for number in range(ROUNDS):
        killer = Killer(random.randint(1, 60))
        await lab.end()
        lab.killer = killer
        await lab.begin()
        await killer.strike(act(lab, machine.id))
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
