"""Machines' definitions: the XML of their domains, shown, written and looked back at."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import Annotated

from msgspec import Meta, field

from cernvmapi.models.base import Received, Sent

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class MachineXml(Sent, frozen=True, kw_only=True):
    """A machine's domain, as libvirt on its host has it (https://libvirt.org/formatdomain.html)."""

    machine: str
    xml: str
    """What it is started with, and what is edited."""
    digest: str
    """SHA-256 of `xml`, by which a later change is noticed."""
    running: str | None = None
    """What runs now, with all that libvirt chose for it; None while it is off."""
    own: bool = False
    """An administrator wrote it; else it is the hub's own."""
    pending: bool = False
    """It was written after the machine was started: it counts from the next start on."""


class XmlChange(Received, frozen=True, kw_only=True):
    """A machine's definition shall be another one."""

    xml: Annotated[str, Meta(max_length=262_144)]
    digest: Digest | None = None
    """Of what was edited: somebody else's change in between is not overwritten. None: whatever there is."""
    comment: Annotated[str, Meta(max_length=1000)] = ""
    """Why, for those who look back."""
    preview: bool = False
    """Only say what would change, and which rules it breaks; nothing is kept."""
    override: bool = False
    """Although it breaks rules; for those whom the controller's `xml_experts` names."""


class BrokenRule(Sent, frozen=True, kw_only=True):
    """What must not stand in a definition, and where it does."""

    rule: str
    """``identity``, ``size``, ``paths``, ``arguments``, ``host-devices`` or ``isolation``."""
    line: int
    """Of the XML as it was sent; 0 where something is missing."""
    message: str


class XmlChanged(Sent, frozen=True, kw_only=True):
    """What became of a change, or would."""

    machine: str
    kept: bool
    """False for a preview."""
    diff: str
    """Unified; empty where nothing differs."""
    broken: list[BrokenRule] = field(default_factory=list)
    digest: str
    """Of what there is now."""
    pending: bool = False
    """The machine runs: it counts from the next start on."""


class Definition(Sent, frozen=True, kw_only=True):
    """One of the definitions that a machine had."""

    number: int
    """Counts a machine's changes from 1."""
    at: datetime
    author: str
    comment: str = ""
    overrode: list[str] = field(default_factory=list)
    """The rules that it broke."""
    own: bool
    """False where the hub's own was brought back."""
    xml: str
    """As it was from then on."""
    diff: str
    """To what there was before."""
