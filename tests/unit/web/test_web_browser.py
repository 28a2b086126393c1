"""Visits by browser: log-in through the hub, and pages of others that try to use its cookie."""

import json
import re

import pytest
from tests.unit.web.memoryrows import machine
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cernvmapi.consoles import PROTOCOL
from cernvmapi.models import Power, Status


@pytest.fixture
async def browser(served):
    """A browser that logged in as alice and has a page of the controller open."""
    async with served.http(follow_redirects=False) as http:
        url = f"{served.origin}/services/cernvm/"
        to_hub = await http.get(url)
        assert to_hub.status_code == 302
        location = to_hub.headers["Location"].replace("/hub/", served.hub.api_url.replace("api", ""), 1)
        back = await http.get(location)
        assert back.headers["Location"].startswith("/services/cernvm/oauth_callback?")
        logged_in = await http.get(served.origin + back.headers["Location"])
        assert logged_in.headers["Location"] == "/services/cernvm/"
        page = await http.get(url)
        assert page.status_code == 200, page.text
        http.headers["X-XSRFToken"] = http.cookies["_xsrf"]
        http.page = page
        yield http


async def test_a_visitor_logs_in_through_the_hub(browser):
    assert "alice" in browser.page.text
    assert (await browser.get("/machines")).json()["total"] == 1
    cookies = browser.page.request.headers["Cookie"]
    assert "service-cernvm=" in cookies
    assert "alice-write" not in cookies


async def test_the_page_takes_nothing_from_elsewhere_and_runs_nothing_that_stands_in_it(browser):
    policy = browser.page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "://" not in browser.page.text
    assert "onclick" not in browser.page.text


async def test_the_files_of_the_interface_are_the_only_ones(served, monkeypatch, tmp_path):
    (tmp_path / "page.js").write_text("1")
    (tmp_path / "secret.txt").write_text("2")
    monkeypatch.setattr("cernvmviews.FOLDER", tmp_path)
    async with served.http() as http:
        views = f"{served.origin}/services/cernvm/views"
        view = await http.get(f"{views}/page.js")
        assert (view.status_code, view.text) == (200, "1")
        assert view.headers["Content-Type"].startswith("text/javascript")
        again = await http.get(f"{views}/page.js", headers={"If-None-Match": view.headers["Etag"]})
        assert again.status_code == 304
        for name in ("secret.txt", "other.js", "..%2fpage.js", "%2e%2e/page.js"):
            assert (await http.get(f"{views}/{name}")).status_code == 404


async def test_a_page_without_its_interface_says_how_to_build_it(served, browser, monkeypatch, tmp_path):
    monkeypatch.setattr("cernvmviews.FOLDER", tmp_path / "none")
    page = await browser.get(f"{served.origin}/services/cernvm/")
    assert "deployment.interface build" in page.text


async def test_a_visitor_without_rights_is_told_so(served):
    served.hub.login_as = "dave-nothing"
    async with served.http("dave-nothing") as http:
        page = await http.get(f"{served.origin}/services/cernvm/")
    assert page.status_code == 403
    assert "custom:cernvm:read" in page.json()["detail"]


