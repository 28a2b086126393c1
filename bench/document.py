"""The page of the documentation that has the last figures: ``python -m bench --document``."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from deployment.settings import ROOT

from bench import report, surroundings
from bench.load import parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "docs/explanation/speed.md"

INTRODUCTION = """\
# How fast it is

`make bench` measures and prints all of this, keeps it with a plot in `bench-results/`, and
`python -m bench --document` writes this page from it. The figures here are of a machine with two cores whose
guests are emulated: they tell how parts compare, not what your hosts do. With `make bench ARGS=load` only the
controller is measured, which needs no libvirt daemon; `ARGS="soak --full"` makes the soak last ten minutes.
"""

UNDER_LOAD = """\
The controller is a process of its own with its real HTTP and database; its hosts are ten of libvirt's test
driver, which keeps domains in memory. Agents are played: they answer at once. So these figures are what the
controller itself costs; who asks runs beside it on the same two cores. SQLite waits for the disk at each
commit; PostgreSQL is one of the tests' own, which does not.
"""

TITLES = {
    "attach": "A restart",
    "lists": "Lists and memory",
    "burst": "Everybody at once",
    "stream": "Listeners",
    "metering": "What machines use",
    "soak": "Over time",
}

COMMENTS = {
    "attach": "The hub asks for pages of 500 machines, then follows one event stream; a poll is a look-up.",
    "burst": "There is room for exactly as many machines as start; the others are told so. Each start is "
    "about a dozen transactions, one after the other, so that it can be gone on with after any of them.",
    "metering": "Every 30 seconds each host is asked once and all is written in one transaction; some "
    "samples also make the history of longer ago coarser.",
    "soak": "The first third does not count, for caches fill. In less than ten minutes they may still do so: "
    "only the whole time shows whether memory is steady.",
}


def write(results: Path) -> None:
    """Write the page from the newest result that has each part."""
    machine: dict[str, Any] = {}
    under_load: dict[str, Any] = {}
    for path in sorted(results.glob("*.json")):
        found = json.loads(path.read_text())
        machine = found if found.get("hub") else machine
        under_load |= found.get("under load", {})
    (ROOT / PAGE).write_text(page(machine, under_load))


def page(machine: dict[str, Any], under_load: dict[str, Any]) -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    if machine:
        lines += ["## A cold start\n", "```text", *_cut(report.text(machine)), "```\n"]
    if under_load:
        lines += ["## The controller under load\n", UNDER_LOAD]
        if any(map(surroundings.doubtful, _measurements(under_load))):
            lines += [textwrap.fill(surroundings.CAVEAT, 110), ""]
    for name, title in TITLES.items():
        if name not in under_load:
            continue
        lines += [f"### {title}\n"]
        if name in COMMENTS:
            lines += [textwrap.fill(COMMENTS[name], 110), ""]
        for database, figures in under_load[name].items():
            sentence = f"- **{database}**: {parts.sentence(name, figures)}."
            lines += [textwrap.fill(sentence, 110, subsequent_indent="  ")]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _measurements(under_load: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for by_database in under_load.values():
        yield from by_database.values()


def _cut(text: str) -> list[str]:
    """Return the lines, none so long that it would have to be scrolled."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, 78, subsequent_indent="    ")]
