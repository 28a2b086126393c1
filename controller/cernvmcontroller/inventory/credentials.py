"""Certificates and keys for connections: in folders of the controller, and named by the folder's name.

What libvirt needs of them is written into the URI only when the connection is made; neither the database nor
the API has more than the name. The parameters: https://libvirt.org/uri.html#transport-configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from cernvmapi.errors import Invalid
from cernvmcontroller.statedir import StateError, refuse_open

if TYPE_CHECKING:
    from pathlib import Path

_BY_ITSELF = frozenset({"esx", "gsx", "hyperv", "vpx"})
"""Drivers that speak to the host without a libvirt daemon there, with an account and a password."""

_FILES: dict[str, tuple[str, ...]] = {
    "tls": ("cacert.pem", "clientcert.pem", "clientkey.pem"),
    "ssh": ("id",),
    "libssh": ("id", "known_hosts"),
    "libssh2": ("id", "known_hosts"),
    "": ("auth.conf",),
}
"""What a folder holds, by transport; the empty one is libvirt's own file of accounts."""

_SECRET = frozenset({"clientkey.pem", "id", "auth.conf"})


def transport_of(uri: str) -> str:
    """Return how a connection goes: ``tls``, ``ssh``, ``libssh``, ``libssh2``; empty for none of these."""
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    if transport in {"", "unix"}:
        return "tls" if parts.netloc and driver not in _BY_ITSELF else ""
    return transport


def complete(uri: str, name: str | None, root: Path) -> str:
    """Return the URI that libvirt opens.

    Parameters
    ----------
    uri
        Without parameters.
    name
        Of the folder below `root`; None: what the controller's account has.

    Raises
    ------
    Invalid
        The folder has not what the connection needs, or others may read it.
    """
    transport = transport_of(uri)
    parameters = {"no_tty": "1"} if transport == "ssh" else {}
    if name is not None:
        parameters |= _parameters(transport, _folder(transport, root / name))
    query = "&".join(f"{key}={quote(value, safe='/,')}" for key, value in parameters.items())
    return f"{uri}?{query}" if query else uri


def _folder(transport: str, folder: Path) -> Path:
    wanted = _FILES[transport]
    missing = [file for file in wanted if not (folder / file).is_file()]
    if missing:
        raise Invalid(
            f"The credentials {folder.name} lack {', '.join(missing)}: put {', '.join(wanted)} into {folder} "
            "on the controller's machine."
        )
    try:
        for file in _SECRET.intersection(wanted):
            refuse_open(folder / file)
    except StateError as error:
        raise Invalid(str(error)) from None
    return folder


def _parameters(transport: str, folder: Path) -> dict[str, str]:
    match transport:
        case "tls":
            return {"pkipath": str(folder)}
        case "ssh":
            return {"keyfile": str(folder / "id")}
        case "libssh" | "libssh2":
            return {
                "keyfile": str(folder / "id"),
                "known_hosts": str(folder / "known_hosts"),
                "known_hosts_verify": "normal",
                "sshauth": "privkey",
            }
    return {"authfile": str(folder / "auth.conf")}
