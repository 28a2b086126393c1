"""What libvirt needs of this machine: a readable /dev/kvm, filters on bridges, and its daemons running."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

from deployment import debian

KVM = Path("/dev/kvm")
BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
"""Whether what crosses a bridge passes iptables; it is there while the module br_netfilter is loaded."""

SOCKETS = {
    "virtlogd": Path("/run/libvirt/virtlogd-sock"),
    "libvirtd": Path("/run/libvirt/libvirt-sock"),
}
"""In the order of their start: libvirtd hands the consoles of its machines to virtlogd."""

PATIENCE = 30
"""Seconds for a daemon to listen."""


def ensure() -> None:
    """Make /dev/kvm readable for libvirt's probe and bridges filtered, then start sleeping daemons.

    Raises
    ------
    deployment.debian.Missing
        When an administrator has to do it.
    """
    if not kvm_is_readable():
        # libvirt's probe runs QEMU without privileges; where that may not open the device, libvirt tries
        # again at every look-up of capabilities, which makes each definition of a machine take a minute.
        debian.as_root(
            "Libvirt must be able to read /dev/kvm.",
            ["chown", "root:kvm", str(KVM)],
            ["chmod", "0660", str(KVM)],
        )
    if not bridges_are_filtered():
        # Without it libvirt takes a machine's filter and only warns: its rules for TCP and UDP do nothing.
        debian.as_root(
            "Machines on a bridge must be filtered: without it they reach every port of this host.",
            ["modprobe", "br_netfilter"],
            ["sysctl", "--quiet", "--write", "net.bridge.bridge-nf-call-iptables=1"],
        )
    asleep = [name for name, path in SOCKETS.items() if not listens(path)]
    if asleep:
        start(asleep)
    if os.geteuid() != 0 and refusal():
        account = pwd.getpwuid(os.geteuid()).pw_name
        debian.as_root("This account may not use libvirt.", ["adduser", "--quiet", account, "libvirt"])
        reason = refusal()
        if reason:
            raise debian.Missing(
                f"This account may still not use libvirt, which says: {reason}\n"
                "Log out and in again; where nothing else helps, run this as root."
            )


def kvm_is_readable() -> bool:
    """Say whether group kvm may open /dev/kvm; where there is no such device, nothing needs to be done."""
    try:
        status = KVM.stat()
        group = grp.getgrnam("kvm").gr_gid
    except (FileNotFoundError, KeyError):
        return True
    world = stat.S_IROTH | stat.S_IWOTH
    shared = stat.S_IRGRP | stat.S_IWGRP
    return status.st_mode & world == world or (status.st_gid == group and status.st_mode & shared == shared)


def bridges_are_filtered() -> bool:
    """Say whether the TCP and UDP rules of a machine's filter are obeyed."""
    try:
        return BRIDGE_FILTER.read_text().strip() == "1"
    except FileNotFoundError:
        return False


def listens(path: Path) -> bool:
    """Say whether a daemon accepts connections on its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except PermissionError:
            return True  # it is there, and not for this account
        except OSError:
            return False
    return True


def refusal() -> str:
    """Return why libvirt refuses this account; empty where it does not.

    Its socket is open to all on Debian: who may use it is decided after that, so it has to be really asked.
    """
    command = ["virsh", "--quiet", "--connect", "qemu:///system", "uri"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or ["no reason"]
    return lines[-1].removeprefix("error: ")


def start(daemons: list[str]) -> None:
    """Start daemons, through the init system where there is one."""
    print(f"Starting {' and '.join(daemons)}", flush=True)
    if Path("/run/systemd/system").exists():
        commands = [["systemctl", "start", f"{name}.socket"] for name in daemons]
    else:
        commands = [[f"/usr/sbin/{name}", "--daemon"] for name in daemons]
    debian.as_root(f"{' and '.join(daemons)} must run.", *commands)
    deadline = time.monotonic() + PATIENCE
    while not all(listens(SOCKETS[name]) for name in daemons):
        if time.monotonic() > deadline:
            print(f"{' and '.join(daemons)} did not start listening in {PATIENCE} s.", file=sys.stderr)
            raise debian.Missing("Look into the system's log for the reason.")
        time.sleep(0.1)
