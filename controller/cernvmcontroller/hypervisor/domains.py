"""Verbs on domains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import libvirt

from cernvmapi.models import Power
from cernvmcontroller.hypervisor import errors, metadata
from cernvmcontroller.hypervisor.interface import (
    DomainEvent,
    DomainEventKind,
    DomainState,
    HypervisorEvent,
    WrongState,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.connection import Connection
    from cernvmcontroller.hypervisor.specs import MachineMetadata

_POWER = {
    libvirt.VIR_DOMAIN_NOSTATE: (Power.UNKNOWN, "NOSTATE"),
    libvirt.VIR_DOMAIN_RUNNING: (Power.ON, "RUNNING"),
    libvirt.VIR_DOMAIN_BLOCKED: (Power.ON, "BLOCKED"),
    libvirt.VIR_DOMAIN_PAUSED: (Power.PAUSED, "PAUSED"),
    # The guest is done and QEMU is still there: not off before it is gone.
    libvirt.VIR_DOMAIN_SHUTDOWN: (Power.ON, "SHUTDOWN"),
    libvirt.VIR_DOMAIN_SHUTOFF: (Power.OFF, "SHUTOFF"),
    libvirt.VIR_DOMAIN_CRASHED: (Power.OFF, "CRASHED"),
    libvirt.VIR_DOMAIN_PMSUSPENDED: (Power.PAUSED, "PMSUSPENDED"),
}


def _reasons(group: str) -> dict[int, str]:
    """Return libvirt's names of a state's reasons, from its constants."""
    pattern = re.compile(rf"VIR_DOMAIN_{group}_([A-Z_]+)$")
    return {
        value: match[1].lower()
        for name, value in vars(libvirt).items()
        if (match := pattern.match(name)) and match[1] != "LAST"
    }


_REASONS = {group: _reasons(group) for _, group in _POWER.values()}

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)
_ON = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)


def reading(state: int, reason: int) -> tuple[Power, str]:
    """Return what libvirt's numbers for state and reason mean."""
    power, group = _POWER.get(state, (Power.UNKNOWN, "NOSTATE"))
    word = _REASONS[group].get(reason, "unknown")
    if (power, word) == (Power.PAUSED, "starting_up"):
        # Libvirt is about to let QEMU run: whoever asks meanwhile, as after a restart, sees no pause.
        power = Power.ON
    # For a moment after a guest kernel's panic; once QEMU is gone it is the shut-off state's "crashed".
    return power, "crashed" if word == "panicked" else word


