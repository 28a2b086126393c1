"""Through which connections a VNC server can be reached."""

import pytest

from cernvmapi.errors import Conflict
from cernvmcontroller.hypervisor.graphics import is_local
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor

REMOTE = [
    "qemu://node7/system",
    "qemu+tls://node7/system",
    "qemu+ssh://root@node7/system",
    "qemu+tcp://127.0.0.1:16509/system",
    "qemu+libssh2://node7/system",
    "qemu+ext:///system?command=/usr/bin/tunnel",
    "qemu+ssh:///system",
]


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/x"])
def test_a_unix_socket_of_this_machine_is_local(uri):
    assert is_local(uri)
    assert LibvirtHypervisor(uri).graphics_refusal == ""


@pytest.mark.parametrize("uri", REMOTE)
async def test_a_remote_connection_is_never_asked_for_what_would_kill_it(uri):
    assert not is_local(uri)
    hypervisor = LibvirtHypervisor(uri)
    assert "screenshots and keys" in hypervisor.graphics_refusal
    with pytest.raises(Conflict, match="remote host"):  # not `HostUnreachable`: libvirt is not even asked
        await hypervisor.open_graphics("6d3b8d0e-7a0c-4a5e-9d8c-0f0f0f0f0f0f")