async def test_scripts_of_the_own_page_act_with_the_token_of_the_page(served, browser):
    headers = {"Origin": served.origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert (await browser.post("/machines/m-alice/start", headers=headers)).status_code == 202
    assert (await browser.get("/machines", headers=headers)).status_code == 200
    assert (await browser.post("/machines/m-bob/start", headers=headers)).status_code == 404


@pytest.mark.parametrize("token", [None, "", "wrong", "2|dead|beef|1", "x" * 5000])
async def test_without_the_pages_token_nothing_is_done(served, browser, token):
    del browser.headers["X-XSRFToken"]
    headers = {} if token is None else {"X-XSRFToken": token}
    for request in (
        browser.post("/machines/m-alice/start", headers=headers),
        browser.delete("/machines/m-alice", headers=headers),
        browser.delete("/volumes/v-alice", headers=headers),
    ):
        response = await request
        assert response.status_code == 403
        assert "XSRF" in response.json()["detail"]
    assert served.engine.audit.rows == []


async def test_another_users_page_token_is_worth_nothing(served, browser):
    page_token = browser.headers["X-XSRFToken"]
    served.hub.login_as = "bob-write"
    async with served.http(follow_redirects=False) as other:
        to_hub = await other.get(f"{served.origin}/services/cernvm/")
        state = re.search("state=([^&]+)", to_hub.headers["Location"])[1]
        await other.get(f"{served.origin}/services/cernvm/oauth_callback?code=the-code&state={state}")
        response = await other.post("/machines/m-bob/start", headers={"X-XSRFToken": page_token})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_cannot_act_even_with_the_token(served, browser, headers):
    assert (await browser.post("/machines/m-alice/start", headers=headers)).status_code == 403
    assert served.engine.audit.rows == []


async def test_a_token_in_the_header_needs_no_page(served):
    async with served.http("alice-write") as http:
        headers = {"Origin": "https://elsewhere.example"}
        assert (await http.post("/machines/m-alice/start", headers=headers)).status_code == 202


async def test_a_log_in_that_somebody_else_began_is_refused(served):
    async with served.http() as http:
        response = await http.get(f"{served.origin}/services/cernvm/oauth_callback?code=x&state=y")
        assert response.status_code == 403
        assert (await http.get(f"{served.origin}/services/cernvm/oauth_callback")).status_code == 400


async def test_a_token_in_the_url_is_no_token(served):
    async with served.http() as http:
        assert (await http.get("/machines?token=alice-write")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Origin": "http://bob.hub.localhost", "Sec-Fetch-Mode": "cors"},
        {"Origin": "http://bob.hub.localhost"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_cannot_even_ask(browser, headers):
    assert (await browser.get("/machines", headers=headers)).status_code == 403


async def test_where_a_browser_says_no_origin_its_referer_counts(served, browser):
    for page in ("https://evil.example/", "http://alice.hub.localhost:1/user/alice/lab"):
        foreign = await browser.post("/machines/m-alice/start", headers={"Referer": page})
        assert foreign.status_code == 403
    own = {"Referer": f"{served.origin}/services/cernvm/"}
    assert (await browser.post("/machines/m-alice/start", headers=own)).status_code == 202


async def test_a_link_from_anywhere_leads_here(browser):
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Referer": "https://elsewhere.example/",
    }
    assert (await browser.get("/machines", headers=link)).status_code == 200


async def test_its_cookies_are_of_this_host_and_path_alone(served):
    async with served.http() as http:
        to_hub = await http.get(f"{served.origin}/services/cernvm/")
    cookies = to_hub.headers.get_list("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert "Domain=" not in cookie
        assert "Path=/services/cernvm/" in cookie
        assert "HttpOnly" in cookie or cookie.startswith("_xsrf=")


async def test_with_domains_of_their_own_the_log_in_is_at_the_hubs(served):
    served.services.hub.hub_host = "http://hub.localhost:8000"
    served.services.hub.oauth_authorization_url = "http://hub.localhost:8000/hub/api/oauth2/authorize"
    async with served.http() as http:
        to_hub = await http.get(f"{served.origin}/services/cernvm/")
    assert to_hub.headers["Location"].startswith("http://hub.localhost:8000/hub/api/oauth2/authorize?")


def console(served, browser, ticket, **headers):
    """Open a console as a page does: with the cookies, and with what the browser says of the page."""
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return connect(
        f"ws://127.0.0.1:{served.port}/services/cernvm/api/v1/machines/m-alice/console/socket",
        subprotocols=[PROTOCOL, f"ticket.{ticket}"],
        additional_headers={"Cookie": cookies, "Sec-Fetch-Mode": "websocket", **headers},
        proxy=None,
    )


async def ticket_of_a_page(served, browser):
    served.engine.machines.put(machine("m-alice", "alice", status=Status.RUNNING, power=Power.ON))
    headers = {"Origin": served.origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    answer = await browser.post("/machines/m-alice/console", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["ticket"]


async def test_a_page_of_the_hub_opens_a_console_with_its_cookie(served, browser):
    ticket = await ticket_of_a_page(served, browser)
    page = {"Origin": served.origin, "Sec-Fetch-Site": "same-origin"}
    async with console(served, browser, ticket, **page) as opened:
        assert json.loads(await opened.recv())["offset"] == 0
        del served.hub.tokens["alice-write"]
        with pytest.raises(ConnectionClosed) as end:
            await opened.recv()
    assert end.value.rcvd.code == 4003


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Referer": "http://127.0.0.1/services/cernvm/"},
    ],
    ids=["unknown", "another", "sibling", "cross", "referer"],
)
async def test_a_page_that_is_not_this_hubs_gets_no_console_even_with_a_ticket(served, browser, page):
    ticket = await ticket_of_a_page(served, browser)
    with pytest.raises(InvalidStatus) as refused:
        async with console(served, browser, ticket, **page):
            pass
    assert refused.value.response.status_code == 403
    assert "page of another site" in json.loads(refused.value.response.body)["detail"]


async def test_without_the_pages_token_there_is_no_ticket(served, browser):
    del browser.headers["X-XSRFToken"]
    answer = await browser.post("/machines/m-alice/console", headers={"Origin": served.origin})
    assert answer.status_code == 403
