"""What the stand-in of a controller offers, and how its starts go."""

from __future__ import annotations

from datetime import UTC, datetime

from cernvmapi.models import (
    Appliance,
    Flavor,
    Phase,
)

TOKEN = "the-hubs-token"
UPDATED = datetime(2026, 9, 14, 12, tzinfo=UTC)

PHASES = (
    (Phase.PLACED, "The machine goes to the host local", 5),
    (Phase.DISK, "Its disk is ready", 20),
    (Phase.BOOT, "The machine boots", 34),
    (Phase.CONTEXT, "The machine is up and gets its session", 64),
    (Phase.SERVER, "The notebook server starts", 80),
)

APPLIANCES = [
    Appliance(
        id="cernvm",
        title="CernVM",
        version="6.1",
        description="Debian with JupyterLab, ROOT's uproot, awkward arrays and CVMFS mount points.",
        sha256="a" * 64,
        size=1,
        virtual_size_mib=4096,
        min_memory_mib=512,
        default=True,
        updated=UPDATED,
    ),
    Appliance(
        id="cernvm-next",
        title="CernVM Next",
        version="7.0-rc2",
        sha256="b" * 64,
        size=1,
        virtual_size_mib=4096,
        min_memory_mib=2048,
        updated=UPDATED,
    ),
    Appliance(
        id="tiny",
        title="Probe",
        version="1",
        sha256="c" * 64,
        size=1,
        virtual_size_mib=64,
        notebook=False,
        hidden=True,
        updated=UPDATED,
    ),
]
FLAVORS = [
    Flavor(id="small", title="Small", vcpus=1, memory_mib=1024, disk_mib=10240, default=True),
    Flavor(id="large", title="Large", vcpus=4, memory_mib=8192, disk_mib=40960),
]
