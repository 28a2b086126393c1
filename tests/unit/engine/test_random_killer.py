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
    operation = await VERBS[await running(lab, machine_id)](lab, machine_id)
    await lab.engine.operations.wait(operation.id, 10)


async def running(lab, machine_id):
    return (await lab.engine.machines.get(machine_id)).status is Status.RUNNING


VERBS = {
    False: lambda lab, machine_id: lab.engine.machines.start(ALICE, machine_id, SESSION),
    True: lambda lab, machine_id: lab.engine.machines.shutdown(ALICE, machine_id),
}


async def struck(lab, killer, machine_id):
    """Start or stop the machine with a controller that dies of it; return whether that was a stop."""
    await lab.end()
    lab.killer = killer
    await lab.begin()
    await lab.engine.reconciler.quiet()
    stop = await running(lab, machine_id)
    await killer.strike(act(lab, machine_id))
    return stop


async def test_fifty_starts_and_stops_with_a_kill_in_each(lab):
    seed = int(os.environ.get("CERNVM_KILLER_SEED") or secrets.randbits(32))
    random = Random(seed)
    machine = await lab.create()
    lengths = {}
    for _ in VERBS:
        unharmed = Killer()
        stop = await struck(lab, unharmed, machine.id)
        lengths[stop] = unharmed.count
    assert lengths.keys() == VERBS.keys()
    kills = rounds = 0
    while kills < ROUNDS:
        rounds += 1
        assert rounds < 2 * ROUNDS, f"seed {seed}: hardly any kill came in time, with {lengths}"
        stop = await running(lab, machine.id)
        killer = Killer(random.randint(1, lengths[stop]))
        assert await struck(lab, killer, machine.id) is stop
        # An action may be over some instants earlier than the one that was measured: then nobody died.
        kills += killer.dead.is_set()
        await lab.end()
        lab.killer = None
        await lab.begin()
        try:
            await lab.settle()
            await lab.agrees()
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}, round {rounds}, killed {killer.where}: {error!r}") from error
        assert len(lab.host.domains) <= 1, f"seed {seed}, round {rounds}"
        homes = [name for name in lab.volumes() if name.startswith("home-") and name.endswith(".qcow2")]
        assert len(homes) <= 1, f"seed {seed}, round {rounds}"
