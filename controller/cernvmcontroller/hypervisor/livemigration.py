"""Live migration by libvirt, led by the controller: the hosts need not know of each other's daemons.

The source's daemon leads where libvirt calls it peer-to-peer; it would then need a client's certificate for
every other host, and whoever took one host would have them all.

libvirt ends on its own what a controller that is killed leaves: the connection breaks, the source goes on,
and what was coming in on the other side is removed (https://libvirt.org/migration.html).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import libvirt
from lxml import etree

from cernvmapi.errors import CernVMError, HostUnreachable, HypervisorFailed
from cernvmcontroller.hypervisor import errors
from cernvmcontroller.hypervisor.connection import Connection
from cernvmcontroller.hypervisor.interface import WrongState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cernvmcontroller.hypervisor.migration import Passage, Percent

_LOOK = 1.0
"""Seconds between two looks at how far it is."""

_PATIENCE = 30.0
"""Seconds that breaking off may take."""

_OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)
_TLS = ("tls", "x509", "certificate", "credentials")


class LiveMigration:
    """From one connection to others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def migrate(self, uuid: str, peer: object, passage: Passage, progress: Percent | None) -> None:
        """Move a running domain."""
        assert isinstance(peer, Connection)
        task = asyncio.ensure_future(
            self._connection.call_long(lambda c: _migrate(c, uuid, peer, passage), f"migrate {uuid}")
        )
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK))[0]:
                if progress is not None:
                    with contextlib.suppress(CernVMError):
                        progress(await self._connection.call(lambda c: _percent(c, uuid)))
            task.result()
        except asyncio.CancelledError:
            with contextlib.suppress(CernVMError):
                await self.abort(uuid)
            await asyncio.wait({task}, timeout=_PATIENCE)
            if task.done() and not task.cancelled():
                task.exception()  # that it was broken off is what was asked for
            raise

    async def abort(self, uuid: str) -> None:
        """Break it off."""

        def abort(connection: Any) -> None:
            try:
                connection.lookupByUUIDString(uuid).abortJob()
            except libvirt.libvirtError as error:
                if not errors.is_not_found(error) and error.get_error_code() not in errors.WRONG_STATE:
                    raise

        await self._connection.call(abort)


def _migrate(connection: Any, uuid: str, peer: Connection, passage: Passage) -> None:
    domain = connection.lookupByUUIDString(uuid)
    if domain.state()[0] in _OFF:
        raise WrongState("The domain is not running.")
    flags, params = _how(domain, passage)
    try:
        with peer.own() as there:
            domain.migrate3(there, params, flags)
    except libvirt.libvirtError as error:
        if errors.is_connection_lost(error) and connection.isAlive():
            # Of the other one; this one is not to blame.
            raise HostUnreachable(f"{peer.name} went away while a machine was moved there.") from None
        words = str(error)
        if passage.encrypted and any(word in words.lower() for word in _TLS):
            raise HypervisorFailed(
                f"The hosts cannot encrypt what is moved between them ({words}). Give the QEMU of each a "
                "certificate, as the guide to moving machines describes."
            ) from None
        raise


def _how(domain: Any, passage: Passage) -> tuple[int, dict[str, str]]:
    """Return libvirt's flags and parameters (virDomainMigrateFlags, VIR_MIGRATE_PARAM_*)."""
    flags = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_PERSIST_DEST
        | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        # A guest that writes faster than the network is slowed down until it has been moved.
        | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    )
    if passage.encrypted:
        flags |= libvirt.VIR_MIGRATE_TLS
    # libvirt knows shared file systems by their kind; the site knows more.
    flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC if passage.copied else libvirt.VIR_MIGRATE_UNSAFE
    params: dict[str, str] = {}
    if passage.address is not None:
        host = f"[{passage.address}]" if ":" in passage.address else passage.address
        params[libvirt.VIR_MIGRATE_PARAM_URI] = f"tcp://{host}"
    if any(here != there for here, there in passage.files.items()):
        written = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
        for name, more in (
            (libvirt.VIR_MIGRATE_PARAM_DEST_XML, 0),
            (libvirt.VIR_MIGRATE_PARAM_PERSIST_XML, libvirt.VIR_DOMAIN_XML_INACTIVE),
        ):
            params[name] = relocated(domain.XMLDesc(written | more), passage.files)
    return flags, params


def relocated(xml: str, files: Mapping[str, str]) -> str:
    """Return a domain's XML with the files that it refers to elsewhere; the others stay."""
    root = etree.fromstring(xml.encode())
    for source in root.iterfind(".//source[@file]"):
        here = str(source.get("file"))
        source.set("file", files.get(here, here))
    return etree.tostring(root, encoding="unicode")


def _percent(connection: Any, uuid: str) -> int:
    stats = connection.lookupByUUIDString(uuid).jobStats()
    total = int(stats.get("data_total", 0))
    return min(100, 100 * int(stats.get("data_processed", 0)) // total) if total else 0
