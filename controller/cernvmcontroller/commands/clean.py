"""``cernvm-controller clean``: remove all that a hub made on its hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from traitlets import Unicode

from cernvmapi.errors import CernVMError
from cernvmcontroller import naming
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.everyhost import every_host
from cernvmcontroller.hypervisor import open_hypervisor
from cernvmcontroller.repository import load_manifest
from cernvmcontroller.statedir import StateError, known_hub_id, take_lock
from cernvmcontroller.upkeep.cleaning import clean_host
from cernvmcontroller.web.logs import logger

log = logger(__name__)


class Clean(CernVMController):
    """Removes machines, homes, volumes, pool, network and filter of this hub from all its hosts."""

    name = Unicode("cernvm-controller clean")
    description = Unicode(__doc__ or "")
    subcommands: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    async def run(self) -> None:
        """Clean every host, whatever the others say.

        Raises
        ------
        StateError
            A host could not be cleaned; the others were.
        """
        with take_lock(self.state / "controller.lock"):
            identity = known_hub_id(Path(self.hub_id_file))
            known = self._uploads()
            failed = []
            for spec in await every_host(self):
                hypervisor = open_hypervisor(spec.uri)
                try:
                    await hypervisor.open()
                    await clean_host(hypervisor, spec, self.hub_name, identity, known)
                except CernVMError as error:
                    failed.append(f"{spec.name}: {error.detail}")
                finally:
                    await hypervisor.close()
        if failed:
            raise StateError("Not everything could be removed. " + " ".join(failed))

    def _uploads(self) -> list[str]:
        """Return the names of what may be on a host unfinished."""
        found = []
        for path in self.appliances:
            try:
                found.append(naming.base_volume(load_manifest(Path(path)).appliance.sha256))
            except CernVMError as error:
                log.warning("manifest not read", reason=error.detail)
        return found
