"""Certificates: the controller's own authority for the machines' networks, and both listeners' contexts."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from certipy import Certipy
from cryptography import x509

from cernvmcontroller.web.logs import logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logger(__name__)

AUTHORITY = "controller-ca"
SERVER = "controller"
AUTHORITY_YEARS = 10
SERVER_YEARS = 1
RENEW_BEFORE = timedelta(days=30)
"""How long before its end a certificate is replaced."""


@dataclass(frozen=True)
class ServerCertificate:
    """Files of the controller's own certificate, and of the authority that machines and clients are given."""

    ca: Path
    certificate: Path
    key: Path


def _alt_name(name: str) -> str:
    try:
        return f"IP:{ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _read(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _lasts(certificate: x509.Certificate | None, now: datetime) -> bool:
    return certificate is not None and certificate.not_valid_after_utc - now > RENEW_BEFORE


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | {f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)}


def ensure_certificate(
    directory: Path, names: Sequence[str], *, now: datetime | None = None
) -> ServerCertificate:
    """Return a certificate for `names` that is good for another month at least; make what is missing.

    Parameters
    ----------
    directory
        Of the controller alone; the authority's file to hand out is ``ca.crt`` in it.
    names
        Host names and addresses under which the controller is reached.
    now
        Instead of the clock's time.
    """
    now = now or datetime.now(UTC)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = ServerCertificate(
        ca=directory / "ca.crt",
        certificate=directory / SERVER / f"{SERVER}.crt",
        key=directory / SERVER / f"{SERVER}.key",
    )
    wanted = sorted({_alt_name(name) for name in names})
    authority, server = _read(directory / AUTHORITY / f"{AUTHORITY}.crt"), _read(files.certificate)
    new_authority = not (_lasts(authority, now) and _read(files.ca) == authority)
    signed = authority is not None and server is not None and _signed(server, authority)
    if not new_authority and signed and server and _lasts(server, now) and _names(server) == set(wanted):
        return files
    with contextlib.suppress(FileNotFoundError):
        if new_authority:
            (directory / "certipy.json").unlink()  # else it counts what the old authority signed
    maker = Certipy(store_dir=str(directory))
    if new_authority:
        maker.create_ca(AUTHORITY, years=AUTHORITY_YEARS, overwrite=True)
        log.info("made a certificate authority", directory=str(directory))
    maker.create_signed_pair(SERVER, AUTHORITY, years=SERVER_YEARS, alt_names=wanted, overwrite=True)
    directory.chmod(0o700)  # certipy lets everybody in
    _write(files.ca, (directory / AUTHORITY / f"{AUTHORITY}.crt").read_bytes())
    log.info("made the controller's certificate", names=wanted)
    return files


def _signed(server: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        server.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not ours
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Replace a file at once: a machine's session may be reading it."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def own_context(files: ServerCertificate) -> ssl.SSLContext:
    """Return the context of the listener on the machines' networks; callers prove themselves by token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    return context


def renew(context: ssl.SSLContext, directory: Path, names: Sequence[str]) -> ServerCertificate:
    """Replace what ends soon; connections made from now on see it."""
    files = ensure_certificate(directory, names)
    context.load_cert_chain(files.certificate, files.key)
    return files


def mutual_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Return the context of the listener behind the proxy: only who `client_ca` knows gets a word in.

    Parameters
    ----------
    certificate, key, client_ca
        Files of the hub's ``internal_ssl``.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context
