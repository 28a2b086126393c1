"""What an administrator does on the hub's page, with mouse and keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from playwright.async_api import expect
from tests.unit.interface.conftest import ARTIFACTS, MANY, change, visit

from cernvmapi.models import Enclosure, Status

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page
    from tests.unit.threats.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AUDIT = """async (tags) => {
    const found = await axe.run(document, {runOnly: {type: "tag", values: tags}});
    const line = (node) => node.html.slice(0, 120) + node.failureSummary;
    return found.violations.map((each) => `${each.id}: ${each.nodes.map(line).join(" | ")}`);
}"""


async def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"{name}.png")


DRAWN = """() => [...document.querySelectorAll(".cv-charts canvas")].every((canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value, place) => place % 4 === 3 && value > 0);
})"""
"""Whether there is something on every chart."""


async def infrastructure(page: Page) -> None:
    await page.get_by_role("tab", name="Virtual Infrastructure").click()
    await expect(page.get_by_role("grid").get_by_text("alice", exact=True).first).to_be_visible()


async def flaws(page: Page, axe: str) -> list[str]:
    """Return what axe-core finds, run in a world of its own: the page's policy lets nothing into the page."""
    session = await page.context.new_cdp_session(page)
    frame = (await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
    world = await session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})
    run = {"contextId": world["executionContextId"], "awaitPromise": True, "returnByValue": True}
    await session.send("Runtime.evaluate", {"expression": f"{axe};0", **run})
    answer = await session.send("Runtime.evaluate", {"expression": f"({AUDIT})({RULES})", **run})
    found: list[str] = answer["result"]["value"]
    return found


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "widgets/js/node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_rooms_are_readable_for_everybody(
    site: Site, browser: Browser, axe: str, scheme: str
) -> None:
    async with visit(site, browser, "carol", scheme) as page:
        await expect(page.get_by_text("2,499 stopped")).to_be_visible()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(page.get_by_text("machine.start user00002")).to_be_visible()
        await picture(page, f"dashboard-{scheme}")
        assert await flaws(page, axe) == []
        await infrastructure(page)
        await picture(page, f"infrastructure-{scheme}")
        assert await flaws(page, axe) == []
        await page.get_by_role("gridcell", name="alice", exact=True).first.click()
        await expect(page.get_by_role("heading", name="alice")).to_be_visible()
        await page.get_by_role("button", name="Show the console's end").click()
        await expect(page.get_by_text("login:")).to_be_visible()
        await picture(page, f"machine-{scheme}")
        assert await flaws(page, axe) == []
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await picture(page, f"dialog-{scheme}")
        assert await flaws(page, axe) == []


