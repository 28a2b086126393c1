"""Secrets and accounts of a deployment: made once, kept in files that only their owner reads."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from pathlib import Path

    from deployment.settings import Settings

HUB_TOKEN = "hub_token"  # noqa: S105
"""The hub's spawners show it to the controller."""
SERVICE_TOKEN = "service_token"  # noqa: S105
"""The controller shows it to the hub."""
PROXY_TOKEN = "proxy_token"  # noqa: S105
"""The hub shows it to the proxy."""
SECRETS = (HUB_TOKEN, SERVICE_TOKEN, PROXY_TOKEN)


class Account(TypedDict):
    """Somebody who can log in."""

    name: str
    password: str
    admin: bool


class Accounts(TypedDict):
    """What `Settings.accounts` contains."""

    url: str
    accounts: list[Account]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at no moment half written or readable by others."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
    partial.replace(path)


def ensure(settings: Settings) -> Accounts:
    """Make what is missing of secrets and accounts and return the accounts.

    Passwords stay as they are over the years; the URL follows the settings.
    """
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.log.mkdir(mode=0o700, exist_ok=True)
    for name in SECRETS:
        path = settings.secret(name)
        if not path.exists():
            write_private(path, secrets.token_hex(32))
    hub_id = settings.state / "hub_id"
    if not hub_id.exists():
        write_private(hub_id, str(uuid.uuid4()))
    if settings.accounts.exists():
        accounts: Accounts = json.loads(settings.accounts.read_text())
    else:
        accounts = {
            "url": "",
            "accounts": [
                {"name": "physicist", "password": secrets.token_urlsafe(12), "admin": False},
                # JupyterHub asks at least 32 characters of an administrator's shared password.
                {"name": "admin", "password": secrets.token_urlsafe(30), "admin": True},
            ],
        }
    if accounts["url"] != settings.url:
        accounts["url"] = settings.url
        write_private(settings.accounts, json.dumps(accounts, indent=2) + "\n")
    return accounts
