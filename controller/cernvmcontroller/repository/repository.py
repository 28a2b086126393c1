"""The appliances that are here: in memory for starts, in the database for lists and events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from cernvmapi.errors import Invalid, NotFound
from cernvmcontroller import naming
from cernvmcontroller.repository.manifest import MANIFEST, Manifest, load_manifest, verify
from cernvmcontroller.store import Actor, Store, Transaction, appliances

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cernvmapi.models import Appliance

_log = structlog.get_logger(__name__)


class Repository:
    """The appliances.

    Parameters
    ----------
    store
        Where they are listed.
    manifests
        Paths of the manifests that the site configured.
    default
        Id of the default appliance; else that of before, or the first one that is not hidden.
    state
        Folder with what was downloaded, and in which verified images are remembered.
    """

    def __init__(self, store: Store, manifests: Sequence[Path], default: str | None, state: Path) -> None:
        self._store = store
        self._paths = manifests
        self._default = default
        self._stamps = state / "verified"
        self.folder = state / "repository"
        """Where downloaded appliances are, each in a folder that is called as its id."""
        self._known: dict[str, Manifest] = {}
        self._coming: set[str] = set()
        self._verifying: dict[str, asyncio.Lock] = {}

    async def load(self) -> None:
        """Read the manifests and bring the table to what they say.

        An appliance that is not here any more is hidden, not forgotten: machines may still use it.

        Raises
        ------
        Invalid
            Two manifests have the same id, or the default does not exist.
        """
        known: dict[str, Manifest] = {}
        for path in self._paths:
            manifest = load_manifest(path)
            if manifest.appliance.id in known:
                raise Invalid(f"Two appliances have the id {manifest.appliance.id}: give each its own.")
            known[manifest.appliance.id] = manifest
        for manifest in await asyncio.to_thread(self._downloaded):
            if manifest.appliance.id in known:
                _log.warning("an appliance was downloaded and is configured too", id=manifest.appliance.id)
            known.setdefault(manifest.appliance.id, manifest)
        async with self._store.read() as session:
            rows = {row.id: row for row in await appliances.listed(session, hidden=True)}
        visible = [key for key, manifest in known.items() if not manifest.appliance.hidden]
        visible.sort(key=lambda key: not (key in rows and rows[key].default))  # stable: it stays the default
        default = self._default or next(iter(visible), None)
        if default is not None and default not in known:
            raise Invalid(
                f"The default appliance {default} is not among those configured: {', '.join(known)}."
            )
        self._known = {
            key: Manifest(msgspec.structs.replace(manifest.appliance, default=key == default), manifest.image)
            for key, manifest in known.items()
        }
        async with self._store.write(Actor.system(), "repository.load", "appliances", audit=False) as tx:
            for key, manifest in self._known.items():
                row = rows.get(key)
                same = row is not None and appliances.to_model(row) == manifest.appliance
                if row is None or not same or row.path != str(manifest.image):
                    await appliances.put(tx, manifest.appliance, str(manifest.image))
            for key, row in rows.items():
                if key not in self._known and not (row.hidden and not row.default):
                    gone = msgspec.structs.replace(appliances.to_model(row), hidden=True, default=False)
                    await appliances.put(tx, gone, row.path)
        _log.info("repository loaded", appliances=sorted(self._known), default=default)

    def _downloaded(self) -> list[Manifest]:
        found = []
        for path in sorted(self.folder.glob(f"*/{MANIFEST}")):
            try:
                found.append(load_manifest(path))
            except Invalid as error:
                _log.error("a downloaded appliance cannot be used", reason=error.detail)
        return found

    async def add(self, tx: Transaction, id_: str) -> Manifest:
        """List an appliance whose folder is here, and return it; the first one there is becomes the default.

        Once that is committed, `offer` it.

        Raises
        ------
        Invalid
            Its folder has no image that its manifest fits.
        """
        manifest = await asyncio.to_thread(load_manifest, self.folder / id_ / MANIFEST)
        first = not any(known.appliance.default for known in self._known.values())
        appliance = msgspec.structs.replace(manifest.appliance, default=first)
        await appliances.put(tx, appliance, str(manifest.image))
        return Manifest(appliance, manifest.image)

    def offer(self, manifest: Manifest) -> None:
        """Have machines made of an appliance that was added."""
        self._known[manifest.appliance.id] = manifest

    def expect(self, id_: str) -> None:
        """Take note that an appliance is being downloaded, so that who asks for it hears so."""
        self._coming.add(id_)

    def expect_no_more(self, id_: str) -> None:
        """Take note that a download ended, however it did."""
        self._coming.discard(id_)

    async def appliances(self) -> list[Appliance]:
        """Return the appliances, hidden ones included."""
        async with self._store.read() as session:
            return [appliances.to_model(row) for row in await appliances.listed(session, hidden=True)]

    async def appliance(self, appliance_id: str) -> Appliance:
        """Return one appliance."""
        async with self._store.read() as session:
            return appliances.to_model(await appliances.get(session, appliance_id))

    def choose(self, appliance_id: str | None) -> Manifest:
        """Return the appliance that was asked for, the default one for None.

        Raises
        ------
        NotFound
            It is not configured, or not yet there.
        """
        if appliance_id is None:
            chosen = next((known for known in self._known.values() if known.appliance.default), None)
            if chosen is None and self._coming:
                raise NotFound("The first appliance is still being downloaded; try again when it is ready.")
            if chosen is None:
                raise NotFound("There is no appliance yet; ask an administrator to add one.")
            return chosen
        try:
            return self._known[appliance_id]
        except KeyError:
            if appliance_id in self._coming:
                raise NotFound(
                    f"The appliance {appliance_id} is still being downloaded; try again when it is ready."
                ) from None
            # Users read this: a hidden one is not named.
            offered = sorted(key for key, known in self._known.items() if not known.appliance.hidden)
            raise NotFound(
                f"There is no appliance {appliance_id}; there are {', '.join(offered) or 'none'}."
            ) from None

    async def image(self, appliance_id: str) -> Manifest:
        """Return the appliance with its image verified; read at most once however many wait."""
        manifest = self.choose(appliance_id)
        lock = self._verifying.setdefault(manifest.appliance.sha256, asyncio.Lock())
        async with lock:
            try:
                await asyncio.to_thread(verify, manifest.image, manifest.appliance.sha256, self._stamps)
            except OSError as error:
                raise Invalid(f"The image of {appliance_id} cannot be read: {error}") from None
        return manifest

    def bases(self) -> set[str]:
        """Return the volume names of the bases of all appliances that are configured."""
        return {naming.base_volume(known.appliance.sha256) for known in self._known.values()}

    def has_agent(self, appliance_id: str) -> bool:
        """Return whether our agent is inside; False for an appliance that is not configured any more."""
        manifest = self._known.get(appliance_id)
        return manifest is not None and manifest.appliance.agent_protocol is not None
