"""How a machine looks in a list: words, never colour alone, and nothing that is not shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from cernvmapi.models import Machine, Phase, Power, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTHING = "—"


class State(NamedTuple):
    """A machine's state for a reader: an icon of its own shape, a word, and a tone for the style sheet."""

    icon: str
    text: str
    tone: str


class Row(TypedDict):
    """What a list shows of a machine. It goes to the browser, so it holds what is shown and no more."""

    id: str
    name: str
    appliance: str
    icon: str
    state: str
    tone: str
    detail: str
    host: str
    address: str
    vcpus: int
    memory: str
    started: str | None


_STATES = {
    Status.PENDING: State("○", "Not started", "quiet"),
    Status.STARTING: State("◔", "Starting", "busy"),
    Status.RUNNING: State("●", "Running", "good"),
    Status.STOPPING: State("◕", "Stopping", "busy"),
    Status.STOPPED: State("■", "Stopped", "quiet"),
    Status.FAILED: State("✖", "Failed", "bad"),
    Status.DELETING: State("◌", "Being deleted", "busy"),
}
_UNKNOWN = State("?", "Unknown", "warn")
_PAUSED = State("❚❚", "Paused", "warn")
_STORED = State("▣", "Stored", "quiet")


def state(machine: Machine) -> State:
    """Return what to call the state of `machine`.

    A host out of reach makes the state unknown, whatever it was before: it is neither running nor stopped.
    """
    if machine.power is Power.UNKNOWN:
        return _UNKNOWN
    if machine.power is Power.PAUSED and machine.status is Status.RUNNING:
        return _PAUSED
    if machine.stored and machine.status is Status.STOPPED:
        return _STORED
    return _STATES[machine.status]


def detail(machine: Machine) -> str:
    """Return the sentence that explains the state, or an empty string where the state says it all."""
    if machine.power is Power.UNKNOWN:
        return f"Its host {machine.host or ''} does not answer.".replace("  ", " ")
    if machine.error is not None:
        return machine.error.detail
    if machine.lock is not None:
        return f"{machine.lock.author} locked it{': ' if machine.lock.reason else ''}{machine.lock.reason}."
    if machine.status is Status.STARTING and machine.timeline:
        return f"{machine.timeline[-1].message} ({machine.progress} %)"
    return ""


def memory(mib: int) -> str:
    """Return `mib` MiB in the unit a person would use."""
    gib = mib / 1024
    return f"{mib} MiB" if gib < 1 else f"{gib:.1f}".removesuffix(".0") + " GiB"


def started(machine: Machine) -> datetime | None:
    """Return when a running `machine` became ready; None for one that does not run."""
    if machine.status is not Status.RUNNING:
        return None
    return next((mark.at for mark in reversed(machine.timeline) if mark.phase is Phase.READY), None)


def row(machine: Machine) -> Row:
    """Return what a list shows of `machine`."""
    icon, text, tone = state(machine)
    since = started(machine)
    return Row(
        id=machine.id,
        name=machine.name,
        appliance=machine.appliance_title or machine.appliance,
        icon=icon,
        state=text,
        tone=tone,
        detail=detail(machine),
        host=machine.host or NOTHING,
        address=machine.address or NOTHING,
        vcpus=machine.vcpus,
        memory=memory(machine.memory_mib),
        started=since.astimezone(UTC).isoformat(timespec="seconds") if since else None,
    )


HEADINGS = ("Machine", "Appliance", "State", "Host", "Address", "CPUs", "Memory", "Started")


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `rows` as an aligned table in plain text, for terminals and for readers of the raw notebook."""
    cells = [HEADINGS, *(_cells(each) for each in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cells(each: Mapping[str, Any]) -> tuple[str, ...]:
    since = each["started"]
    return (
        each["name"],
        each["appliance"],
        f"{each['icon']} {each['state']}",
        each["host"],
        each["address"],
        str(each["vcpus"]),
        each["memory"],
        f"{datetime.fromisoformat(since):%Y-%m-%d %H:%M} UTC" if since else NOTHING,
    )
