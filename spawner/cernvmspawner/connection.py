"""The spawner's part that knows the controller: one connection and one watcher for all spawners of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import default

from cernvmapi.client import AsyncClient
from cernvmapi.errors import ControllerUnreachable
from cernvmspawner.requestlog import RequestLog
from cernvmspawner.settings import SpawnerSettings
from cernvmspawner.watcher import shared_watcher

if TYPE_CHECKING:
    from cernvmspawner.watcher import Key, MachineWatcher


class ConnectedSpawner(SpawnerSettings):
    """Reaches the controller, and knows whose server it is."""

    # What JupyterHub's Spawner has, beside which this class stands.
    log: Any
    user: Any
    name: str
    _log_name: str
    mem_limit: Any
    cpu_limit: Any

    @default("log")
    def _default_log(self) -> RequestLog:
        return RequestLog(super()._log_default())  # type: ignore[misc] # of traitlets' LoggingConfigurable

    @property
    def watcher(self) -> MachineWatcher:
        """What the hub knows of the controller's machines, shared by all spawners."""
        return shared_watcher(self.controller_url, self._make_client, self.log)

    @property
    def _key(self) -> Key:
        return self.user.name, self.name

    @property
    def _account(self) -> str | None:
        """The account beyond its name. The hub may give out a number again, and not with the same instant."""
        known = getattr(self.user, "orm_user", None)
        return f"{known.id}@{known.created.isoformat()}" if known else None

    def _make_client(self) -> AsyncClient:
        token = self.controller_token
        if self.controller_token_file:
            try:
                token = Path(self.controller_token_file).read_text().strip()
            except OSError as error:
                raise ControllerUnreachable(
                    f"The hub cannot read its token for the controller ({error.strerror}). "
                    "Ask the administrator."
                ) from error
        return AsyncClient(self.controller_url or None, token, self.controller_ca or None)
