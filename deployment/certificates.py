"""The certificates that hub, proxy and controller show to each other (JupyterHub's ``internal_ssl``)."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certipy import Certipy, CertNotFoundError

from cernvmcontroller.statedir import write_private
from deployment import renewal
from deployment.settings import ROOT, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from deployment.settings import Settings

SERVICE = "service-cernvm"
FINISHED = ".finished"
"""File that says that all were made: only what was never finished is thrown away."""
LAST_LINES = 20
"""How much of a failed program's log is told."""


@dataclass(frozen=True)
class Pair:
    """A key, its certificate, and who the other side must be signed by."""

    key: Path
    certificate: Path
    trust: Path


def pair(settings: Settings, component: str, authority: str) -> Pair:
    """Return where the files of `component` are, which trusts what `authority`'s bundle trusts."""
    folder = settings.certificates / component
    return Pair(
        key=folder / f"{component}.key",
        certificate=folder / f"{component}.crt",
        trust=settings.certificates / f"{authority}_trust.crt",
    )


def service(settings: Settings) -> Pair:
    """Return the controller's files for its listener behind the proxy."""
    return pair(settings, SERVICE, "notebooks-ca")


def ensure(settings: Settings) -> None:
    """Make the certificates that do not exist yet, and renew those that end within a year.

    What a first start that was killed left is made again.

    The hub would make its own at its start, but the proxy, which it does not start, needs them earlier.

    Raises
    ------
    SettingsError
        When JupyterHub cannot make them, with the end of what it wrote, or one cannot be renewed.
    """
    finished = settings.certificates / FINISHED
    if not finished.exists() and settings.certificates.exists() and not _usable(settings):
        # No machine was ever given one of these: nothing is lost with them.
        shutil.rmtree(settings.certificates)
    parts = (("hub-internal", "hub-ca"), ("proxy-api", "proxy-api-ca"), ("proxy-client", "proxy-client-ca"))
    if not all(pair(settings, *part).certificate.exists() for part in parts):
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "jupyterhub",
                "--generate-certs",
                "--log-level=WARN",
                "--config",
                str(settings.hub_config),
            ],
            cwd=settings.state,
            env=settings.environment() | {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if made.returncode != 0:
            end = "\n".join(made.stdout.splitlines()[-LAST_LINES:])
            raise SettingsError(
                f"JupyterHub cannot make its certificates with {settings.hub_config} "
                f"(exit code {made.returncode}). The end of what it says:\n\n{end}"
            )
        sys.stderr.write(made.stdout)  # its warnings
    certipy = Certipy(store_dir=str(settings.certificates))
    try:
        certipy.store.get_record(SERVICE)
    except CertNotFoundError:
        # Proxy and hub trust what notebooks-ca signs; the proxy connects to the loopback address.
        certipy.create_signed_pair(SERVICE, "notebooks-ca", alt_names=["IP:127.0.0.1", "DNS:localhost"])
    renewal.renew(settings.certificates)
    if not finished.exists():
        write_private(finished, "")


def _usable(settings: Settings) -> bool:
    """Return whether all certificates are there and whole."""
    made = [path for path in settings.certificates.glob("*/*.crt") if path.parent.name == path.stem]
    try:
        Certipy(store_dir=str(settings.certificates)).store.load()
        for path in made:
            ssl.create_default_context().load_cert_chain(path, path.with_suffix(".key"))
    except (CertNotFoundError, OSError, ValueError):
        return False
    return {"hub-internal", "proxy-api", "proxy-client", SERVICE} <= {path.stem for path in made}
