"""The spawner's part that equips a notebook server: environment and certificates, sent as a session."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cernvmapi import requestid
from cernvmapi.errors import CernVMError
from cernvmspawner import certificates, lifecycle, session
from cernvmspawner.connection import ConnectedSpawner

if TYPE_CHECKING:
    from cernvmapi.models import Machine, Session
    from cernvmspawner.watcher import MachineWatcher

MIB = 1024 * 1024


class EquippingSpawner(ConnectedSpawner):
    """Makes the session of the machine's notebook server, and sends it again when it is needed."""

    # What JupyterHub's Spawner has, beside which this class stands.
    internal_ssl: bool
    internal_certs_location: str
    internal_trust_bundles: dict[str, str]
    ssl_alt_names: Any
    ssl_alt_names_include_local: bool
    environment: dict[str, Any]
    cmd: list[str]
    get_args: Any
    port: int

    machine_id: str
    _machine: Machine | None = None
    _sent: tuple[tuple[str, str | None], Session] | None = None
    _keeper: asyncio.Task[None] | None = None

    async def _session(self, machine: Machine) -> Session:
        """Return the session; the same again for the same place, so that a running server is left alone."""
        place = (machine.id, machine.address)
        if self._sent and self._sent[0] == place:
            return self._sent[1]
        self._machine = machine
        issued = None
        if self.internal_ssl:
            issued = await certificates.issue(
                self.internal_certs_location,
                machine.id,
                await self._alt_names(machine),
                self.internal_trust_bundles[certificates.AUTHORITY],
            )
        ca = await asyncio.to_thread(Path(self.controller_ca).read_text) if self.controller_ca else ""
        made = session.session(
            command=[*self.cmd, *self.get_args()],
            env=self.get_env(),
            port=self.port,
            certificates=issued,
            controller_ca=ca,
        )
        self._sent = (place, made)
        return made

    async def _alt_names(self, machine: Machine) -> list[str]:
        more = self.ssl_alt_names
        if callable(more):
            more = more(self)
            if inspect.isawaitable(more):
                more = await more
        local = ["DNS:localhost", "IP:127.0.0.1"] if self.ssl_alt_names_include_local else []
        return list(dict.fromkeys([f"IP:{machine.address}", *local, *more]))

    async def create_certs(self) -> dict[str, str]:
        """Return where the certificates will be in the machine; `start` makes them, with its address."""
        return dict(session.GUEST_CERT_PATHS)

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """Return `paths`: the contents go to the machine with its session."""
        return paths

    def get_env(self) -> dict[str, Any]:
        """Return the notebook server's environment: JupyterHub's, the controller's and the machine's."""
        env: dict[str, Any] = super().get_env()  # type: ignore[misc] # of JupyterHub's Spawner
        ours: dict[str, str] = {}
        if self.controller_guest_url:
            ours["CERNVM_API_URL"] = self.controller_guest_url
            if self.controller_ca:
                ours["CERNVM_API_CA"] = session.GUEST_CONTROLLER_CA
        if self._machine:
            ours["CERNVM_MACHINE_ID"] = self._machine.id
            ours["MEM_LIMIT"] = str(self._machine.memory_mib * MIB)
            ours["CPU_LIMIT"] = str(self._machine.vcpus)
        # What the administrator sets in `environment` has the last word, as everywhere in JupyterHub.
        return env | {name: value for name, value in ours.items() if name not in self.environment}

    def _keep_session(self) -> None:
        """Send the session again whenever the machine needs it, as after a restart of the controller."""
        if self._keeper:
            self._keeper.cancel()
        self._keeper = self.watcher.in_background(self._keep(self.watcher, self.machine_id))

    async def _keep(self, watcher: MachineWatcher, machine_id: str) -> None:
        async with aclosing(watcher.follow(machine_id)) as changes:
            async for machine in changes:
                if machine is None:
                    return
                if not machine.awaiting_session or machine.address is None:
                    continue
                if not self._sent:
                    self.log.error("%s needs its session, and this hub no longer has its token", machine_id)
                    continue
                with requestid.one_request():
                    try:
                        await lifecycle.send_session(watcher, machine, self._session)
                    except CernVMError as error:
                        self.log.warning(
                            "The session of %s could not be sent again: %s", machine_id, error.detail
                        )

    def _stop_keeping(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            self._keeper = None
