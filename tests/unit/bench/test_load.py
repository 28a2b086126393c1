"""The parts of the benchmark that put the controller under load, with few machines."""

from __future__ import annotations

import pytest
from bench import document, surroundings
from bench.installation import BenchFailed
from bench.load import attach, burst, lists, metering, parts, soak, stream
from bench.load.figures import percentile, slope


def test_percentiles_are_values_that_were_measured():
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.95) == 95
    assert percentile([3.0], 0.99) == 3.0


def test_the_slope_is_the_growth_for_each_unit():
    assert slope([(0, 1.0), (1, 3.0), (2, 5.0)]) == pytest.approx(2.0)


async def test_as_many_start_as_there_is_room_for_and_the_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(burst, "STARTS", 4)
    monkeypatch.setattr(burst, "HOSTS", 2)
    monkeypatch.setattr(burst, "TOO_MANY", 2)
    found = await burst.measure(tmp_path, None)
    assert (found["starts"], found["refused"], found["oversold_mib"]) == (4, 2, 0)


async def test_every_listener_hears_every_event(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "LISTENERS", 5)
    monkeypatch.setattr(stream, "CHANGES", 3)
    found = await stream.measure(tmp_path, None)
    assert found["delivered"] == 5 * found["events"]
    assert found["events"] >= 3


async def test_lists_are_timed_and_memory_weighed(tmp_path, monkeypatch):
    for name, value in {"MACHINES": 30, "RUNNING": 10, "TIMES": 2}.items():
        monkeypatch.setattr(lists, name, value)
    found = await lists.measure(tmp_path, None)
    assert found["rss_mib"] > 10
    assert found["search"]["p95"] >= found["search"]["p50"] > 0


async def test_a_hub_finds_all_servers_again_without_a_call_of_libvirt(tmp_path, monkeypatch):
    monkeypatch.setattr(attach, "MACHINES", 8)
    found = await attach.measure(tmp_path, None)
    # Once for all spawners: what is there, and how long the controller itself waits.
    assert found["requests"] == {"GET list_machines": 1, "GET get_health_details": 1}
    assert found["libvirt_calls"] == 0


async def test_a_sample_is_timed_against_the_bare_calls(tmp_path, monkeypatch):
    for name, value in {"MACHINES": 20, "HOSTS": 2, "TICKS": 4, "TIMES": 1}.items():
        monkeypatch.setattr(metering, name, value)
    found = await metering.measure(tmp_path, None)
    assert found["tick"] > found["write"] > 0
    assert found["ratio"] == pytest.approx(found["tick"] / found["bare"])
    assert "a sample of 20 machines on 2 hosts" in parts.text_of("metering", found)


async def test_a_controller_that_grows_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "SAMPLE", 0.2)
    monkeypatch.setattr(soak, "LARGEST_SLOPE", -1000.0)
    with pytest.raises(BenchFailed, match="grows"):
        await soak.measure(tmp_path, None, 3)


FIGURES = {"listeners": 500, "events": 40, "p50": 0.03, "p95": 0.06, "kib_per_listener": 21.0}
QUIET, BUSY = ({surroundings.KEY: surroundings.of(0.2, after, 2)} for after in (1.5, 7.0))


def test_the_page_has_the_figures_and_no_line_that_is_too_long():
    page = document.page({}, {"stream": {parts.SQLITE: FIGURES | QUIET}})
    said = " ".join(page.split())
    assert "500 listeners: the last one has it after p50 30 ms, p95 60 ms" in said
    assert "nothing lost; the machine was quiet (load 0.2 before and 1.5 after, 2 cores)." in said
    assert surroundings.CAVEAT not in said
    assert max(map(len, page.splitlines())) <= 120


@pytest.mark.parametrize("around", [BUSY, {}], ids=["busy", "not known"])
def test_the_page_warns_of_figures_of_a_machine_that_was_busy(around):
    by_database = {parts.SQLITE: FIGURES | QUIET, parts.POSTGRESQL: FIGURES | around}
    page = document.page({}, {"stream": by_database})
    assert surroundings.CAVEAT in " ".join(page.split())


def test_each_part_is_noted_with_how_busy_the_machine_was(monkeypatch):
    async def measured(_folder, _url):
        return dict(FIGURES)

    loads = iter([(0.2, 0, 0), (1.5, 0, 0), (1.5, 0, 0), (7.0, 0, 0)])
    monkeypatch.setattr("os.getloadavg", lambda: next(loads))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setitem(parts.PARTS, "stream", measured)
    monkeypatch.setattr(parts, "DATABASES", (parts.SQLITE, "another"))
    told = []
    found = parts.measure(["stream"], 1, told.append)["stream"]
    around = [figures[surroundings.KEY] for figures in found.values()]
    assert [(one["machine"], one["load"]) for one in around] == [("quiet", [0.2, 1.5]), ("busy", [1.5, 7.0])]
    assert "the machine was busy (load 1.5 before and 7.0 after, 2 cores)" in told[1]
