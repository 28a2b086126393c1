"""``python -m tests.lab.hosts [N]``: run N hosts (3) until Ctrl-C and say how they are reached."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from tests.lab.hosts import Host, HostFailed, hosts
from tests.lab.hosts.host import SHARED
from tests.lab.hosts.lab import NAMES
from tests.lab.hosts.namespaces import NamespacesFailed


def describe(host: Host) -> str:
    """Return how a host is reached."""
    return f"{host.name}\n  network  {host.tls_uri}\n  socket   {host.uri}"


async def serve(number: int) -> None:
    """Run hosts until the program is told to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with hosts(number) as made:
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, stop.set)
        print("\n".join(describe(host) for host in made))
        print(f"\nAll see one folder, {SHARED}. For a controller's configuration:\n")
        print("c.CernVMController.hosts = [")
        for host in made:
            print(f'    {{"name": "{host.name}", "uris": ["{host.tls_uri}"], "pool": "{host.name}"}},')
        print("]\n\nCtrl-C ends them.", flush=True)
        await stop.wait()


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(
        prog="make lab",
        usage="make lab HOSTS=3",
        description="Several real libvirt hosts on this machine, until Ctrl-C. Needs root.",
    )
    parser.add_argument("number", type=int, nargs="?", default=3, choices=range(1, len(NAMES) + 1))
    number = parser.parse_args().number
    # Told to end while they still start: they are ended in order then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(number))
    except (HostFailed, NamespacesFailed, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
