"""How much one machine may send and receive, enforced on its host's end of the interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmcontroller.hypervisor.elements import E

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True)
class Bandwidth:
    """What one machine may send and receive, in MiB a second; 0 is no limit."""

    send: int = 0
    receive: int = 0

    def element(self) -> _Element:
        """Return the ``<bandwidth>`` element of an interface.

        libvirt counts in KiB and from the guest's side. A burst of a second's worth lets short transfers
        through at full speed, and TCP find its pace. What a guest sends is policed (the kernel's
        ``act_police``), what it receives is queued (``sch_htb``,
        ``sch_sfq``).
        """
        node = E.bandwidth()
        for direction, mib in (("inbound", self.receive), ("outbound", self.send)):
            if mib:
                kib = str(mib * 1024)
                node.append(E(direction, average=kib, burst=kib))
        return node


UNLIMITED = Bandwidth()
