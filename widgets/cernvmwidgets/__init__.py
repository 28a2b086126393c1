"""Widgets over the controller's client, for notebooks."""

from cernvmwidgets.dashboard import Dashboard
from cernvmwidgets.mymachine import MyMachine
from cernvmwidgets.mymachines import MyMachines

__all__ = ["Dashboard", "MyMachine", "MyMachines"]
