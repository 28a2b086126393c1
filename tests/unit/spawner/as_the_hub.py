"""What JupyterHub does with a spawner, done by a test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cernvmspawner import CernVMSpawner

DEADLINE = 30


async def started(spawner: CernVMSpawner, options: dict[str, Any] | None = None) -> str:
    """Do what the hub does with a spawner that starts."""
    spawner.user_options = options or {}
    token = spawner.api_token
    spawner.clear_state()
    spawner.api_token = token
    await spawner.apply_group_overrides()
    await spawner._run_apply_user_options(spawner.user_options)
    if spawner.internal_ssl:
        spawner.cert_paths = await spawner.move_certs(await spawner.create_certs())
    async with asyncio.timeout(DEADLINE):
        return await spawner.start()


async def watched(spawner: CernVMSpawner, revision: int) -> None:
    async with asyncio.timeout(DEADLINE):
        async for machine in spawner.watcher.follow(spawner.machine_id):
            if machine is None or machine.revision >= revision:
                return
