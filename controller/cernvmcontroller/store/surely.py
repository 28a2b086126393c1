"""Writing what must not be lost: as soon as the database takes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cernvmapi.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_AGAIN = 5.0
"""Seconds until a database that could not be used is tried again."""


async def surely(write: Callable[[], Awaitable[None]]) -> None:
    """Write, again and again while the database cannot be used."""
    while True:
        try:
            return await write()
        except StoreUnavailable:
            await asyncio.sleep(_AGAIN)