class Domains:
    """The domains of a connection.

    Their metadata is read once and kept until the domain's definition changes, so that a list of thousands is
    one call and not thousands.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._metadata: dict[str, MachineMetadata | None] = {}
        connection.subscribe(self._hear)

    async def all(self) -> list[DomainState]:
        """Return all domains."""
        found = await self._connection.call(self._all)
        gone = self._metadata.keys() - {each.uuid for each in found}
        for uuid in gone:
            self._metadata.pop(uuid, None)
        return found

    async def one(self, uuid: str) -> DomainState | None:
        """Return one domain, or None."""

        def look(connection: Any) -> DomainState | None:
            domain = find(connection, uuid)
            if domain is None:
                return None
            state, reason = domain.state()
            return self._state(domain, state, reason)

        return await self._connection.call(look)

    async def xml(self, uuid: str, *, defined: bool) -> str:
        """Return a domain's XML: of what runs, or of its definition."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if defined else 0
        return str(await self._connection.call(lambda c: c.lookupByUUIDString(uuid).XMLDesc(flags)))

    async def define(self, xml: str) -> None:
        """Define, or define anew."""
        uuid = await self._connection.call(
            lambda c: c.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).UUIDString()
        )
        self._metadata.pop(uuid, None)

    async def describe(self, uuid: str, told: MachineMetadata) -> None:
        """Write the metadata anew, into the definition and into what runs."""

        def describe(domain: Any) -> None:
            where = libvirt.VIR_DOMAIN_AFFECT_CONFIG
            if domain.isActive():
                where |= libvirt.VIR_DOMAIN_AFFECT_LIVE
            text = metadata.serialise(told, bare=True)
            kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
            domain.setMetadata(kind, text, metadata.PREFIX, metadata.NAMESPACE, where)

        await self._with(uuid, describe)
        self._metadata.pop(uuid, None)

    async def start(self, uuid: str) -> None:
        """Start, unless it runs."""

        def start(domain: Any) -> None:
            if domain.state()[0] in _ON:
                return
            try:
                domain.create()
            except libvirt.libvirtError as error:
                # Somebody else was faster.
                if error.get_error_code() not in errors.WRONG_STATE or domain.state()[0] not in _ON:
                    raise

        await self._with(uuid, start)

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to shut down."""

        def shutdown(domain: Any) -> None:
            if domain.state()[0] not in _ON:
                raise WrongState("The domain is not running.")
            domain.shutdown()

        await self._with(uuid, shutdown)

    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot."""

        def reboot(domain: Any) -> None:
            if domain.state()[0] in _OFF:
                raise WrongState("The domain is not running.")
            domain.reboot()

        await self._with(uuid, reboot)

    async def destroy(self, uuid: str) -> None:
        """Pull the plug."""

        def destroy(domain: Any) -> None:
            if domain.state()[0] in _OFF:
                return
            try:
                domain.destroy()
            except libvirt.libvirtError as error:
                # It went off by itself in between.
                if error.get_error_code() not in errors.WRONG_STATE or domain.state()[0] not in _OFF:
                    raise

        await self._with(uuid, destroy, missing_ok=True)

    async def undefine(self, uuid: str) -> None:
        """Remove the definition."""

        def undefine(domain: Any) -> None:
            # QEMU's driver would make a running one transient, of which nobody knows the end.
            if domain.state()[0] not in _OFF:
                raise WrongState("The domain runs; power it off first.")
            try:
                domain.undefineFlags(_UNDEFINE)
            except libvirt.libvirtError as error:
                if error.get_error_code() not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
                    raise
                # A driver that does not know all of these extras has none but this one.
                if domain.hasManagedSaveImage():
                    domain.managedSaveRemove()
                domain.undefine()

        await self._with(uuid, undefine, missing_ok=True)

    async def _with(self, uuid: str, act: Callable[[Any], None], *, missing_ok: bool = False) -> None:
        def call(connection: Any) -> None:
            try:
                act(connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError as error:
                if not (missing_ok and errors.is_not_found(error)):
                    raise

        await self._connection.call(call, slow=True)

    def _all(self, connection: Any) -> list[DomainState]:
        try:
            records = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
            found = [(domain, *domain.state()) for domain in connection.listAllDomains()]
        else:
            found = [(domain, each["state.state"], each["state.reason"]) for domain, each in records]
        states = []
        for domain, state, reason in found:
            try:
                states.append(self._state(domain, state, reason))
            except libvirt.libvirtError as error:
                if not errors.is_not_found(error):  # else it went in between
                    raise
        return states

    def _state(self, domain: Any, state: int, reason: int) -> DomainState:
        uuid = domain.UUIDString()
        try:
            said = self._metadata[uuid]
        except KeyError:  # or forgotten just now, in the event loop: we are in a worker's thread
            said = self._metadata[uuid] = _metadata(domain)
        power, words = reading(state, reason)
        return DomainState(uuid, domain.name(), power, words, said)

    def _hear(self, event: HypervisorEvent) -> None:
        if not isinstance(event, DomainEvent):
            self._metadata.clear()
        elif event.kind in (DomainEventKind.DEFINED, DomainEventKind.UNDEFINED):
            self._metadata.pop(event.uuid, None)


def find(connection: Any, uuid: str) -> Any:
    """Return libvirt's domain with this UUID, or None."""
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None
        raise


def _metadata(domain: Any) -> MachineMetadata | None:
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, metadata.NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return metadata.parse(text)
