"""How fast a long feed is read and stored: ``python -m bench.feeds``.

Its measure is feedparser alone on the same bytes, in a process of its own as well.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import uuid4

from cernvmcontroller.catalogue.isolation import read_apart
from cernvmcontroller.store import Actor, Store, entries, feeds
from cernvmcontroller.store.tables import FeedRow

SECONDS = 5.0
"""Within which 5,000 items are read and stored."""
MEBIBYTES = 200
"""Within which they are, of the reading process and of the storing one."""


@dataclass(frozen=True)
class Run:
    """Seconds of the parts of one reading."""

    read: float
    store: float
    again: float
    """Storing the same a second time."""

    @property
    def total(self) -> float:
        """From bytes to rows."""
        return self.read + self.store


def document(items: int) -> bytes:
    """Return a feed with as many items as wished, each with what a feed of appliances says."""
    return (
        "<?xml version='1.0'?><rss version='2.0' xmlns:hub='urn:cernvmhub:feed'><channel><title>Long</title>"
        + "".join(
            f"<item><title>Appliance {number} for x86_64</title><guid isPermaLink='false'>{number}</guid>"
            f"<description><![CDATA[An <b>appliance</b> with number {number}. {'It says much. ' * 10}]]>"
            "</description><category>Free</category><pubDate>Fri, 04 Apr 2008 18:13:17 +0200</pubDate>"
            f"<enclosure url='https://images.example.org/{number}.qcow2' length='{number + 1}' "
            f"type='application/x-qemu-disk'/><hub:sha256>{number:064x}</hub:sha256>"
            f"<hub:version>1.{number}</hub:version><hub:arch>x86_64</hub:arch></item>"
            for number in range(items)
        )
        + "</channel></rss>"
    ).encode()


def feedparser_alone(content: bytes) -> float:
    """Return the seconds that feedparser takes, in a new process, without that process's start."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_parse, (content,))


def _parse(content: bytes) -> float:
    import feedparser  # noqa: PLC0415 - in the new process, outside of what is measured

    begun = time.perf_counter()
    feedparser.parse(io.BytesIO(content))
    return time.perf_counter() - begun


async def once(content: bytes, folder: Path) -> Run:
    """Read and store a feed, in a database of its own."""
    store = await Store.open(f"sqlite+aiosqlite:///{folder}/{uuid4().hex}.sqlite", str(uuid4()))
    actor = Actor.system()
    try:
        async with store.write(actor, "feed.create", "feed/long", audit=False) as tx:
            await feeds.add(
                tx, FeedRow(id="long", title="Long", url="https://feeds.example.org/", interval=3600)
            )
        begun = time.perf_counter()
        read = await read_apart(content, "https://feeds.example.org/")
        after = [time.perf_counter()]
        for _ in range(2):
            rows = entries.prepared("long", read.entries)
            async with store.write(actor, "feed.refresh", "feed/long", audit=False) as tx:
                await entries.replace(tx, "long", rows)
            after.append(time.perf_counter())
    finally:
        await store.close()
    return Run(after[0] - begun, after[1] - after[0], after[2] - after[1])


def largest() -> tuple[float, float]:
    """Return the most memory in MiB that this process, and that the reading ones, ever had."""
    own, children = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own / 1024, children / 1024


def main() -> int:
    """Measure, and say whether it is within the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.feeds", description=__doc__)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    options = parser.parse_args()
    content = document(options.items)
    with tempfile.TemporaryDirectory() as folder:
        runs = [asyncio.run(once(content, Path(folder))) for _ in range(options.runs)]
    own, children = largest()  # before feedparser alone is measured, which has no limits
    alone = median(feedparser_alone(content) for _ in range(options.runs))
    total = median(run.total for run in runs)
    print(f"A feed of {options.items} items, {len(content) / 2**20:.1f} MiB (median of {len(runs)}):")
    print(f"  read and stored   {total:6.2f} s  ({'within' if total < SECONDS else 'OVER'} {SECONDS:g} s)")
    print(f"    read apart      {median(run.read for run in runs):6.2f} s")
    print(f"    stored          {median(run.store for run in runs):6.2f} s")
    print(f"    stored again    {median(run.again for run in runs):6.2f} s  (nothing had changed)")
    print(f"  feedparser alone  {alone:6.2f} s")
    print(f"  ratio             {total / alone:6.2f}")
    good = max(own, children) < MEBIBYTES
    print(f"  memory            {own:.0f} MiB here, {children:.0f} MiB in the reading process "
          f"({'within' if good else 'OVER'} {MEBIBYTES} MiB)")  # fmt: skip
    return 0 if good and total < SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
