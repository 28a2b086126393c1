"""The spawner's part that offers what there is and takes a person's choice, from page, link and REST API."""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError
from traitlets import default

from cernvmapi.errors import CernVMError
from cernvmspawner import form, options, profiles
from cernvmspawner.connection import ConnectedSpawner
from cernvmspawner.failure import server_not_started
from cernvmspawner.options import Choice, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024

START_FROM_LINK = "start"


class FilledPage(HTTPError):
    """Not a fault: a link opens the options page with its choice made, and starts nothing by itself.

    JupyterHub starts a server for any link with options; a spawner can only decline, which is this exception.
    The hub writes it to its log and shows the page, without a message.
    """

    jupyterhub_message = ""

    def __init__(self) -> None:
        super().__init__(200, "The link opens the options page with its choice made; nothing failed")


class ChoosingSpawner(ConnectedSpawner):
    """Knows what may be chosen, and what was."""

    user_options: dict[str, Any]
    handler: Any
    _apply_overrides: Any

    _choice = Choice()

    @default("options_form")
    def _options_page(self) -> Any:
        return _render_options_page

    @default("options_from_form")
    def _options_of_page(self) -> Any:
        return self.options_of_page

    @default("apply_user_options")
    def _apply_checked_options(self) -> Any:
        return _apply_user_options

    async def offer(self) -> Offer:
        """Return what the user may choose from, now."""
        listed = self.profile_list
        if callable(listed):
            listed = listed(self)
            if inspect.isawaitable(listed):
                listed = await listed
        client = self.watcher.client
        appliances, flavors = await asyncio.gather(client.appliances.list(), client.flavors.list())
        cpus, memory = self.max_vcpus, (self.max_memory or 0) // MIB
        return Offer(
            appliances=appliances,
            flavors=flavors,
            profiles=profiles.read(listed or []),
            max_vcpus=min(cpus, math.ceil(self.cpu_limit)) if self.cpu_limit else cpus,
            max_memory_mib=min(memory, self.mem_limit // MIB) if self.mem_limit else memory,
            appliance=self.appliance or None,
            flavor=self.flavor or None,
            hidden=self.user.admin,
            kept=frozenset(one.appliance for one in self.watcher.serving(*self._key)),
        )

    async def checked(self, user_options: Mapping[str, Any]) -> Choice:
        """Return the choice that `user_options` make, or raise what the person reads when it cannot be."""
        try:
            return options.check(user_options, await self.offer())
        except CernVMError as error:
            raise server_not_started(error) from error

    async def options_page(self) -> str:
        """Return the options page, filled with a link's choice or the last one."""
        try:
            return form.page(
                await self.offer(), self._link_options() or self.user_options or {}, home=self.home
            )
        except CernVMError as error:
            self.log.warning("The options page of %s has nothing to offer: %s", self._log_name, error.detail)
            return form.page_without_controller(error.detail)

    def _link_options(self) -> dict[str, Any]:
        request = getattr(self.handler, "request", None)
        arguments = getattr(request, "query_arguments", None) or {}
        return options.from_form(
            {
                name.removeprefix("opt-"): [value.decode(errors="replace") for value in values]
                for name, values in arguments.items()
                if name.startswith("opt-")
            }
        )

    async def options_of_page(self, form_data: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return `user_options` from the options page; what cannot be is said on the page itself."""
        chosen = options.from_form(form_data)
        await self.checked(chosen)
        return chosen

    async def options_from_query(self, query_data: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return `user_options` from a link (``?opt-appliance=…&opt-flavor=…``).

        The options page opens with the choice made; with ``&opt-start=yes`` the server starts at once.
        """
        chosen = options.from_form(query_data)
        at_once = chosen.pop(START_FROM_LINK, "no") in {"yes", "true", "1"}
        await self.checked(chosen)
        if not at_once:
            raise FilledPage
        return chosen


async def _render_options_page(spawner: ChoosingSpawner) -> str:
    return await spawner.options_page()


async def _apply_user_options(spawner: ChoosingSpawner, user_options: Mapping[str, Any]) -> None:
    choice = await spawner.checked(user_options)
    for override in choice.overrides:
        spawner._apply_overrides(dict(override))  # noqa: SLF001
    spawner._choice = choice  # noqa: SLF001
