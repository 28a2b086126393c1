"""The dashboard in JupyterLab: the browser asks by way of the notebook server, so no kernel is waited for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import httpx
import nbformat
import pytest
import pytest_asyncio
from playwright.async_api import expect
from tests.unit.interface.conftest import ARTIFACTS, populate
from tests.unit.interface.test_consoles import heard
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import FakeHub
from tests.unit.web.memory import MemoryEngine
from tests.unit.web.proxy import free_ports

from cernvmapi.models import API_PREFIX
from cernvmcontroller.web.server import Listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "of-the-notebook-server"
READY = 60
NOTEBOOK_READY = 90_000
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"


class Lab(NamedTuple):
    """A JupyterLab whose server knows a controller."""

    url: str
    folder: Path
    engine: MemoryEngine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    hub, engine = FakeHub(), MemoryEngine()
    hub.start()
    listeners = Listeners(services_for(engine, hub, heartbeat=0.2, recheck=5))
    port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
    (own, _) = free_ports(2)
    log = (folder / "lab.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={own}"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"),
        *("--ServerApp.base_url=/user/carol/", "--LabApp.expose_app_in_browser=True"),
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
        env={
            **os.environ,
            "HOME": str(folder),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "CERNVM_API_URL": f"http://127.0.0.1:{port}{API_PREFIX}",
            "JUPYTERHUB_API_TOKEN": "carol-admin",
        },
        stdout=log,
        stderr=log,
    )  # fmt: skip
    url = f"http://127.0.0.1:{own}/user/carol/"
    try:
        async with asyncio.timeout(READY), httpx.AsyncClient(trust_env=False) as http:
            while True:
                with suppress(httpx.TransportError):
                    if (await http.get(f"{url}api")).is_success:
                        break
                assert process.returncode is None, (folder / "lab.log").read_text()
                await asyncio.sleep(0.2)
        yield Lab(url, folder, engine)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), READY)
            except TimeoutError:  # a kernel that is busy may not let it go
                process.kill()
                await process.wait()
        log.close()
        await listeners.close()
        await hub.stop()


async def opened(lab: Lab, browser: Browser, name: str, *cells: str, dark: bool = False) -> Page:
    """Open a notebook with these cells and run them all."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=KERNEL
    )
    (lab.folder / f"{name}.ipynb").write_text(nbformat.writes(notebook))
    themes = lab.folder / "config/lab/user-settings/@jupyterlab/apputils-extension"
    themes.mkdir(parents=True, exist_ok=True)
    theme = f"JupyterLab {'Dark' if dark else 'Light'}"
    (themes / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    page = await browser.new_page(viewport={"width": 1360, "height": 900})
    page.set_default_timeout(NOTEBOOK_READY)
    await page.goto(f"{lab.url}lab/tree/{name}.ipynb?token={TOKEN}&reset")
    await page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    await expect(page.get_by_role("button", name=re.compile(r"\| Idle$"))).to_be_visible(
        timeout=NOTEBOOK_READY
    )
    await page.evaluate(RUN_ALL)
    return page


SAY_SELECTION = """
from ipywidgets import Label
seen = Label("none")
board.observe(lambda change: setattr(seen, "value", " ".join(["chosen", *change["new"]])), "selection")
seen
"""
BOARD = "from cernvmwidgets import Dashboard\nboard = Dashboard(room='infrastructure')\nboard"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_dashboard_is_in_the_notebook_in_its_theme(lab: Lab, browser: Browser, dark: bool) -> None:
    populate_engine(lab)
    page = await opened(lab, browser, f"dashboard-{dark}", BOARD, dark=dark)
    await expect(page.get_by_role("grid").get_by_text("alice", exact=True).first).to_be_visible()
    await expect(page.locator(".cv-connection")).to_have_text("●Live")
    await page.get_by_role("gridcell", name="alice", exact=True).first.click()
    await expect(page.get_by_role("heading", name="alice", exact=True)).to_be_visible()
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"notebook-dashboard-{'dark' if dark else 'light'}.png")
    background = await page.evaluate("getComputedStyle(document.querySelector('.cernvm')).backgroundColor")
    lab_s = await page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color1')")
    assert (background == "rgb(255, 255, 255)") is not dark, (background, lab_s)
    await page.close()


async def test_a_console_in_the_notebook_goes_by_way_of_the_notebook_server(
    lab: Lab, browser: Browser
) -> None:
    populate_engine(lab)
    guest = await lab.engine.screens.boot("m-00000")
    await guest.write(b"login: ")
    page = await opened(lab, browser, "console", BOARD)
    await page.get_by_role("gridcell", name="alice", exact=True).first.click()
    await page.get_by_role("button", name="Serial console", exact=True).click()
    terminal = page.locator(".xterm-rows")
    await expect(terminal).to_contain_text("login:")
    await page.keyboard.type("root\n")
    await heard(guest, b"root\r")
    await guest.write(b"root\r\nPassword: ")
    await expect(terminal).to_contain_text("Password:")
    await page.screenshot(path=ARTIFACTS / "notebook-console.png")
    await page.close()
    await lab.engine.screens.consoles.leave("m-00000")


async def test_a_busy_kernel_freezes_no_button(lab: Lab, browser: Browser) -> None:
    populate_engine(lab)
    page = await opened(lab, browser, "busy", BOARD, "import time; time.sleep(120)")
    await expect(page.get_by_role("grid").get_by_text("alice", exact=True).first).to_be_visible()
    await page.get_by_role("gridcell", name="alice", exact=True).first.click()
    await page.get_by_role("button", name="Shut down", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Shut down").click()
    await expect(page.get_by_text("Shut down: alice")).to_be_visible()
    assert [(row.actor, row.action) for row in lab.engine.audit.rows] == [("carol", "machine.shutdown")]
    await page.close()


async def test_clicks_and_code_meet(lab: Lab, browser: Browser) -> None:
    populate_engine(lab)
    page = await opened(lab, browser, "meet", BOARD, SAY_SELECTION, "board.selection = ['m-00001']")
    row = page.locator('[data-machine="m-00001"]')
    await expect(row).to_have_attribute("aria-selected", "true")
    await page.get_by_role("checkbox", name="Select user00003").click()
    await expect(page.get_by_text("chosen m-00001 m-00003")).to_be_visible()
    await page.close()


async def test_without_a_door_the_kernel_asks(lab: Lab, browser: Browser) -> None:
    populate_engine(lab)
    through = "from cernvmapi.client import Client\nfrom cernvmwidgets import Dashboard\nDashboard(Client())"
    page = await opened(lab, browser, "kernel", through)
    await expect(page.get_by_text("2,499 stopped")).to_be_visible()
    await expect(page.locator(".cv-connection")).to_contain_text("Asking every few seconds")
    await page.close()


def populate_engine(lab: Lab) -> None:
    lab.engine.audit.rows.clear()
    populate(lab)
