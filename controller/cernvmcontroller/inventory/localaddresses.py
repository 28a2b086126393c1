"""The addresses of the machine that the controller runs on: guests shall not reach it through them."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
from ipaddress import IPv4Network, ip_address

import structlog

_log = structlog.get_logger(__name__)


def local_addresses(subnet: IPv4Network) -> tuple[str, ...]:
    """Return this machine's IPv4 addresses, without the loopback's and those in `subnet`.

    Asked from iproute2; where that is missing, nothing is known and nothing returned.
    """
    try:
        output = subprocess.run(
            ["ip", "-json", "-4", "address", "show"],  # noqa: S607 - where it is differs between systems
            capture_output=True,
            check=True,
            timeout=10,
        ).stdout
        interfaces = json.loads(output)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _log.warning("the machine's own addresses are not known", reason=str(error))
        return ()
    found = {
        str(entry["local"])
        for interface in interfaces
        for entry in interface.get("addr_info", [])
        if "local" in entry
    }
    return tuple(
        sorted(
            address
            for address in found
            if not ip_address(address).is_loopback and ip_address(address) not in subnet
        )
    )


def is_ours(address: str) -> bool:
    """Return whether this machine has an address, so that it can be listened on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
    return True
