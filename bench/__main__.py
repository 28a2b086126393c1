"""Measure, print, and keep the results in ``bench-results/``.

``python -m bench`` measures everything, ``python -m bench load`` the controller alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployment.settings import ROOT

from bench import appliance, document, guest, report, surroundings
from bench.baseline import Baseline
from bench.hubstart import Hub
from bench.installation import BenchFailed, Installation
from bench.load import parts

if TYPE_CHECKING:
    from types import FrameType

RESULTS = ROOT / "bench-results"
MACHINE, LOAD = "machine", "load"


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="How fast a machine starts, and the controller under load."
    )
    parser.add_argument(
        "parts",
        nargs="*",
        choices=[MACHINE, LOAD, *parts.NAMES, []],
        metavar="PART",
        help=f"{MACHINE}, {', '.join(parts.NAMES)}, or {LOAD} for all but {MACHINE}; default: everything",
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long the soak takes")
    parser.add_argument("--full", action="store_const", dest="seconds", const=600, help="ten minutes of it")
    parser.add_argument(
        "--document", action="store_true", help=f"write the last figures into {document.PAGE}"
    )
    parser.add_argument("--runs", type=int, default=3, help="starts of each kind; their median counts")
    parser.add_argument("--no-build", action="store_true", help="do not measure how long the appliance takes")
    parser.add_argument("--no-virsh", action="store_true", help="leave out virsh create")
    parser.add_argument("--no-simple", action="store_true", help="leave out SimpleLocalProcessSpawner")
    return parser.parse_args()


def say(what: str) -> None:
    """Tell who waits."""
    print(what, file=sys.stderr, flush=True)


def measure_machines(installation: Installation, options: argparse.Namespace) -> dict[str, Any]:
    """Start machines, with the hub and without."""
    found: dict[str, Any] = {"hub": [], "virsh": []}
    installation.start("bench/hub_config.py")
    with Hub(installation) as hub:
        first = hub.start()
        found["first"], found["acceleration"] = first.total, first.acceleration
        say(f"first start: {first.total:.1f} s")
        said = guest.analysis(installation.settings.url, installation.token)
        found["guest"], found["systemd-analyze"] = guest.seconds(said), said
        machine = hub.machine()
        if machine is None:
            raise BenchFailed("The server runs without a machine.")
        baseline = None if options.no_virsh else Baseline.of(installation, machine)
        hub.stop()
        try:
            # In turns, so that whatever else this machine does disturbs both alike.
            for run in range(options.runs):
                start = hub.start()
                hub.stop()
                found["hub"].append(dataclasses.asdict(start))
                say(f"hub {run + 1}: {start.total:.1f} s")
                if baseline is not None:
                    start = baseline.start()
                    found["virsh"].append(dataclasses.asdict(start))
                    say(f"virsh {run + 1}: {start.total:.1f} s")
        finally:
            if baseline is not None:
                baseline.remove()
    installation.stop()
    return found


def measure_processes(installation: Installation, runs: int) -> list[dict[str, Any]]:
    """Start servers as processes of this machine; the first start does not count."""
    installation.start("bench/simple_config.py")
    found = []
    with Hub(installation) as hub:
        for run in range(runs + 1):
            start = hub.start()
            hub.stop()
            say(f"local process {run}: {start.total:.1f} s")
            found.append(dataclasses.asdict(start))
    installation.stop()
    return found[1:]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that is asked for."""
    results: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
    chosen = set(options.parts or [MACHINE, LOAD])
    under_load = [name for name in parts.NAMES if chosen & {name, LOAD}]
    if under_load:
        results["under load"] = parts.measure(under_load, options.seconds, say)
    if MACHINE in chosen:
        with surroundings.noted(results):
            results |= measure_machine(options)
    return results


def measure_machine(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the appliance, and starts of each kind."""
    with tempfile.TemporaryDirectory(prefix="cernvmbench-") as folder:
        installation = Installation(Path(folder))
        results: dict[str, Any] = {}
        try:
            results["appliance"] = appliance.measure(installation.settings.cache, build=not options.no_build)
            results |= measure_machines(installation, options)
            if not options.no_simple:
                results["simple"] = measure_processes(installation, options.runs)
        finally:
            installation.clean()
    return results


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat the signal like Ctrl-C, so that what was made is removed."""
    raise KeyboardInterrupt


def main() -> int:
    """Measure and report."""
    signal.signal(signal.SIGTERM, interrupt)
    options = arguments()
    if options.document:
        document.write(RESULTS)
        return 0
    try:
        results = measure(options)
    except BenchFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    if results.get("hub"):
        results["summary"] = report.summary(results)
    RESULTS.mkdir(exist_ok=True)
    name = RESULTS / results["at"].replace(":", "").replace("+0000", "Z")
    name.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    report.plot(results, name.with_suffix(".png"))
    print(report.text(results))
    print(f"Kept in {name.relative_to(ROOT)}.json and .png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
