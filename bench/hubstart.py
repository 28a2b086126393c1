"""A start through the hub, as a program sees it that uses the hub's REST API."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

from bench.installation import BenchFailed

if TYPE_CHECKING:
    from bench.installation import Installation

USER = "physicist"
DEADLINE = 600
"""Seconds for a start or a stop."""

ORDER = ("placed", "disk", "boot", "context", "server", "route")
"""The phases of a cold start; the last one is the hub's: from an answering server to its first page."""


@dataclass(frozen=True)
class Start:
    """One start: seconds from the request to the first answer of the server through the proxy."""

    total: float
    phases: dict[str, float] = field(default_factory=dict)
    acceleration: str = ""


def phases(began: float, marks: list[tuple[str, float]], ended: float) -> dict[str, float]:
    """Return how long each phase took, in seconds.

    Parameters
    ----------
    began, ended
        When the start was asked for and when the server answered through the proxy (seconds since the epoch).
    marks
        Name and instant of each mark of the machine's timeline. A phase begins at its first mark and ends
        where the next one begins; what comes before the first mark of ``disk`` is ``placed``.
    """
    begin = {"placed": began, "ready": ended}
    for name, at in marks:
        if name != "placed" and (name == "ready" or name not in begin):
            begin[name] = at
    begin["route"] = begin.pop("ready")
    if "disk" not in begin:
        del begin["placed"]  # there was nobody who places
    edges = [(name, begin[name]) for name in ORDER if name in begin] + [("", ended)]
    return {name: edges[n + 1][1] - at for n, (name, at) in enumerate(edges[:-1])}


class Hub:
    """The hub's REST API, with the benchmark's own token."""

    def __init__(self, installation: Installation) -> None:
        self._http = httpx.Client(
            base_url=installation.settings.url,
            headers={"Authorization": f"token {installation.token}"},
            trust_env=False,
            timeout=60,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        """Return what a page says, as JSON."""
        answer = self._http.get(path)
        answer.raise_for_status()
        return answer.json()

    def start(self) -> Start:
        """Start the server and return when it answers through the proxy."""
        began = time.time()
        answer = self._http.post(f"hub/api/users/{USER}/server", json={"user_options": {}}, timeout=DEADLINE)
        answer.raise_for_status()
        if answer.status_code != httpx.codes.CREATED:
            self._follow()
        self._reach(began + DEADLINE)
        ended = time.time()
        machine = self.machine()
        if machine is None:
            return Start(ended - began)
        marks = [(mark["phase"], _seconds(mark["at"])) for mark in machine["timeline"]]
        return Start(ended - began, phases(began, marks, ended), machine["acceleration"] or "")

    def _follow(self) -> None:
        """Return when the hub says that the server is ready."""
        with self._http.stream("GET", f"hub/api/users/{USER}/server/progress", timeout=DEADLINE) as stream:
            for line in stream.iter_lines():
                event = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if event.get("ready"):
                    return
                if event.get("failed"):
                    raise BenchFailed(f"The hub could not start the server: {event.get('message')}")
        raise BenchFailed("The hub's progress ended without a result.")

    def _reach(self, deadline: float) -> None:
        """Return when the server answers through the proxy."""
        while True:
            answer = self._http.get(f"user/{USER}/api/status")
            if answer.status_code == httpx.codes.OK and "started" in answer.json():
                return
            if time.time() > deadline:
                raise BenchFailed(f"The server is not reached: {answer.status_code} {answer.text[:200]}")
            time.sleep(0.05)

    def machine(self) -> dict[str, Any] | None:
        """Return the machine of the server, if it has one."""
        found = self.get(f"services/cernvm/api/v1/machines?owner={USER}")["items"]
        return found[0] if found else None

    def stop(self) -> None:
        """End the server and return when it is gone, its machine included."""
        self._http.delete(f"hub/api/users/{USER}/server", timeout=DEADLINE).raise_for_status()
        deadline = time.monotonic() + DEADLINE
        while self.get(f"hub/api/users/{USER}")["servers"] or self.machine() is not None:
            if time.monotonic() > deadline:
                raise BenchFailed("The server does not stop.")
            time.sleep(0.2)


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
