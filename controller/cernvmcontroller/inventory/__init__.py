"""Hosts, networks and pools: what machines run on."""

from cernvmcontroller.inventory.hostlink import HostLink
from cernvmcontroller.inventory.hostspec import HostSpec, load_hosts, machines_network
from cernvmcontroller.inventory.inventory import Inventory

__all__ = ["HostLink", "HostSpec", "Inventory", "load_hosts", "machines_network"]
