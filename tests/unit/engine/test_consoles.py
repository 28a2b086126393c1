"""Consoles of machines as the engine has them: when there is one, who is written down, what goes through."""

import asyncio

import pytest
from scripted import ALICE, BOB, eventually
from tests.fixtures import rfb

from cernvmapi.consoles import ConsoleKind, ConsoleRequest, MachineKeys
from cernvmapi.errors import Conflict, HostUnreachable, Invalid, NotFound
from cernvmapi.models import Power, Status
from cernvmcontroller.hypervisor.fakescreens import HEIGHT, WIDTH

SERIAL, VNC = (ConsoleRequest(kind=kind) for kind in (ConsoleKind.SERIAL, ConsoleKind.VNC))


async def line(lab, machine):
    """Return the guest's end of a serial console, once the controller reads it."""
    await eventually(lambda: machine.id in lab.engine.consoles._streams)
    return lab.hypervisor.guest_console(machine.uuid)


async def records(lab, action):
    page = await lab.engine.audit.page(action=action)
    return [(row.actor, row.subject, row.details) for row in page.items]


async def read(viewing, size):
    heard = b""
    async with asyncio.timeout(10):
        while len(heard) < size:
            heard += await viewing.read()
    return heard


async def test_a_machine_is_typed_to_and_read_and_that_is_written_down(lab):
    machine = await lab.started()
    guest = await line(lab, machine)
    viewing = await lab.engine.screens.open(BOB, machine.id, SERIAL)
    await guest.write(b"login: ")
    assert await read(viewing, 7) == b"login: "
    await viewing.write(b"root\n")
    assert await guest.read() == b"root\n"
    await viewing.close()
    details = {"kind": "serial", "view_only": False, "owner": "alice"}
    assert await records(lab, "machine.console") == [("bob", f"machine/{machine.id}", details)]


async def test_a_screen_shows_pixels(lab):
    machine = await lab.started()
    viewing = await lab.engine.screens.open(ALICE, machine.id, VNC)
    viewer = rfb.Viewer(viewing.read, viewing.write)
    await viewer.shake_hands()
    assert await viewer.picture() == b"\x80\x40\x20\0" * (WIDTH * HEIGHT)
    await viewing.write(b"\x04\x01\0\0\0\0\0a")
    await eventually(lambda: lab.hypervisor.screen_input.endswith(b"\x04\x01\0\0\0\0\0a"))
    await viewing.close()


async def test_who_only_looks_at_a_screen_presses_nothing(lab):
    machine = await lab.started()
    request = ConsoleRequest(kind=ConsoleKind.VNC, view_only=True)
    viewing = await lab.engine.screens.open(ALICE, machine.id, request)
    viewer = rfb.Viewer(viewing.read, viewing.write)
    await viewer.shake_hands()
    await viewing.write(b"\x04\x01\0\0\0\0\0a\x05\x01\0\x01\0\x01")
    await viewer.picture()
    assert {lab.hypervisor.screen_input[0], len(lab.hypervisor.screen_input)} == {2, 8 + 10}
    await viewing.close()


async def test_the_console_is_there_from_the_first_moment_of_a_start(lab):
    machine = await lab.create()
    with pytest.raises(Conflict, match="start it first"):
        await lab.engine.screens.open(ALICE, machine.id, SERIAL)
    lab.hypervisor.hang("start")
    operation = await lab.engine.machines.start(ALICE, machine.id, None)
    with pytest.raises(Conflict):
        await lab.engine.screens.open(ALICE, machine.id, VNC)
    viewing = await lab.engine.screens.open(ALICE, machine.id, SERIAL)
    lab.host.consoles[machine.uuid] = b"SeaBIOS"
    lab.hypervisor.release("start")
    assert await read(viewing, 7) == b"SeaBIOS"
    await viewing.close()
    await lab.settle()
    assert (await lab.engine.operations.get(operation.id)).finished


