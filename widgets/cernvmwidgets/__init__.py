"""Widgets over the controller's client, for notebooks."""

from cernvmwidgets.mymachines import MyMachines

__all__ = ["MyMachines"]
