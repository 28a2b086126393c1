"""The contract of CernVM Hub: models, errors and a typed client, sync and async."""

from cernvmapi.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
