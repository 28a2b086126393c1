"""Certificates of hosts and of whoever connects to them, named as libvirt looks for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_DAY = timedelta(days=1)


class Authority:
    """Signs certificates.

    Parameters
    ----------
    name
        Its own.
    """

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._certificate = (
            _unsigned(self._name, self._name, self._key, _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def write_server(self, folder: Path, name: str, address: str, valid: timedelta = _DAY) -> None:
        """Write what the daemon at `address` shows; with a negative `valid` it expired so long ago."""
        alternatives = [x509.DNSName(name), x509.IPAddress(ip_address(address))]
        purpose = ExtendedKeyUsageOID.SERVER_AUTH
        self._write(folder, "server", name, valid=valid, purpose=purpose, alternatives=alternatives)

    def write_client(self, folder: Path, valid: timedelta = _DAY) -> None:
        """Write what a controller shows, into a folder that a URI names as its ``pkipath``."""
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        self._write(folder, "client", "controller", valid=valid, purpose=purpose, alternatives=[])

    def write_qemu(self, folder: Path, name: str, address: str) -> None:
        """Write what the QEMU of a host shows to another's, in the names that QEMU looks for.

        See https://www.qemu.org/docs/master/system/tls.html.
        """
        self.write_server(folder, name, address)
        self.write_client(folder)
        for file in list(folder.glob("*cert.pem")) + list(folder.glob("*key.pem")):
            file.rename(folder / f"{file.stem.removesuffix('cert').removesuffix('key')}-{_kind(file)}.pem")

    def _write(
        self,
        folder: Path,
        role: str,
        name: str,
        *,
        valid: timedelta,
        purpose: x509.ObjectIdentifier,
        alternatives: list[x509.GeneralName],
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _unsigned(_named(name), self._name, key, valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            # libvirt wants both, also where the key is one that can only sign.
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        folder.mkdir(parents=True, exist_ok=True)
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(pem)
        for file, content in (
            ("cacert.pem", self._certificate.public_bytes(pem)),
            (f"{role}cert.pem", certificate),
            (f"{role}key.pem", private),
        ):
            path = folder / file
            path.touch(mode=0o600)
            path.write_bytes(content)


def _kind(file: Path) -> str:
    return "key" if file.stem.endswith("key") else "cert"


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid: timedelta
) -> x509.CertificateBuilder:
    end = datetime.now(UTC) + valid
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - 2 * _DAY)
        .not_valid_after(end)
    )


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})
