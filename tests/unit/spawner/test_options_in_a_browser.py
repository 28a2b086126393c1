"""The options page as a person meets it: by keyboard, in the dark, and where the clipboard is not allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, async_playwright
from tests.unit.spawner.standin_offer import APPLIANCES, FLAVORS

from cernvmspawner import form, profiles
from cernvmspawner.options import Offer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.browser

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        made = await browser.new_page()
        faults: list[str] = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made
        await browser.close()
        assert not faults


async def show(page: Page, offer: Offer, theme: str = "light") -> None:
    """Show the page as JupyterHub does, at an address without TLS, where there is no clipboard."""
    content = form.page(offer, {})
    await page.route(
        "http://hub.example/**",
        lambda route: route.fulfill(
            content_type="text/html; charset=utf-8",
            body=f'<!doctype html><html lang="en" data-bs-theme="{theme}"><title>Options</title><form>'
            f"{content}</form></html>",
        ),
    )
    await page.goto("http://hub.example/hub/spawn/alice/second")


async def test_everything_is_chosen_by_keyboard(page: Page) -> None:
    await show(page, Offer(APPLIANCES, FLAVORS))
    assert await page.text_content("#cernvm-picked") == "CernVM 6.1 · Small"
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    # The small size has too little memory for this appliance: it says so, and the next one is taken.
    assert await page.text_content("#cernvm-picked") == "CernVM Next 7.0-rc2 · Large"
    small = page.get_by_role("radio", name="Small")
    assert await small.is_disabled()
    assert await page.get_by_text("Too small for this appliance").first.is_visible()
    await page.keyboard.press("ArrowUp")
    assert await small.is_enabled()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowUp")
    assert await page.text_content("#cernvm-picked") == "CernVM 6.1 · Small"


async def test_groups_and_choices_have_names_for_a_screen_reader(page: Page) -> None:
    await show(page, Offer(APPLIANCES, FLAVORS, max_vcpus=4))
    group = page.get_by_role("group", name="Appliance")
    assert await group.get_by_role("radio", name="CernVM Version 6.1").is_checked()
    assert await page.get_by_role("group", name="Size").get_by_role("radio", name="Large").count() == 1
    assert await page.get_attribute("#cernvm-picked", "aria-live") == "polite"
    await page.get_by_text("A size of your own").click()
    await page.get_by_label("vCPUs (up to 4)").fill("3")
    assert await page.text_content("#cernvm-picked") == "CernVM 6.1 · Small · 3 vCPUs"


async def test_the_link_is_shown_where_the_clipboard_is_not_allowed(page: Page) -> None:
    await show(page, Offer(APPLIANCES, FLAVORS))
    await page.get_by_role("radio", name="Large").check()
    await page.get_by_role("button", name="Copy link").click()
    link = await page.get_by_label("Link to this choice").input_value()
    assert link == "http://hub.example/hub/spawn?opt-appliance=cernvm&opt-flavor=large"


async def test_a_value_of_ones_own_is_asked_for_where_other_is_chosen(page: Page) -> None:
    listed = profiles.read(
        [
            {"slug": "plain"},
            {
                "slug": "ana",
                "profile_options": {
                    "memory": {"choices": {"2G": {}}, "unlisted_choice": {"enabled": True}},
                },
            },
        ]
    )
    await show(page, Offer(APPLIANCES, FLAVORS, profiles=listed))
    assert await page.get_by_role("radio", name="plain").is_checked()
    await page.get_by_label("memory").select_option("Other…")
    assert await page.get_by_role("radio", name="ana").is_checked()
    await page.get_by_label("A value of your own").fill("6G")
    await page.get_by_role("button", name="Copy link").click()
    link = await page.get_by_label("Link to this choice").input_value()
    assert link.endswith(
        "?opt-profile=ana&opt-profile-option-ana--memory=unlisted-choice"
        "&opt-profile-option-ana--memory--unlisted-choice=6G"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_chosen_card_is_marked_in_every_theme(page: Page, theme: str) -> None:
    await show(page, Offer(APPLIANCES, FLAVORS), theme)
    borders = await page.eval_on_selector_all(
        ".cernvm-card", "cards => cards.map(card => getComputedStyle(card).borderTopColor)"
    )
    chosen = {"light": "rgb(194, 84, 10)", "dark": "rgb(247, 149, 82)"}[theme]
    assert [one == chosen for one in borders] == [True, False, True, False]
