"""Consoles on the hub's page: a terminal that is typed into, and a screen with a picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect
from tests.unit.interface.conftest import visit
from tests.unit.interface.test_page import flaws, infrastructure, picture

from cernvmapi.errors import Conflict
from cernvmcontroller.hypervisor.fake import FakeHypervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import Browser, Page
    from tests.unit.threats.site import Site

    from cernvmcontroller.hypervisor.fakestream import MemoryStream

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

MACHINE = "m-00000"
COLOURS = """() => {
    const canvas = document.querySelector(".cv-vnc canvas");
    const found = canvas.getContext("2d").getImageData(2, 2, 1, 1).data;
    return [...found].slice(0, 3).some((part) => part > 0);
}"""


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "widgets/js/node_modules/axe-core/axe.min.js").read_text()


@pytest_asyncio.fixture(loop_scope="module")
async def guest(site: Site) -> AsyncIterator[MemoryStream]:
    """Yield the guest's end of the machine's serial console."""
    yield await site.engine.screens.boot(MACHINE)
    await site.engine.screens.consoles.leave(MACHINE)
    site.engine.screens.consoles.forget(MACHINE)


async def opened(page: Page, button: str) -> None:
    await infrastructure(page)
    await page.get_by_role("gridcell", name="alice", exact=True).first.click()
    await page.get_by_role("button", name=button, exact=True).click()


async def eventually(check: Callable[[], bool]) -> None:
    """Wait for a condition of the stand-ins, which tell nobody."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def heard(guest: MemoryStream, wanted: bytes) -> None:
    """Read what was typed until it ends so."""
    said = b""
    async with asyncio.timeout(10):
        while not said.endswith(wanted):
            said += await guest.read()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_serial_console_is_typed_into_and_stays_while_one_walks_about(
    site: Site, guest: MemoryStream, browser: Browser, axe: str, scheme: str
) -> None:
    await guest.write(b"\x1b[1mWelcome\x1b[0m to a machine\r\nlogin: ")
    async with visit(site, browser, "carol", scheme) as page:
        await opened(page, "Serial console")
        tab = page.get_by_role("tab", name="Serial console of alice")
        await expect(tab).to_have_attribute("aria-selected", "true")
        terminal = page.locator(".xterm-rows")
        await expect(terminal).to_contain_text("Welcome to a machine")
        await page.keyboard.type("root\n")
        await heard(guest, b"root\r")
        await guest.write(b"root\r\nPassword: ")
        await expect(terminal).to_contain_text("Password:")
        await picture(page, f"serial-{scheme}")
        assert await flaws(page, axe) == []
        await page.get_by_role("tab", name="Dashboard").click()
        await expect(terminal).to_contain_text("Password:")
        await page.get_by_role("button", name="Close: Serial console of alice").click()
        await expect(terminal).to_have_count(0)
    assert [row.action for row in site.engine.audit.rows] == ["machine.console"]


async def test_a_serial_console_goes_on_after_a_lost_connection_and_shows_nothing_twice(
    site: Site, guest: MemoryStream, browser: Browser
) -> None:
    await guest.write(b"one line\r\n")
    async with visit(site, browser, "carol") as page:
        await opened(page, "Serial console")
        terminal = page.locator(".xterm-rows")
        await expect(terminal).to_contain_text("one line")
        for task in asyncio.all_tasks():
            if task.get_name() == f"viewer of {MACHINE}":
                task.cancel()
        await guest.write(b"another line\r\n")
        await expect(terminal).to_contain_text("another line")
        assert (await terminal.inner_text()).count("one line") == 1


async def test_a_machines_screen_is_seen_and_keys_are_pressed(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await opened(page, "Screen")
        await eventually(lambda: bool(site.engine.screens.screens))
        fake = FakeHypervisor()
        showing = asyncio.create_task(fake._show(site.engine.screens.screens.pop()))
        await expect(page.locator(".cv-vnc canvas")).to_be_visible()
        await page.wait_for_function(COLOURS)
        await picture(page, "screen")
        await page.get_by_role("button", name="Ctrl-Alt-Del").click()
        await page.get_by_label("Text to type").fill("ls")
        await page.get_by_role("button", name="Type", exact=True).click()
        await eventually(lambda: bool(site.engine.screens.pressed and fake.screen_input))
        showing.cancel()
    assert [row.action for row in site.engine.audit.rows] == ["machine.console", "machine.keys"]


async def test_a_console_that_is_refused_says_why_and_can_be_asked_for_again(
    site: Site, guest: MemoryStream, browser: Browser
) -> None:
    site.engine.screens.refusal = Conflict("The machine does not run; start it first.")
    async with visit(site, browser, "carol") as page:
        await opened(page, "Serial console")
        await expect(page.get_by_text("The machine does not run; start it first.")).to_be_visible()
        site.engine.screens.refusal = None
        await page.get_by_role("button", name="Connect again").click()
        await guest.write(b"login: ")
        await expect(page.locator(".xterm-rows")).to_contain_text("login:")
