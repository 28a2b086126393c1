"""With `subdomain_host`, in a real browser: every server is a site of its own, and none acts in another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from deployment.supervision import serves
from playwright.async_api import BrowserContext, Page, async_playwright
from tests.unit.spawner.test_options_in_a_browser import QUIET

from cernvmapi.models import API_PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.threats.site import Site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("site", [{"subdomains": True, "with_proxy": True}], indirect=True, ids=["proxy"]),
]

ASK = """async ([url, options]) => {
    try {
        const answer = await fetch(url, {credentials: "include", ...options});
        return answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`;
    } catch (error) { return "refused"; }
}"""
LISTEN = """(url) => new Promise((told) => {
    const source = new EventSource(url, {withCredentials: true});
    source.onopen = () => told("heard");
    source.onerror = () => { source.close(); told("refused"); };
})"""
SEND_FORM = """(url) => {
    const form = document.createElement("form");
    form.method = "post"; form.action = url; form.enctype = "text/plain";
    document.body.append(form); form.submit();
}"""


@pytest.fixture
async def alice(site: Site) -> AsyncIterator[BrowserContext]:
    """Alice's browser: she has logged in, and looked at the controller's page."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        context = await browser.new_context(
            bypass_csp=True
        )  # or nothing of ours could be tried from its page
        page = await context.new_page()
        await page.goto(f"{site.settings.url}hub/login?next=%2Fhub%2Fhome")
        await page.fill("#username_input", "alice")
        await page.fill("#password_input", "x")
        await page.click("#login_submit")
        await page.goto(f"{site.settings.service_host}/services/cernvm/")
        assert "alice" in await page.inner_text("body > header")
        yield context
        await browser.close()


async def page_of_bob(site: Site, alice: BrowserContext) -> Page:
    """Open what Bob's server shows to Alice."""
    address = site.settings.url.replace("//hub.", "//bob.hub.") + "user/bob/lab"
    await alice.route(address, lambda route: route.fulfill(content_type="text/html", body="<body>Bob</body>"))
    page = await alice.new_page()
    await page.goto(address)
    return page


async def test_hub_controller_and_each_server_have_a_host_of_their_own(
    site: Site, alice: BrowserContext
) -> None:
    # `make run` asks the proxy itself whether all are ready.
    health = f"http://127.0.0.1:{site.hub.settings['public_port']}{API_PREFIX}/health"
    assert await asyncio.to_thread(serves, health, site.settings.service_host)
    assert not await asyncio.to_thread(serves, health, site.settings.url)
    await site.notebook_token("alice")
    page = await alice.new_page()
    await page.goto(f"{site.settings.url}user/alice/lab")
    assert urlsplit(page.url).hostname == "alice.hub.localhost"
    assert await page.inner_text("body") == '{"version": "0"}'
    # Where no other host's pages can do anything, there is also nothing of the controller.
    elsewhere = await page.goto(f"http://{urlsplit(page.url).netloc}{API_PREFIX}/machines")
    assert elsewhere is not None
    assert '"owner"' not in await elsewhere.text()
    for cookie in await alice.cookies():
        wide = cookie.get("domain", "").startswith(".")
        assert not wide or cookie.get("name") == "jupyterhub-session-id", cookie


async def test_the_controllers_own_page_acts(site: Site, alice: BrowserContext) -> None:
    page = alice.pages[0]
    token = {cookie["name"]: cookie["value"] for cookie in await alice.cookies(page.url)}["_xsrf"]
    started = await page.evaluate(
        ASK, [f"{API_PREFIX}/machines/m-alice/start", {"method": "POST", "headers": {"X-XSRFToken": token}}]
    )
    assert started.startswith("202 "), started
    assert [row.actor for row in site.engine.audit.rows] == ["alice"]


async def test_another_users_page_cannot_ride_the_visitors_cookies(site: Site, alice: BrowserContext) -> None:
    page = await page_of_bob(site, alice)
    assert "_xsrf" not in await page.evaluate("document.cookie")
    api = f"{site.settings.service_host}{API_PREFIX}"
    simple = {"method": "POST", "mode": "no-cors", "headers": {"Content-Type": "text/plain"}, "body": "{}"}
    # It is sent, without a question beforehand; what comes back is kept from the page.
    assert await page.evaluate(ASK, [f"{api}/machines/m-alice/start", simple]) in {"opaque", "refused"}
    for method in ("POST", "DELETE"):
        asked = {"method": method, "headers": {"X-XSRFToken": "x"}}
        assert await page.evaluate(ASK, [f"{api}/machines/m-alice", asked]) == "refused"
    for path in ("machines", "events", "machines/m-alice/console"):
        assert await page.evaluate(ASK, [f"{api}/{path}", {}]) == "refused"
    assert await page.evaluate(LISTEN, f"{api}/events") == "refused"
    async with page.expect_navigation() as sent:
        await page.evaluate(SEND_FORM, f"{api}/machines/m-alice/start")
    answer = await sent.value
    assert answer is not None
    assert answer.status == 403
    assert site.engine.audit.rows == []


async def test_another_users_page_starts_no_server_at_the_hub(site: Site, alice: BrowserContext) -> None:
    page = await page_of_bob(site, alice)
    for path in ("hub/api/users/alice/server", "hub/spawn/alice"):
        for mode in ("no-cors", "cors"):
            await page.evaluate(ASK, [f"{site.settings.url}{path}", {"method": "POST", "mode": mode}])
        async with page.expect_navigation() as sent:
            await page.evaluate(SEND_FORM, f"{site.settings.url}{path}")
        answer = await sent.value
        assert answer is not None
        assert answer.status == 403
        await page.go_back()
    assert not site.machines.requested
