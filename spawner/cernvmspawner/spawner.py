"""JupyterHub's side: a user's server is a machine of their own, and the controller does the work."""

from __future__ import annotations

import asyncio
import inspect
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jupyterhub.spawner import Spawner
from jupyterhub.utils import fmt_ip_url
from tornado.web import HTTPError
from traitlets import default, validate

from cernvmapi import requestid
from cernvmapi.errors import CernVMError, ControllerUnreachable, StartFailed
from cernvmapi.models import Machine, MachineCreate, Power, Status, VolumeKind
from cernvmspawner import lifecycle, progress
from cernvmspawner.choosing import ChoosingSpawner
from cernvmspawner.equipping import EquippingSpawner
from cernvmspawner.failure import server_not_started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cernvmspawner.watcher import MachineWatcher

MIB = 1024 * 1024
LAST_WORDS = 10.0
"""Seconds before JupyterHub's own deadline in which a start that takes too long says why."""


class CernVMSpawner(ChoosingSpawner, EquippingSpawner, Spawner):  # type: ignore[misc]
    """Starts a user's server in a virtual machine of their own, by way of the CernVM Hub controller."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.machine_id = ""
        self._saved: dict[str, Any] = {}
        self._starting = False
        self._begun = False
        self._revision = 0
        self._placed = asyncio.Event()
        self._obtaining: asyncio.Task[Machine] | None = None
        self._following: asyncio.Task[None] | None = None

    @default("ssl_alt_names")
    def _no_other_address(self) -> list[str]:
        """Return nothing: JupyterHub's default is the hub's own, for which a machine must not pass."""
        return []

    @default("ssl_alt_names_include_local")
    def _no_local_address(self) -> bool:
        """Return no: with an account beside the hub, a machine's key would pass for the controller."""
        return False

    @validate("oauth_client_id")
    def _unmistakable_client(self, proposal: Any) -> str:
        """Return an id that no other server has.

        JupyterHub puts a hyphen between user and server name. It would be one id for the server x-y of alice,
        y of alice-x and that of alice-x-y, and only the first of them could start. It quotes names, and a
        quoted name has no ``!``; a cookie's name, which this becomes, may have one.
        """
        given: str = proposal.value
        ending = f"-{quote(self.name)}"
        if self.name and given.endswith(ending):
            return f"{given.removesuffix(ending)}!{quote(self.name)}"
        return given

    async def start(self) -> str:
        """Start the machine with its notebook server and return where that is."""
        with requestid.one_request():
            self.log.info("Starting the server of %s", self._log_name)
            return await self._start_in_time()

    async def _start_in_time(self) -> str:
        self._begun = self._starting = True
        self._machine = self._sent = self._obtaining = None
        self._placed.clear()
        # Before JupyterHub's own deadline, which could not say how far it came.
        patience = max(self.start_timeout - LAST_WORDS, self.start_timeout / 2)
        try:
            try:
                async with asyncio.timeout(patience):
                    return await self._start(self.watcher, patience)
            except TimeoutError as error:
                raise StartFailed(
                    f"The machine did not get ready in time ({patience:g} seconds). {self._how_far()}"
                ) from error
        except CernVMError as error:
            raise await self._not_started(error) from error
        except asyncio.CancelledError:
            self.log.info("The start of %s was cancelled", self._log_name)
            self._clean_up_later()
            raise
        finally:
            self._starting = False
            self._placed.set()

    def _say_if_impatient(self, patience: float) -> None:
        """Tell the administrator of deadlines that hide the controller's reasons from the user."""
        longest = self.watcher.start_timeout
        if patience < longest:
            self.log.warning(
                "start_timeout is %g seconds, and the controller takes up to %g to say why a machine does "
                "not start: set c.Spawner.start_timeout to at least %g, or lower the controller's "
                "boot_timeout, session_timeout and server_timeout.",
                self.start_timeout,
                longest,
                longest + LAST_WORDS,
            )

    async def _start(self, watcher: MachineWatcher, patience: float) -> str:
        await watcher.cleaned_up(self._key)
        request = await self._request()
        # Shielded: a machine that is being made when the start is cancelled must be found, to be removed.
        self._obtaining = watcher.in_background(
            lifecycle.obtain(watcher, request, keep=not self.remove, patience=self.stop_timeout)
        )
        machine = await asyncio.shield(self._obtaining)
        self._machine, self.machine_id, self._revision = machine, machine.id, machine.revision
        self._placed.set()
        self.log.info(
            "%s gets the machine %s (%s, %s)", self._log_name, machine.id, machine.appliance, machine.flavor
        )
        await watcher.loaded()
        self._say_if_impatient(patience)
        self._machine = await lifecycle.start(watcher, machine, self._session)
        self._keep_session()
        return self._url_of(self._machine)

    async def _request(self) -> MachineCreate:
        choice = self._choice
        names = {"username": self.user.name, "servername": self.name}
        request = MachineCreate(
            owner=self.user.name,
            server_name=self.name,
            name=self.display_name or None,
            appliance=choice.appliance or self.appliance or None,
            flavor=choice.flavor or self.flavor or None,
            vcpus=choice.vcpus or (math.ceil(self.cpu_limit) if self.cpu_limit else None),
            memory_mib=choice.memory_mib or (self.mem_limit // MIB if self.mem_limit else None),
            home=self.home,
            owner_id=self._account,
            adopt_home=self.adopt_homes,
            home_mib=(self.home_capacity or 0) // MIB or None if self.home else None,
            notebook=True,
            labels={key: value.format(**names) for key, value in self.extra_labels.items()},
        )
        if self.modify_machine_hook:
            changed = self.modify_machine_hook(self, request)
            request = await changed if inspect.isawaitable(changed) else changed
        return request

    async def _not_started(self, error: CernVMError) -> Exception:
        machine, console = None, ""
        if self.machine_id:
            machine = self.watcher.get(self.machine_id)
            if not (machine and machine.console_tail) and not isinstance(error, ControllerUnreachable):
                console = await lifecycle.console_of(self.watcher.client, self.machine_id)
            self._clean_up_later()
        return server_not_started(error, machine, console)

    def _how_far(self) -> str:
        machine = self.watcher.get(self.machine_id)
        if machine is None or not machine.timeline:
            return "No host had taken it. Try again later, or ask the administrator."
        return f"The last that was heard of it: {machine.timeline[-1].message}"

    # --- progress ---

    async def progress(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield what happens in a start; any number of pages may listen, from any moment on."""
        try:
            async for event in self._progress():
                yield event
        except CernVMError as error:
            # The start itself says what is wrong; a progress page must not make it worse.
            self.log.warning("No progress to tell for %s: %s", self._log_name, error.detail)

    async def _progress(self) -> AsyncGenerator[dict[str, Any]]:
        yield progress.event("Looking for room for your machine…", 1)
        await self._placed.wait()
        if not self.machine_id:
            return
        before: Machine | None = None
        async with aclosing(self.watcher.follow(self.machine_id)) as changes:
            news = asyncio.ensure_future(anext(changes))
            try:
                while True:
                    done, _ = await asyncio.wait([news], timeout=self.slow_start_threshold or None)
                    if not done:
                        yield progress.event(self.slow_start_message)
                        continue
                    machine = news.result()
                    if machine is not None and machine.revision > self._revision:
                        for event in progress.news(machine, before):
                            yield event
                        before = machine
                    if progress.ended(machine, self._revision):
                        return
                    news = asyncio.ensure_future(anext(changes))
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)

    # --- poll and stop ---

    async def poll(self) -> int | None:
        """Return None while the server runs, starts or may run, and a number when it surely does not.

        No request is made. Before the machines were listed once, this waits: an answer would be a guess, and
        the hub acts on it.
        """
        if self._starting:
            return None
        if not self.machine_id and (self._begun or not self.server):
            return 0
        try:
            watcher = self.watcher
        except (CernVMError, OSError) as error:
            self.log.warning("The machines cannot be watched: %s", error)
            return None
        await watcher.loaded()
        if not self.machine_id:
            # The hub was ended in the middle of a start: what it left has a token that nobody knows.
            for left in watcher.serving(*self._key):
                self._clean_up_later(left.id)
            return 0
        machine = watcher.get(self.machine_id)
        code = exit_code(machine)
        if code is not None and machine is not None and self.remove and machine.status is not Status.DELETING:
            # The hub does not stop what has stopped: nobody else would clean up.
            self._clean_up_later()
        elif machine is not None and machine.owner != self.user.name:
            self._follow_the_user(machine)
        return code

    def _follow_the_user(self, machine: Machine) -> None:
        """Tell the controller of a user's new name, which the hub tells nobody; the home goes with it."""
        if self._following is not None and not self._following.done():
            return

        async def follow() -> None:
            try:
                changed = await self.watcher.client.machines.change(
                    machine.id, owner=self.user.name, owner_id=self._account
                )
            except CernVMError as error:
                self.log.warning("%s is not %s's yet: %s", machine.id, self._log_name, error.detail)
            else:
                self.log.info("%s, of %s until now, is %s's", machine.id, machine.owner, self._log_name)
                self.watcher.note(changed)

        self._following = self.watcher.in_background(follow())

    def _clean_up_later(self, leftover: str = "") -> None:
        """Remove, or switch off, in the background what a start left, once at a time.

        Parameters
        ----------
        leftover
            A machine of which this spawner knows nothing else; it is removed in any case.
        """
        watcher, machine_id, patience = self.watcher, leftover or self.machine_id, self.stop_timeout
        remove, obtaining = self.remove or bool(leftover), self._obtaining

        async def clean_up() -> None:
            target = machine_id
            if not target and obtaining is not None:
                # The request for a machine is still under way.
                await asyncio.wait([obtaining], timeout=patience)
                if not obtaining.done() or obtaining.cancelled() or obtaining.exception():
                    return
                target = obtaining.result().id
            if remove and target:
                await lifecycle.remove(watcher, target, patience=patience)
            elif target:
                await lifecycle.stop(watcher, target, now=True, grace=0, patience=patience)

        watcher.clean_up(self._key, clean_up)

    async def stop(self, now: bool = False) -> None:
        """Stop the machine and return when it is gone; the home stays."""
        with requestid.one_request():
            self.log.info("Stopping the server of %s", self._log_name)
            await self._stop(now=now)

    async def _stop(self, *, now: bool) -> None:
        watcher, machine_id = self.watcher, self.machine_id
        self._stop_keeping()
        await watcher.cleaned_up(self._key)
        if not machine_id:
            return
        await lifecycle.stop(watcher, machine_id, now=now, grace=self.stop_grace, patience=self.stop_timeout)
        if self.remove:
            await lifecycle.remove(watcher, machine_id, patience=self.stop_timeout)

    # --- state ---

    def get_state(self) -> dict[str, Any]:
        """Return what a new hub process must know; the machine itself is found at the controller."""
        state: dict[str, Any] = super().get_state()
        if self.machine_id:
            state["machine_id"] = self.machine_id
        if self._machine:
            self._saved = {
                "address": self._machine.address,
                "port": self._machine.port or self.port,
                "uuid": self._machine.uuid,
            }
        return state | (self._saved if self.machine_id else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier hub process."""
        super().load_state(state)
        self.machine_id = str(state.get("machine_id") or "")
        self._saved = {name: state[name] for name in ("address", "port", "uuid") if name in state}

    def clear_state(self) -> None:
        """Forget the machine: the server is stopped, or about to start anew."""
        super().clear_state()
        self._stop_keeping()
        self.machine_id = ""
        self._saved = {}
        self._machine = self._sent = None

    async def get_url(self) -> str:
        """Return where the server is, as far as is known; it never fails: the hub calls it unprotected."""
        known = str(self.server.url) if self.server else ""
        try:
            machine = self.watcher.get(self.machine_id)
        except (CernVMError, OSError):
            machine = None
        address = machine.address if machine else self._saved.get("address")
        if not address:
            return known
        port = (machine.port if machine else self._saved.get("port")) or self.port
        return f"{self._host_url(address, port)}{self.server.base_url if self.server else '/'}"

    def _url_of(self, machine: Machine) -> str:
        assert machine.address is not None
        return self._host_url(machine.address, machine.port or self.port)

    def _host_url(self, address: str, port: int) -> str:
        return f"{'https' if self.internal_ssl else 'http'}://{fmt_ip_url(address)}:{port}"

    # --- the end of a server, and its name ---

    async def delete_forever(self) -> None:
        """Delete what the user's server leaves: its machine and its home. Called when either is deleted."""
        watcher = self.watcher
        await watcher.cleaned_up(self._key)
        for machine in await watcher.client.machines.all(owner=self.user.name):
            if machine.server_name == self.name:
                await lifecycle.remove(watcher, machine.id, patience=self.stop_timeout)
        for volume in await watcher.client.volumes.all(owner=self.user.name, kind=VolumeKind.HOME):
            if volume.server_name == self.name and volume.owner_id in {None, self._account}:
                await watcher.client.volumes.delete(volume.id)
                self.log.info("Deleted the home %s of %s", volume.id, self._log_name)

    async def rename(self, old_name: str, new_name: str) -> None:
        """Let the server's machine and home follow its new name."""
        await super().rename(old_name, new_name)
        watcher, client = self.watcher, self.watcher.client
        await watcher.cleaned_up((self.user.name, old_name))
        try:
            for machine in await client.machines.all(owner=self.user.name):
                if machine.server_name == old_name:
                    watcher.note(await client.machines.change(machine.id, server_name=new_name))
            for home in await client.volumes.all(owner=self.user.name, kind=VolumeKind.HOME):
                if home.server_name == old_name and home.owner_id in {None, self._account}:
                    await client.volumes.change(home.id, server_name=new_name)
        except CernVMError as error:
            raise HTTPError(error.status, error.detail) from error


def exit_code(machine: Machine | None) -> int | None:
    """Return None for a machine whose server runs, may run, or is on its way; else what poll answers."""
    if machine is None:
        return 0
    if machine.power is Power.UNKNOWN:
        return None
    if machine.status in {Status.STARTING, Status.RUNNING, Status.STOPPING}:
        return None
    if machine.status is Status.PENDING and machine.target == "running":
        return None
    return 1 if machine.status is Status.FAILED else 0