async def test_a_machine_is_renamed_and_its_snapshots_are_listed(
    site: Site, browser: Browser, axe: str
) -> None:
    machines = site.engine.machines.rows
    able = [*machines["m-00001"].actions, "snapshot", "revert", "forget-snapshot"]
    machines["m-00001"] = type(machines["m-00001"])(
        **{name: getattr(machines["m-00001"], name) for name in machines["m-00001"].__struct_fields__}
        | {"actions": able}
    )
    for scheme in ("light", "dark"):
        async with visit(site, browser, "carol", scheme) as page:
            await page.goto(f"{page.url.split('#')[0]}#infrastructure/m-00001")
            await page.reload()
            await page.get_by_text("Change …").click()
            await expect(page.get_by_label("Size").get_by_role("option", name="Small (1 CPU")).to_have_count(
                1
            )
            await page.get_by_label("Name", exact=True).fill(f"spectrum-{scheme}")
            await page.get_by_role("button", name="Save").click()
            await expect(page.get_by_role("heading", name=f"spectrum-{scheme}")).to_be_visible()
            await page.get_by_text("Usage …").click()
            await expect(page.get_by_text(re.compile("Processors: busy 0.50"))).to_be_visible()
            await expect(page.locator(".cv-charts canvas")).to_have_count(4)
            assert await page.evaluate(DRAWN)
            await page.get_by_role("button", name="A week").click()
            await expect(page.get_by_role("button", name="A week")).to_have_attribute("aria-pressed", "true")
            await page.locator(".cv-charts").scroll_into_view_if_needed()
            await picture(page, f"charts-{scheme}")
            await page.get_by_text("Snapshots …").click()
            await expect(page.get_by_text("before", exact=True)).to_be_visible()
            await page.get_by_text("Snapshots …").scroll_into_view_if_needed()
            await picture(page, f"settings-{scheme}")
            assert await flaws(page, axe) == []
            await page.get_by_role("button", name="Bring back to before").first.click()
            await expect(page.get_by_role("dialog")).to_contain_text("Whatever its disk and its home got")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_machines_xml_is_checked_saved_brought_back_and_looked_back_at(
    site: Site, browser: Browser, axe: str, scheme: str
) -> None:
    async with visit(site, browser, "carol", scheme) as page:
        await page.goto(f"{page.url.split('#')[0]}#infrastructure/m-00001")
        await page.reload()
        await page.get_by_text("XML …").click()
        editor = page.get_by_role("textbox", name="The machine's definition, in libvirt's XML")
        await expect(editor).to_contain_text('action="reset"')
        await editor.get_by_text("</devices>").click()
        await page.keyboard.press("Home")
        await page.keyboard.type("<hostdev mode='subsystem' type='pci'/>\n")
        await page.get_by_role("button", name="Check", exact=True).click()
        await expect(page.get_by_text(re.compile(r"Line 5 \(host-devices\)"))).to_be_visible()
        await expect(page.locator(".cm-lintRange-error")).to_be_visible()
        await page.get_by_role("button", name="Save", exact=True).last.click()
        await expect(page.get_by_role("alert").get_by_text("breaks a rule")).to_be_visible()
        await picture(page, f"xml-{scheme}")
        assert await flaws(page, axe) == []

        await editor.get_by_text("hostdev").click()
        await editor.press("Control+Shift+k")
        await expect(editor).not_to_contain_text("hostdev")
        await editor.get_by_text('"reset"').dblclick()
        await page.keyboard.type("poweroff")
        await page.get_by_label("Why, for those who look back").fill("ticket 1")
        await page.get_by_role("button", name="Save", exact=True).last.click()
        await expect(page.get_by_text("Saved. It counts from the machine's next start on.")).to_be_visible()
        await page.get_by_text("History …").click()
        await expect(page.get_by_text(re.compile("carol: ticket 1"))).to_be_visible()
        await page.get_by_role("button", name="Back to the hub's own").click()
        await page.get_by_role("dialog").get_by_role("button", name="Back to the hub's own").click()
        await expect(page.get_by_text("The hub wrote it.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_appliance_is_brought_here_and_a_feed_is_added(
    site: Site, browser: Browser, axe: str, scheme: str
) -> None:
    rows = site.engine.catalogue.rows
    file = Enclosure(url="https://feeds.example/0.qcow2", length=300 << 20)
    rows[0] = replace(rows[0], enclosures=[file], version="4.7", size=300 << 20, category="analysis")
    rows[1] = replace(rows[1], downloaded="entry-1", verified=True)
    async with visit(site, browser, "carol", scheme) as page:
        await page.get_by_role("tab", name="Repository").click()
        await expect(page.get_by_text("5 entries", exact=True)).to_be_visible()
        await picture(page, f"repository-{scheme}")
        assert await flaws(page, axe) == []
        await page.get_by_role("button", name="Plus Entry 0", exact=True).click()
        await page.get_by_role("button", name="Bring it here unverified").click()
        await expect(page.get_by_text("Entry 0 is downloaded")).to_be_visible()
        begun = [each for each in site.engine.operations.rows.values() if each.action == "appliance.download"]
        assert begun
        await page.get_by_label(re.compile("Address of a feed")).fill(f"https://feeds.example/{scheme}.rss")
        await page.get_by_role("button", name="Add the feed").click()
        await expect(page.get_by_text(f"https://feeds.example/{scheme}.rss")).to_be_visible()
        await page.get_by_role("searchbox").fill("Entry 3")
        await expect(page.get_by_text("1 entry", exact=True)).to_be_visible()
    async with visit(site, browser, "alice", scheme) as page:
        await page.get_by_role("tab", name="Repository").click()
        await expect(page.get_by_text("Only administrators see this.").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_host_is_rested_and_another_one_attached(
    site: Site, browser: Browser, axe: str, scheme: str
) -> None:
    async with visit(site, browser, "carol", scheme) as page:
        await infrastructure(page)
        await page.get_by_role("treeitem", name=re.compile("node1")).click()
        panel = page.get_by_label("Host", exact=True)
        await expect(panel).to_contain_text("41 vCPUs promised on 64 processors")
        await picture(page, f"host-{scheme}")
        assert await flaws(page, axe) == []
        await panel.get_by_text("Clusters …").click()
        await panel.get_by_label("Name of a new cluster").fill(f"atlas-{scheme}")
        await panel.get_by_role("button", name="Make it, with this host").click()
        await expect(panel.get_by_role("checkbox", name=f"atlas-{scheme}")).to_be_checked()
        assert site.engine.clusters.rows[f"atlas-{scheme}"].hosts == ["node1"]
        await page.get_by_role("button", name="Refresh").click()
        await page.get_by_role("treeitem", name=re.compile("node3")).click()
        await expect(panel).to_contain_text("It has not answered since 09:12.")
        await panel.get_by_role("button", name="Evacuate", exact=True).click()
        await expect(page.get_by_role("dialog")).to_contain_text("two machines on one disk destroy it")
        await expect(page.get_by_role("dialog").get_by_role("button", name="Evacuate")).to_be_disabled()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.get_by_role("button", name="Attach a host …").click()
        await page.get_by_label("Connection URI of libvirt").fill("qemu+tls://node9/system")
        await page.get_by_role("button", name="Try it").click()
        await expect(page.get_by_text("Nothing answers at qemu+tls://node9/system.")).to_be_visible()
        await picture(page, f"attach-{scheme}")
        assert await flaws(page, axe) == []
        await page.get_by_label("Name, for good").fill("node9")
        await page.get_by_role("button", name="Attach", exact=True).click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert site.engine.hosts.attached[-1].uris == ["qemu+tls://node9/system"]
    async with visit(site, browser, "alice", scheme) as page:
        await page.get_by_role("tab", name="Virtual Infrastructure").click()
        await expect(page.get_by_text("My machines")).to_be_visible()
        await expect(page.get_by_role("button", name="Attach a host …")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_machine_is_made_and_the_record_says_who_did_it(
    site: Site, browser: Browser, axe: str, scheme: str
) -> None:
    async with visit(site, browser, "carol", scheme) as page:
        await infrastructure(page)
        await page.get_by_role("treeitem", name=re.compile("node1")).click()
        await page.get_by_role("button", name="New machine …").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Host")).to_have_value("node1")
        await expect(dialog.get_by_label("Appliance").get_by_role("option")).to_have_count(2)
        await picture(page, f"new-machine-{scheme}")
        assert await flaws(page, axe) == []
        await dialog.get_by_label("Name (or its id)").fill(f"made-{scheme}")
        await dialog.get_by_role("button", name="Make it").click()
        await expect(page.get_by_role("heading", name=f"made-{scheme}")).to_be_visible()
        await page.get_by_role("tab", name="Admin").click()
        await expect(page.get_by_text("machine.create").first).to_be_visible()
        await expect(page.get_by_text("host local").first).to_be_visible()
        await picture(page, f"admin-{scheme}")
        assert await flaws(page, axe) == []
        await page.get_by_role("searchbox").fill("nobody")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Nothing was done.")).to_be_visible()


async def test_what_needs_attention_leads_to_the_machine(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await expect(page.get_by_text("node3 does not answer")).to_be_visible()
        await page.get_by_role("button", name="user00007: failed").click()
        await expect(page.get_by_role("heading", name="user00007")).to_be_visible()
        await expect(page.get_by_text("It did not boot within 180 s")).to_be_visible()
        assert page.url.endswith("#infrastructure/m-00007")
        await page.reload()
        await expect(page.get_by_role("heading", name="user00007")).to_be_visible()


async def test_an_operation_is_cancelled_from_the_dashboard(site: Site, browser: Browser) -> None:
    operations = site.engine.operations
    (operation,) = [each for each in operations.rows.values() if each.status == "running"]
    operations.rows[operation.id] = type(operation)(
        **{name: getattr(operation, name) for name in operation.__struct_fields__} | {"cancellable": True}
    )
    async with visit(site, browser, "carol") as page:
        await page.get_by_role("button", name="Cancel machine.start user00002").click()
        await expect(page.get_by_text("Cancel: machine.start user00002")).to_be_visible()
    assert operations.rows[operation.id].status == "cancelled"


async def test_ten_thousand_machines_are_scrolled_and_searched(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        grid = page.get_by_role("grid")
        await expect(grid).to_have_attribute("aria-rowcount", str(MANY + 1))
        await grid.focus()
        await page.keyboard.press("End")
        await expect(grid.get_by_text(f"user{MANY - 1:05}").first).to_be_visible()
        assert await grid.get_by_role("row").count() < 80
        await page.keyboard.press("/")
        await page.keyboard.type("user01234")
        await expect(grid).to_have_attribute("aria-rowcount", "2")
        await expect(page.get_by_text("1 machine", exact=True)).to_be_visible()


async def test_the_table_follows_what_happens(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        row = page.get_by_role("row").filter(has=page.get_by_text("user00001")).first
        await expect(row).to_contain_text("Running")
        change(site, "m-00001", status=Status.STOPPING)
        await expect(row).to_contain_text("Stopping", timeout=1000)


async def test_the_tree_filters_by_host(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        await page.get_by_role("treeitem", name=re.compile("All machines")).focus()
        for key in ("ArrowDown", "ArrowRight", "Enter"):
            await page.keyboard.press(key)
        await expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(MANY // 3 + 2))
        await expect(page.get_by_role("treeitem", name=re.compile("node1"))).to_have_attribute(
            "aria-selected", "true"
        )


async def test_a_command_is_offered_when_it_is_possible_and_says_why_not(
    site: Site, browser: Browser
) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        await page.get_by_role("gridcell", name="alice", exact=True).first.click()
        start = page.get_by_role("button", name="Start", exact=True)
        await expect(start).to_have_attribute("aria-disabled", "true")
        await expect(start).to_have_attribute("title", "It runs already.")
        await page.get_by_role("button", name="Shut down", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name="Shut down").click()
        await expect(page.get_by_text("Shut down: alice")).to_be_visible()
    assert [(row.actor, row.action, row.subject) for row in site.engine.audit.rows] == [
        ("carol", "machine.shutdown", "machine/m-00000")
    ]


async def test_deleting_takes_the_typed_name_and_escape_does_nothing(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        await page.get_by_role("gridcell", name="alice", exact=True).first.click()
        opener = page.get_by_role("button", name="Delete", exact=True)
        await opener.click()
        dialog = page.get_by_role("dialog")
        sure = dialog.get_by_role("button", name="Delete")
        await expect(sure).to_be_disabled()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(opener).to_be_focused()
        assert "m-00000" in site.engine.machines.rows
        await opener.click()
        await page.keyboard.type("alice")
        await sure.click()
        await expect(page.get_by_text("This machine is gone.")).to_be_visible()
    assert "m-00000" not in site.engine.machines.rows


async def test_many_are_chosen_with_shift_previewed_and_done_with_a_result_for_each(
    site: Site, browser: Browser
) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        await page.get_by_role("checkbox", name="Select alice").click()
        await page.get_by_role("checkbox", name="Select user00004").click(modifiers=["Shift"])
        await expect(page.get_by_text("5 machines selected")).to_be_visible()
        await page.get_by_role("button", name="Start (1)").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading")).to_have_text("Start: 1 of 5 machines")
        await expect(dialog.get_by_text("4 skipped:")).to_be_visible()
        await picture(page, "bulk-preview")
        await dialog.get_by_role("button", name="Start (1)").click()
        await expect(dialog.get_by_text("accepted")).to_have_count(1)
    assert [row.subject for row in site.engine.audit.rows] == ["machine/m-00003"]


async def test_an_action_is_copied_as_python(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await infrastructure(page)
        await page.get_by_role("gridcell", name="alice", exact=True).first.click()
        await page.get_by_role("button", name="Copy “Reboot” as Python").click()
        await expect(page.get_by_text("Copied:")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == ('from cernvmapi.client import Client\n\nClient().machines.reboot("m-00000", wait=True)')


async def test_a_user_sees_their_own_and_nothing_of_the_hosts(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "alice") as page:
        await infrastructure(page)
        await expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "2")
        await expect(page.get_by_role("treeitem")).to_have_count(1)
        await expect(page.get_by_role("treeitem", name="My machines")).to_be_visible()


async def test_a_controller_that_goes_is_said_and_heard_of_again(site: Site, browser: Browser) -> None:
    async with visit(site, browser, "carol") as page:
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await page.context.set_offline(True)
        for stream in list(site.listeners._services.streams):
            stream.cancel()
        await expect(page.get_by_text(re.compile("Disconnected since"))).to_be_visible()
        await page.context.set_offline(False)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=40_000)
