"""What the guest says about its own boot, asked through a kernel of its notebook server."""

from __future__ import annotations

import re
import time

import httpx
from tests.fixtures import kernel_connection

from bench.hubstart import USER
from bench.installation import BenchFailed

QUESTION = """
import subprocess
for words in (["time"], ["blame", "--no-pager"], ["critical-chain", "--no-pager"]):
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)
    print(done.stdout or done.stderr)
"""
FINISHED = re.compile(r"Startup finished in (?P<parts>.+?) = (?P<total>.+)")
DEADLINE = 300


def analysis(url: str, token: str) -> str:
    """Return what ``systemd-analyze`` says, once the boot is finished."""
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(
        base_url=f"{url}user/{USER}/api/", headers=headers, trust_env=False, timeout=60
    ) as http:
        kernel = http.post("kernels", json={"name": "python3"}).raise_for_status().json()["id"]
        deadline = time.monotonic() + DEADLINE
        while True:
            said = kernel_connection.execute(url, token, USER, kernel, QUESTION, deadline=DEADLINE)
            if FINISHED.search(said):
                return said
            if time.monotonic() > deadline:
                raise BenchFailed(f"The guest's boot does not finish:\n{said}")
            time.sleep(2)


def seconds(said: str) -> dict[str, float]:
    """Return the parts of the boot and its total, in seconds."""
    found = FINISHED.search(said)
    if found is None:
        return {}
    parts = {name: span(duration) for duration, name in re.findall(r"([\w. ]+?) \((\w+)\)", found["parts"])}
    return parts | {"total": span(found["total"])}


def span(text: str) -> float:
    """Return one of systemd's time spans, such as ``1min 2.345s``, in seconds."""
    units = {"min": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(min|ms|us|s)\b", text))
