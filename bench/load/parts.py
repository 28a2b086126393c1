"""The parts of the benchmark that put the controller under load, and what is printed of them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fixtures.postgres import PostgreSQL

from bench import surroundings
from bench.load import attach, burst, lists, metering, soak, stream

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = {
    "attach": attach.measure,
    "lists": lists.measure,
    "burst": burst.measure,
    "stream": stream.measure,
    "metering": metering.measure,
}
SOAK = "soak"
NAMES = (*PARTS, SOAK)
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)


def measure(chosen: list[str], seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the chosen parts, on each database where that makes a difference.

    Parameters
    ----------
    chosen
        Of `NAMES`.
    seconds
        How long the soak takes.
    say
        Tells who waits.
    """
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        server = None
        for name in chosen:
            databases = (SQLITE,) if name == SOAK else DATABASES
            for database in databases:
                if database == POSTGRESQL and server is None:
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cernvm-pg-"))
                    server = PostgreSQL(Path(folder))
                    server.start()
                    stack.callback(server.stop)
                url = server.create_database() if database == POSTGRESQL and server else None
                with tempfile.TemporaryDirectory(prefix="cernvmbench-") as folder:
                    path = Path(folder)
                    work = soak.measure(path, url, seconds) if name == SOAK else PARTS[name](path, url)
                    around: dict[str, Any] = {}
                    with surroundings.noted(around):
                        figures = asyncio.run(work)
                    found.setdefault(name, {})[database] = figures | around
                say(f"{name} on {database}: {sentence(name, found[name][database])}")
    return found


def sentence(name: str, figures: dict[str, Any]) -> str:
    """Return a part's figures in a sentence, with how busy the machine was."""
    return f"{text_of(name, figures)}; {surroundings.text(figures)}"


def text_of(name: str, figures: dict[str, Any]) -> str:
    """Return a part's figures in a sentence."""
    f = figures
    match name:
        case "attach":
            return (
                f"with {f['machines']} running machines the controller lists them after "
                f"{f['controller_lists']:.1f} s and has spoken with all after "
                f"{f['controller_looked_at_all']:.1f} s; a hub that is started knows all after "
                f"{f['hub_reattached']:.1f} s, by {sum(f['requests'].values())} requests "
                f"and {f['libvirt_calls']} libvirt calls"
            )
        case "lists":
            page, search, event = f["page"], f["search"], f["event while listing"]
            return (
                f"with {f['machines']} machines, {f['running']} of them running, it takes "
                f"{f['rss_mib']:.0f} MiB "
                f"({f['kib_per_machine']:.1f} KiB a machine), lists after {f['ready']:.1f} s; "
                f"a page of 100: p50 {_ms(page['p50'])}, p95 {_ms(page['p95'])}; "
                f"a search: p50 {_ms(search['p50'])}, p95 {_ms(search['p95'])}; "
                f"an event while four others list: {_ms(event)}"
            )
        case "burst":
            return (
                f"{f['starts']} starts at once: {f['starts_per_second']:.1f} a second, p50 {f['p50']:.1f} s, "
                f"p99 {f['p99']:.1f} s, {f['refused']} refused, {f['oversold_mib']} MiB oversold; "
                f"libvirt alone needs {f['bare']:.2f} s, that is {f['ratio']:.0f} times less"
            )
        case "stream":
            return (
                f"{f['events']} events to {f['listeners']} listeners: the last one has it after "
                f"p50 {_ms(f['p50'])}, p95 {_ms(f['p95'])}; {f['kib_per_listener']:.0f} KiB a listener, "
                "nothing lost"
            )
        case "metering":
            return (
                f"a sample of {f['machines']} machines on {f['hosts']} hosts takes p50 {f['tick']:.2f} s, "
                f"at most {f['slowest']:.2f} s, and {f['cpu']:.2f} s of CPU; other writes wait "
                f"{_ms(f['write'])}; the event loop is late by {_ms(f['lag'])} at most; libvirt alone "
                f"needs {_ms(f['bare'])}, that is {f['ratio']:.1f} times less; an hour of one machine: "
                f"p95 {_ms(f['chart'])}, of fifty: {_ms(f['charts'])}"
            )
        case _:
            return (
                f"{f['seconds']:.0f} s with {f['events_per_second']:.0f} events a second: "
                f"memory {f['mib_per_minute']:+.2f} MiB a minute, open files {f['open_files'][0]} to "
                f"{f['open_files'][1]}, tasks {f['tasks'][0]} to {f['tasks'][1]}"
            )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
