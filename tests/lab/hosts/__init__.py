"""Several real libvirt hosts on one machine, and what happens to hosts.

Each host has network, mount, process and name namespaces of its own with a process 1 in them, its own
libvirt daemon with its own folders, host UUID and certificates, and a cable to one switch, a namespace too.
All of it hangs on pipes to the program that made it: whatever ends that program ends the hosts, their
machines and their devices. Folders that a killed program left are removed by the next one. Needs root,
iproute2 and util-linux. The machine's own libvirt daemon is neither used nor touched.

::

    async with hosts(2) as (alpha, beta):
        libvirt.open(alpha.tls_uri)
        alpha.cut()
"""

from tests.lab.hosts.host import Host, HostFailed
from tests.lab.hosts.lab import hosts

__all__ = ["Host", "HostFailed", "hosts"]
