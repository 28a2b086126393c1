"""The report on use: tables, a chart, and sums, over the last 30 days."""

from datetime import datetime, timedelta

from tests.unit.notebooks.conftest import text_of

from cernvmapi.usage import Grouping, Usage, UsageStatistics, UsageTotals, UseOf

TOTALS = UsageTotals(machine_seconds=36_000, cpu_seconds=7_200.0, memory_mib_seconds=3600 * 2048)


def statistics(query):
    named = {"owner": "alice", "appliance": "default"}[query["by"]]
    use = UseOf(
        name=named, starts=5, ready=4, failed=1, wait_seconds=31.0, wait_seconds_p95=58.4, totals=TOTALS
    )
    never = UseOf(name="", starts=1)
    return UsageStatistics(**span(query), by=Grouping(query["by"]), items=[use, never])


def usage(query):
    return Usage(
        subject="user/alice",
        **span(query),
        resolution=21_600,
        machines=[1.0, None, 2.0],
        cpus=[0.5, None, 1.5],
        totals=TOTALS,
    )


def span(query):
    start, end = (datetime.fromisoformat(query[name]) for name in ("from", "to"))
    assert end - start == timedelta(days=30)
    return {"start": start, "end": end}


async def test_the_report_tells_who_used_what(answers, run):
    answers |= {"/usage/statistics": statistics, "/usage": usage}
    notebook = await run("usage-report.ipynb")
    cells = {cell.id: cell for cell in notebook.cells}
    for cell, named in (("people", "alice"), ("appliances", "default")):
        first, second, third = text_of(cells[cell]).splitlines()
        assert first.split()[:4] == ["starts", "ready", "failed", "median"]
        assert second.split() == [named, "5", "4", "1", "31", "s", "58", "s", "10.0", "2.0"]
        assert third.split() == ["(unknown)", "1", "0", "0", "-", "-", "0.0", "0.0"]
    assert any("image/png" in output.get("data", {}) for output in cells["history"].outputs)
    assert text_of(cells["totals"]).startswith("10.0 hours of machines, 2.0 hours of CPU\n2.0 GiB hours")
