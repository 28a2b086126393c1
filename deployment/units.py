"""systemd's units for what ``make run`` supervises: ``python -m deployment.units FOLDER`` writes them there.

With the variables of ``make run`` in the environment, or as the state remembers them.
"""

from __future__ import annotations

import pwd
import sys
from os import geteuid
from pathlib import Path

from deployment.component import COMPONENTS
from deployment.settings import ROOT, Settings, SettingsError

PREPARATION = """\
[Unit]
Description=CernVM Hub {name}: secrets, certificates, appliances
Wants=network-online.target
After=network-online.target libvirtd.service

[Service]
Type=oneshot
ExecStartPre=+/usr/sbin/modprobe br_netfilter
ExecStartPre=+/usr/sbin/sysctl --quiet --write net.bridge.bridge-nf-call-iptables=1
ExecStart={python} -m deployment.preparation
{surroundings}"""
"""With root's rights for what a machine forgets when it is started anew (`deployment.hypervisor`)."""

COMPONENT = """\
[Unit]
Description=CernVM Hub {name}: {component}
Requires={name}-preparation.service
After={name}-preparation.service libvirtd.service

[Service]
ExecStart={python} -m deployment.component {component}
{surroundings}Restart=always
RestartSec=1s
KillMode=mixed
TimeoutStopSec=20s
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""
"""As supervision.PROGRAM: ended with SIGTERM, and with all that it started where that does not help."""

SURROUNDINGS = """\
User={user}
WorkingDirectory={root}
UMask=0077
{variables}"""


def quoted(text: str) -> str:
    """Return one word of a unit, in which blanks, quotes and specifiers mean nothing (systemd.syntax(7))."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{plain}"'


def units(settings: Settings, user: str) -> dict[str, str]:
    """Return the name and the content of each unit.

    Parameters
    ----------
    user
        The account that they run in: the one whose state it is.
    """
    variables = "".join(f"Environment={quoted(f'{k}={v}')}\n" for k, v in settings.environment().items())
    root = str(ROOT).replace("%", "%%")
    common = {
        "name": settings.name,
        "python": quoted(sys.executable).replace("$", "$$"),
        "surroundings": SURROUNDINGS.format(user=user, root=root, variables=variables),
    }
    made = {f"{settings.name}-preparation.service": PREPARATION.format(**common)}
    for component in COMPONENTS:
        made[f"{settings.name}-{component}.service"] = COMPONENT.format(component=component, **common)
    return made


def main() -> None:
    """Write them, and say what follows."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its argument
        sys.exit("Say in which folder: python -m deployment.units /etc/systemd/system")
    folder = Path(sys.argv[1])
    try:
        settings = Settings.from_environment()
        made = units(settings, pwd.getpwuid(geteuid()).pw_name)
        for name, text in made.items():
            (folder / name).write_text(text)
    except (SettingsError, OSError) as error:
        sys.exit(str(error))
    components = " ".join(f"{settings.name}-{component}" for component in COMPONENTS)
    print(f"systemctl daemon-reload\nsystemctl enable --now {components}")


if __name__ == "__main__":
    main()
