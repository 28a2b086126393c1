"""What a site can turn about machines; the options are in `cernvmcontroller.app` and `.options`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cernvmcontroller.placement import Overcommit, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cernvmcontroller.machines.quota import Quota


@dataclass(frozen=True)
class Settings:
    """Durations are in seconds."""

    hub_name: str = "cernvmhub"
    boot_timeout: float = 180
    session_timeout: float = 120
    server_timeout: float = 240
    reach_timeout: float = 45
    """That the hub's side of the network has to find the server; 0 does not look for it."""
    resend_timeout: float = 5
    """That the hub has to send a session again, before a machine is rebooted that would need it."""
    agent_stop_timeout: float = 30
    shutdown_timeout: float = 60
    poll_interval: float = 60
    """How often every machine is looked at although no event asked for it."""
    wait_interval: float = 5
    """The same for a machine that is waited for."""
    retry: float = 1
    """First pause before a failed step is tried again; it doubles up to a minute."""
    max_attempts: int = 5
    keep_unused: float = 86400
    """How long a base or layer that nothing needs stays in a pool."""
    port: int = 8888
    home_mib: int = 20480
    overcommit: Overcommit = field(default_factory=Overcommit)
    policy: Policy = field(default_factory=Policy)
    quota: Quota | None = None
    reserved_memory_mib: int = 1024
    """What a host keeps for itself."""
    metering: bool = False
    """Whether what machines use is sampled."""
    metrics_per_machine: bool = False
    fence_command: tuple[str, ...] = ()
    """Switches a dead host off before its machines are started elsewhere; ``{host}`` for its name."""
    xml_experts: frozenset[str] = frozenset()
    """Users who may break the rules for definitions, when they say so."""
    moves_encrypted: bool = True
    """Whether hosts encrypt the machines that they hand over to each other."""
    layer: Path | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    """Cloud-config of the site for all machines; no secrets."""
    certificates: tuple[Path, ...] = ()
    """Of the hub's internal_ssl: what the controller shows to the proxy, and whom it believes."""

    @property
    def start_timeout(self) -> float:
        """How long all that a start waits for in a machine may take."""
        return self.boot_timeout + self.session_timeout + self.server_timeout + self.reach_timeout
