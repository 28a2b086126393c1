"""Hosts, networks and pools: what machines run on."""

from cernvmcontroller.inventory.flavors import DEFAULT_FLAVORS, load_flavors
from cernvmcontroller.inventory.hostlink import HostLink
from cernvmcontroller.inventory.hostspec import Defaults, HostSpec, attached, load_hosts, machines_network
from cernvmcontroller.inventory.inventory import Inventory

__all__ = [
    "DEFAULT_FLAVORS",
    "Defaults",
    "HostLink",
    "HostSpec",
    "Inventory",
    "attached",
    "load_flavors",
    "load_hosts",
    "machines_network",
]
