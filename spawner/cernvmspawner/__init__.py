"""JupyterHub's side of CernVM Hub: a spawner whose servers are virtual machines."""

from cernvmspawner.spawner import CernVMSpawner

__all__ = ["CernVMSpawner"]
