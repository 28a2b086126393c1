"""Makes certificates of ``internal_ssl`` last longer, before they end.

Each is signed again with its own key, its names and its authority, and authorities likewise. So nothing that
runs has to be told: what an authority signed before stays good, and a machine that knows the authority's
former certificate believes what is signed now. That lasts until the former one ends; hence the long time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from deployment.settings import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

LIFETIME = timedelta(days=5 * 365)
"""As JupyterHub gives them."""
RENEW_BEFORE = timedelta(days=365)
"""How long before its end one is renewed; a machine that ran before is to be stopped within this time."""


def renew(folder: Path, *, now: datetime | None = None) -> list[str]:
    """Renew what ends soon of the certificates in JupyterHub's ``internal_certs_location``.

    Whoever is ended in the middle leaves whole files, and the next call does the rest. Programs that run go
    on with what they read at their start.

    Returns
    -------
    list
        The names of those that were renewed.

    Raises
    ------
    SettingsError
        The authority of one that ends is not there; the sentence says what to do.
    """
    now = now or datetime.now(UTC)
    paths = sorted(path for path in folder.glob("*/*.crt") if path.parent.name == path.stem)
    ending = {path: one for path in paths if _ends(one := _read(path)[0], now)}
    authorities = {_read(path)[0].subject: path for path in paths}
    renewed = []
    for path, certificate in ending.items():
        authority = authorities.get(certificate.issuer)
        if authority is None or not authority.with_suffix(".key").exists():
            raise SettingsError(
                f"{path} ends on {certificate.not_valid_after_utc:%Y-%m-%d}, and its authority, which would "
                "renew it, is not there: restore its folder from a backup, or stop all machines and remove "
                f"{folder}, and new certificates are made."
            )
        _write(path, [_signed_again(certificate, authority.with_suffix(".key"), now)])
        renewed.append(path.stem)
    _update_bundles(folder, paths)
    return renewed


def _ends(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now < RENEW_BEFORE


def _signed_again(certificate: x509.Certificate, key: Path, now: datetime) -> x509.Certificate:
    """Return the same certificate with a new number and a later end."""
    builder = x509.CertificateBuilder(
        issuer_name=certificate.issuer,
        subject_name=certificate.subject,
        public_key=certificate.public_key(),
        serial_number=x509.random_serial_number(),
        # Not later than the former: the clock of a machine may be behind.
        not_valid_before=certificate.not_valid_before_utc,
        not_valid_after=now + LIFETIME,
        extensions=list(certificate.extensions),
    )
    signer = load_pem_private_key(key.read_bytes(), password=None)
    return builder.sign(signer, SHA256())  # type: ignore[arg-type] # certipy's are RSA


def _update_bundles(folder: Path, paths: list[Path]) -> None:
    """Put the authorities as they are now into the files of those that trust them."""
    known = {_identity(one): one for path in paths for one in _read(path)}
    for path in sorted(folder.glob("*_trust.crt")):
        trusted = _read(path)
        current = [known.get(_identity(one), one) for one in trusted]
        if current != trusted:
            _write(path, current)


def _identity(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """Return what a certificate keeps when it is signed again."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.subject.public_bytes(), key


def _read(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read ({error}): restore it from a backup.") from None


def _write(path: Path, certificates: list[x509.Certificate]) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    new.replace(path)
