"""The hub's page in a real browser: a real hub and proxy, and a controller before an engine in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright
from tests.unit.spawner.test_options_in_a_browser import QUIET
from tests.unit.threats.site import open_site
from tests.unit.web.memoryrows import machine

from cernvmapi.errors import StartFailed
from cernvmapi.models import Host, Level, Phase, PhaseMark, Pool, Power, Status, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page
    from tests.unit.interface.test_jupyterlab import Lab
    from tests.unit.threats.site import Site

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
THEN = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
MANY = 10_000
ACTIONS = {
    Status.RUNNING: ["shutdown", "poweroff", "reboot", "reset", "suspend", "store", "lock", "delete"],
    Status.STARTING: ["shutdown", "poweroff", "delete"],
    Status.STOPPED: ["start", "lock", "delete"],
    Status.FAILED: ["start", "lock", "delete"],
}


def populate(site: Site | Lab) -> None:
    """Give the site three hosts, one of them silent, and many machines of many people."""
    hosts = [
        Host(
            id=name,
            name=name,
            uris=[f"qemu+tls://{name}/system"],
            level=Level.NOTEBOOK,
            alive=name != "node3",
            reason="" if name != "node3" else "It has not answered since 09:12.",
            cpus=64,
            memory_mib=262_144,
            vcpus_promised=41,
            memory_promised_mib=150_000,
            machines=MANY // 3,
        )
        for name in ("node1", "node2", "node3")
    ]

    clusters = site.engine.clusters.rows
    for made in [name for name in clusters if name != "default"]:
        del clusters[made]

    async def all_hosts() -> list[Host]:
        return hosts

    async def all_pools() -> list[Pool]:
        return [
            Pool(
                id="p",
                name="fast",
                hosts=["node1"],
                shared=False,
                capacity_mib=4 << 20,
                available_mib=1 << 20,
            )
        ]

    site.engine.inventory.hosts = all_hosts
    site.engine.inventory.pools = all_pools
    site.engine.machines.rows.clear()
    for number in range(MANY):
        site.engine.machines.rows[f"m-{number:05}"] = _machine(number)
    site.engine.operations.rows.clear()
    site.engine.operations.begin("machine.start", "machine/m-00002", "user00002", "user00002")


def _machine(number: int) -> object:
    status = (Status.RUNNING, Status.RUNNING, Status.STARTING, Status.STOPPED)[number % 4]
    more = {}
    if number == 7:
        status = Status.FAILED
        more["error"] = StartFailed(
            "It did not boot within 180 s; the console's last words are below."
        ).problem()
    return machine(
        f"m-{number:05}",
        "alice" if number == 0 else f"user{number:05}",
        name="alice" if number == 0 else f"user{number:05}",
        status=status,
        target=Target.RUNNING if status is not Status.STOPPED else Target.STOPPED,
        power=Power.ON if status in {Status.RUNNING, Status.STARTING} else Power.OFF,
        host=f"node{1 + number % 3}",
        address=f"10.112.{number >> 8}.{number & 255}" if status is Status.RUNNING else None,
        actions=ACTIONS[status],
        progress=40,
        appliance_title="CernVM for notebooks",
        labels={"experiment": "atlas"},
        notes="For the summer school." if number == 0 else "",
        timeline=[
            PhaseMark(phase=Phase.PLACED, message="A place on node1", progress=5, at=THEN),
            PhaseMark(phase=Phase.BOOT, message="It boots", progress=40, at=THEN + timedelta(seconds=4)),
        ],
        created=THEN + timedelta(minutes=number),
        changed=THEN,
        **more,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One site for all tests of a module: a hub takes seconds to start."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with open_site(folder, monkeypatch, with_proxy=True) as made:
            await made.hub.call("POST", "/users/carol")
            joined = await made.hub.call("POST", "/groups/operators/users", users=["carol"])
            assert joined.is_success, joined.text
            yield made


@pytest.fixture
def site(running: Site) -> Site:
    """The site as it is before anybody did anything."""
    running.engine.audit.rows.clear()
    populate(running)
    return running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield launched
        await launched.close()


@asynccontextmanager
async def visit(site: Site, browser: Browser, name: str, scheme: str = "light") -> AsyncIterator[Page]:
    """Log in and open the page; what the browser complains of fails the test."""
    context = await browser.new_context(
        viewport={"width": 1360, "height": 820},
        color_scheme="dark" if scheme == "dark" else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = await context.new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    hub = f"http://127.0.0.1:{site.hub.settings['public_port']}/"
    await page.goto(f"{hub}hub/login?next=%2Fhub%2Fhome")
    await page.fill("#username_input", name)
    await page.fill("#password_input", "x")
    await page.click("#login_submit")
    await page.wait_for_url("**/hub/home")
    complaints.clear()
    await page.goto(f"{hub}services/cernvm/")
    yield page
    # The browser tells of every refusal, of a list that one may not see; the page says itself what it lacks.
    assert [each for each in complaints if not each.startswith("Failed to load resource")] == []
    await context.close()


def change(site: Site, machine_id: str, **more: object) -> None:
    """Let a machine change, as the controller would tell it."""
    row = site.engine.machines.rows[machine_id]
    site.engine.machines.put(msgspec.structs.replace(row, revision=row.revision + 1, **more))
