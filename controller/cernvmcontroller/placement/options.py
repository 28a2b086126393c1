"""What a site can turn about where machines go."""

from __future__ import annotations

from typing import Any

from traitlets import Callable, Dict, Enum, Float, Integer, List
from traitlets.config import Configurable

from cernvmcontroller.placement.candidate import Overcommit
from cernvmcontroller.placement.policy import Policy


class PlacementOptions(Configurable):
    """Options of the controller; they are set as ``c.CernVMController.…``."""

    placement = Enum(
        ["spread", "pack"], "spread", help="Spread machines over the hosts, or fill one after the other."
    ).tag(config=True)
    placement_filters: List[Any] = List(
        help="Rules that a host must pass, in their order: names of the controller's own, and functions "
        "`(host, wish)` that return why not, else None. Default: all of its own (see the page on placement)."
    ).tag(config=True)
    placement_weights = Dict(
        value_trait=Float(),
        help="What makes one host better than another, where it differs from the defaults: `accelerated` 10, "
        "`free_memory` 2, `free_processors` 1, `base_present` 0.05. 0 leaves one out.",
    ).tag(config=True)
    quota = Callable(
        None,
        allow_none=True,
        help="A function that is given what somebody has and asks for "
        "(`cernvmcontroller.machines.quota.Usage`) and returns why that is too much, else None.",
    ).tag(config=True)
    vcpu_overcommit = Float(4.0, help="How many vCPUs are promised for each processor of a host.").tag(
        config=True
    )
    memory_overcommit = Float(1.0, help="How much memory is promised for each MiB of a host.").tag(
        config=True
    )
    reserved_memory_mib = Integer(1024, help="Memory in MiB that a host keeps for itself.").tag(config=True)

    def policy(self) -> Policy:
        """Return the rules; `Invalid` where there is none of a name."""
        return Policy.of(self.placement_filters, self.placement_weights, pack=self.placement == "pack")

    def overcommit(self) -> Overcommit:
        """Return how much more than a host has may be promised."""
        return Overcommit(self.vcpu_overcommit, self.memory_overcommit)
