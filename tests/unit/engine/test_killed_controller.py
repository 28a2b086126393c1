"""A controller that is killed at any instant leaves nothing that the next one does not put right."""

from __future__ import annotations

import pytest
from killer import Killer
from scripted import ALICE, SESSION, Lab

from cernvmapi.models import MachineChange, Power, Status, VolumeChange


async def nothing(lab):
    return None


async def pending(lab):
    return await lab.create()


async def running(lab):
    return await lab.started()


async def home(lab):
    machine = await lab.started()
    await done(lab, await lab.engine.machines.delete(ALICE, machine.id))
    return machine


async def done(lab, operation):
    await lab.engine.operations.wait(operation.id, 10)


async def create(lab, _machine):
    await lab.create()


async def start(lab, machine):
    await done(lab, await lab.engine.machines.start(ALICE, machine.id, SESSION))


async def shutdown(lab, machine):
    await done(lab, await lab.engine.machines.shutdown(ALICE, machine.id))


async def power_off(lab, machine):
    await done(lab, await lab.engine.machines.poweroff(ALICE, machine.id))


async def delete(lab, machine):
    await done(lab, await lab.engine.machines.delete(ALICE, machine.id))


async def reboot(lab, machine):
    await done(lab, await lab.engine.machines.reboot(ALICE, machine.id))


async def cancel(lab, machine):
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await lab.until_true(machine.id, lambda found: found.phase == "boot")
    await lab.engine.operations.cancel(ALICE, operation.id)
    await lab.until(machine.id, Status.STOPPED)


async def rename(lab, machine):
    await lab.engine.machines.change(ALICE, machine.id, MachineChange(owner="alicia", server_name="new"))
    await lab.engine.reconciler.quiet()


async def hand_over(lab, machine):
    await lab.engine.volumes.change(ALICE, machine.home, VolumeChange(owner="alicia"))


async def volume_delete(lab, machine):
    await lab.engine.volumes.delete(ALICE, machine.home)


VERBS = [
    (nothing, create),
    (pending, start),
    (pending, cancel),
    (running, shutdown),
    (running, power_off),
    (running, reboot),
    (running, delete),
    (running, rename),
    (home, hand_over),
    (home, volume_delete),
]


async def killed(folder, before, verb, instant, *, power_loss=False):
    """Kill a controller at an instant of a verb; return where that was, nothing where it ended before."""
    folder.mkdir()
    lab = Lab(folder)
    killer = lab.killer = Killer(instant)
    if verb is cancel:
        lab.template = {"slow": True}
    await lab.begin()
    machine = await before(lab)
    await lab.engine.reconciler.quiet()
    await killer.strike(verb(lab, machine))
    await lab.end()
    lab.killer = None
    if killer.dead.is_set():
        lab.template = {}
        for guest in lab.guests.values():
            guest.slow = False
        if power_loss:
            for domain in lab.host.domains.values():
                domain.power, domain.reason = Power.OFF, "unknown"
            for guest in lab.guests.values():
                guest.boot, guest.session, guest.state = guest.boot + 1, None, "waiting"
        await lab.begin()
        try:
            await lab.settle()
            await lab.agrees()
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"killed at instant {instant}, {killer.where}: {error!r}") from error
        finally:
            await lab.end()
    return killer.where


@pytest.mark.parametrize(("before", "verb"), VERBS, ids=[verb.__name__ for _, verb in VERBS])
async def test_a_controller_killed_at_every_instant_is_gone_on_from(tmp_path, before, verb):
    instant, seen = 1, []
    while where := await killed(tmp_path / str(instant), before, verb, instant):
        seen.append(where)
        instant += 1
    assert {"before commit", "after commit"} <= set(seen)


POWERED = [(nothing, create, 1), (pending, start, 5), (running, shutdown, 3), (running, delete, 5)]
"""With how many instants from one loss to the next."""


@pytest.mark.parametrize(("before", "verb", "step"), POWERED, ids=[verb.__name__ for _, verb, _ in POWERED])
async def test_power_lost_at_an_instant_leaves_what_the_next_controller_puts_right(
    tmp_path, before, verb, step
):
    instant, seen = 1, set()
    while where := await killed(tmp_path / str(instant), before, verb, instant, power_loss=True):
        seen.add(where)
        instant += step
    assert len(seen) > 1, seen
