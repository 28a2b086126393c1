"""Hosts, networks and pools: what machines run on."""

from cernvmcontroller.inventory.hostlink import HostLink
from cernvmcontroller.inventory.hostspec import Defaults, HostSpec, attached, load_hosts
from cernvmcontroller.inventory.inventory import Inventory

__all__ = ["Defaults", "HostLink", "HostSpec", "Inventory", "attached", "load_hosts"]