async def test_what_a_viewer_has_read_is_not_read_again_over_a_reboot(lab):
    machine = await lab.started()
    guest = await line(lab, machine)
    await guest.write(b"first boot")
    viewing = await lab.engine.screens.open(ALICE, machine.id, SERIAL)
    assert await read(viewing, 10) == b"first boot"
    lab.host.consoles[machine.uuid] = b"second boot"
    await lab.engine.machines.reboot(ALICE, machine.id)
    assert await read(viewing, 11) == b"second boot"
    await viewing.close()
    await lab.settle()


async def test_a_host_that_does_not_answer_shows_nothing_new_and_viewers_wait(lab):
    machine = await lab.started()
    guest = await line(lab, machine)
    viewing = await lab.engine.screens.open(ALICE, machine.id, SERIAL)
    await guest.write(b"before")
    assert await read(viewing, 6) == b"before"
    lab.hypervisor.disconnect()
    await lab.until_true(machine.id, lambda found: found.power is Power.UNKNOWN)
    for ask in (
        lab.engine.screens.open(ALICE, machine.id, VNC),
        lab.engine.screens.open(ALICE, machine.id, SERIAL),
        lab.engine.screens.screenshot(machine.id),
        lab.engine.screens.press(ALICE, machine.id, MachineKeys(keys=["enter"])),
    ):
        with pytest.raises(HostUnreachable):
            await ask
    with pytest.raises(ConnectionError):
        await viewing.write(b"x")
    lab.host.consoles[machine.uuid] = b"after"
    lab.hypervisor.reconnect()
    assert await read(viewing, 5) == b"after"
    await viewing.close()
    await lab.until(machine.id, Status.RUNNING)


async def test_a_remote_host_has_no_screen_to_look_at_but_pictures_and_keys(lab):
    machine = await lab.started()
    lab.hypervisor.graphics_refusal = "The machine is on a remote host."
    with pytest.raises(Conflict, match="remote host"):
        await lab.engine.screens.check(machine.id, ConsoleKind.VNC)
    with pytest.raises(Conflict, match="remote host"):
        await lab.engine.screens.open(ALICE, machine.id, VNC)
    await lab.engine.screens.check(machine.id, ConsoleKind.SERIAL)
    assert (await lab.engine.screens.screenshot(machine.id)).startswith(b"\x89PNG")
    await lab.engine.screens.press(ALICE, machine.id, MachineKeys(keys=["ctrl-alt-delete"]))
    assert lab.hypervisor.pressed == [(29, 56, 111)]


async def test_what_was_typed_is_not_written_down(lab):
    machine = await lab.started()
    await lab.engine.screens.press(ALICE, machine.id, MachineKeys(text="Pa5sword\n", keys=["enter"]))
    details = {"characters": 9, "keys": 1, "owner": "alice"}
    assert await records(lab, "machine.keys") == [("alice", f"machine/{machine.id}", details)]
    with pytest.raises(Invalid):
        await lab.engine.screens.press(ALICE, machine.id, MachineKeys(keys=["ctrl-alt-explode"]))
    assert len(await records(lab, "machine.keys")) == 1


async def test_a_machine_that_just_went_off_is_no_fault_of_the_hypervisor(lab):
    machine = await lab.started()
    lab.hypervisor.hang("screenshot")
    asked = asyncio.create_task(lab.engine.screens.screenshot(machine.id))
    await eventually(lambda: "screenshot" in lab.hypervisor.calls)
    lab.hypervisor.crash(machine.uuid)
    lab.hypervisor.release("screenshot")
    with pytest.raises(Conflict, match="just gone off"):
        await asked
    await lab.settle()


async def test_a_machine_that_is_not_there_has_no_console(lab):
    for ask in (
        lab.engine.screens.check("m-nothing", ConsoleKind.SERIAL),
        lab.engine.screens.open(ALICE, "m-nothing", SERIAL),
        lab.engine.screens.screenshot("m-nothing"),
    ):
        with pytest.raises(NotFound):
            await ask
