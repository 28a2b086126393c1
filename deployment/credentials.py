"""Secrets and accounts of a deployment: made once, kept in files that only their owner reads."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, TypedDict

import msgspec
from traitlets.config.loader import PyFileConfigLoader

from cernvmcontroller.statedir import StateError, ensure_folder, hub_id, refuse_open, write_private

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


def ensure(settings: Settings) -> Accounts:
    """Make what is missing of secrets and accounts and return the accounts.

    Passwords stay as they are over the years; the URL follows the settings.

    Raises
    ------
    StateError
        Others may read what only its owner may, or it cannot be used; the sentence says what to do.
    """
    ensure_folder(settings.state)
    settings.log.mkdir(mode=0o700, exist_ok=True)
    for name in SECRETS:
        path = settings.secret(name)
        refuse_open(path)
        if not path.exists():
            write_private(path, secrets.token_hex(32))
    hub_id(settings.state / "hub_id")
    refuse_open(settings.accounts)
    if settings.accounts.exists():
        accounts = _read(settings.accounts)
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


def are_used(settings: Settings, accounts: Accounts) -> bool:
    """Say whether the hub's configuration lets these accounts in with these passwords."""
    hub = settings.hub_config
    try:
        config = PyFileConfigLoader(hub.name, str(hub.parent)).load_config()
    except Exception:  # noqa: BLE001 - a site's own program; the hub says what is wrong with it
        return False
    # Looked up one by one: what is not set would be made by reading it.
    of_hub, shared = config.get("JupyterHub", {}), config.get("SharedPasswordAuthenticator", {})
    return of_hub.get("authenticator_class") == "shared-password" and all(
        shared.get("admin_password" if account["admin"] else "user_password") == account["password"]
        for account in accounts["accounts"]
    )


def _read(path: Path) -> Accounts:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Accounts)
    except msgspec.DecodeError as error:
        raise StateError(
            f"{path} does not hold the accounts ({error}): restore it from a backup, or remove it, and new "
            "passwords are made."
        ) from None
