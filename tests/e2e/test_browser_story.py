"""A physicist's day, in a real browser: by clicks and typing only."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tests.e2e.conftest import ARTIFACTS
from tests.e2e.installation import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.installation import Installation
    from tests.e2e.person import Person

pytestmark = [pytest.mark.machines, pytest.mark.browser]

CHROMIUM = [Path("/usr/bin/chromium"), Path("/usr/bin/chromium-browser")]

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

STARTED = 420_000
"""Milliseconds for a start under emulation."""

PAGE = 180_000
"""Milliseconds for JupyterLab, served by an emulated machine."""


def stop_on(page: Page) -> None:
    """Press the button that stops the server, again where the hub's page did not listen yet."""
    stop, start = (page.get_by_role("button", name=f"{word} My Server") for word in ("Stop", "Start"))
    for _ in range(3):
        if stop.is_visible():
            stop.click()
        with contextlib.suppress(AssertionError):
            expect(start).to_be_visible(timeout=PAGE / 3)
            return
    expect(start).to_be_visible()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        executable = next(path for path in CHROMIUM if path.exists())
        browser = playwright.chromium.launch(executable_path=str(executable), args=QUIET)
        made = browser.new_page(viewport={"width": 1280, "height": 900})
        made.set_default_timeout(60_000)
        # A listing fails in JupyterLab when the hub is away, or a file gets another name while it is listed;
        # it says so in a dialog. A person closes that and goes on.
        told = made.locator(".jp-Dialog", has_text=re.compile("not found|Error"))
        made.add_locator_handler(told, told.locator("button.jp-Dialog-button").last.click)
        yield made
        browser.close()


def picture(page: Page, name: str) -> None:
    """Keep what the browser shows."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def run_cell(page: Page, code: str) -> None:
    """Type code into the notebook's last cell and run it."""
    # What is run before the kernel is connected, JupyterLab forgets.
    expect(page.get_by_role("button", name=re.compile(r"\| Idle$"))).to_be_visible(timeout=PAGE)
    editor = page.locator(".jp-Notebook .jp-CodeCell .cm-content").last
    editor.click()
    page.keyboard.insert_text(code)
    expect(editor).to_contain_text(code[:20])
    page.keyboard.press("Shift+Enter")


def expect_output(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the last output has the text."""
    expect(page.locator(".jp-Notebook .jp-OutputArea-output pre").last).to_contain_text(text, timeout=PAGE)


class TestAPhysicistsDay:
    """The steps of one story, in their order."""

    def test_log_in_leads_to_the_choice_of_appliance_and_size(
        self, installation: Installation, page: Page
    ) -> None:
        page.goto(installation.settings.url)
        page.get_by_label("Username").fill("physicist")
        page.get_by_label("Password").fill(installation.accounts["physicist"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator(f"input[name=appliance][value='{installation.appliance}']")).to_be_checked()
        expect(page.locator("input[name=appliance]")).to_have_count(2)
        expect(page.locator("input[name=flavor]").first).to_be_attached()
        picture(page, "options")

    def test_the_progress_page_says_what_happens(self, page: Page) -> None:
        page.get_by_role("button", name="Start").click()
        said = page.locator("#progress-message")
        expect(said).not_to_be_empty()
        log = page.locator("#progress-log")
        for phase in ("The machine is put together", "The machine boots", "The notebook server"):
            expect(log).to_contain_text(phase, timeout=STARTED)
        picture(page, "progress")
        page.wait_for_url("**/user/physicist/lab**", timeout=STARTED)

    def test_jupyterlab_opens_a_notebook_in_the_machine(self, page: Page) -> None:
        page.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=PAGE)
        expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=PAGE)

    def test_a_cell_shows_the_machines_own_name_and_virtualisation(
        self, physicist: Person, page: Page
    ) -> None:
        run_cell(
            page,
            "import socket, subprocess; mass = 125.2; print('host', socket.gethostname(), "
            "subprocess.run(['systemd-detect-virt'], capture_output=True, text=True).stdout)",
        )
        expect_output(page, re.compile(r"host \S+ (kvm|qemu)"))
        expect_output(page, f"host {physicist.machine()['id']} ")
        picture(page, "notebook")

    def test_the_notebook_is_saved(self, physicist: Person, page: Page) -> None:
        page.keyboard.press("Control+s")
        # JupyterLab asks for a name when a new notebook is saved for the first time.
        dialog = page.locator(".jp-Dialog")
        dialog.locator("input[type=text]").fill("higgs.ipynb")
        dialog.get_by_role("button", name="Rename").click()
        expect(page.locator(".jp-DirListing-item", has_text="higgs.ipynb")).to_be_visible(timeout=PAGE)
        assert "higgs.ipynb" in [
            entry["name"] for entry in physicist.notebook("GET", "contents").json()["content"]
        ]

    @pytest.mark.parametrize("component", ["hub", "controller"])
    def test_the_kernel_keeps_its_variables_over_the_death_of(
        self, installation: Installation, page: Page, component: str
    ) -> None:
        installation.kill(component)
        run_cell(page, f"print('after the {component}:', mass)")
        expect_output(page, f"after the {component}: 125.2")

    def test_the_server_is_stopped_from_the_hubs_page(
        self, installation: Installation, physicist: Person, page: Page
    ) -> None:
        page.keyboard.press("Control+s")
        page.goto(f"{installation.settings.url}hub/home")
        stop_on(page)
        expect(page.get_by_role("button", name="Stop My Server")).to_be_hidden()
        # The page says so as soon as the hub has begun to stop it.
        until(lambda: physicist.server() is None, 120, "the server is gone")

    def test_the_file_is_there_with_the_next_version(
        self, installation: Installation, physicist: Person, page: Page
    ) -> None:
        page.goto(f"{installation.settings.url}hub/spawn")
        choice = page.locator(f"input[name=appliance][value='{installation.next_appliance}']")
        page.locator("label", has_text="The next one").click()
        expect(choice).to_be_checked()
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/user/physicist/lab**", timeout=STARTED)
        assert physicist.machine()["appliance"] == installation.next_appliance
        page.locator(".jp-DirListing-item", has_text="higgs.ipynb").dblclick(timeout=PAGE)
        expect(page.locator(".jp-Notebook .jp-OutputArea-output pre").first).to_contain_text(
            "host", timeout=PAGE
        )
        picture(page, "next-version")

    def test_after_stopping_and_deleting_nothing_is_left(
        self, installation: Installation, physicist: Person
    ) -> None:
        physicist.stop()
        physicist.delete_homes()
        assert installation.domains() == {}
        for names in (installation.volumes(), installation.known_volumes()):
            assert {name.partition("-")[0] for name in names} <= {"base", "layer"}, names
        assert installation.rows("machines") == 0
