"""Certificates of hub, proxy and controller are renewed before they end, and nobody has to be told."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from certipy import Certipy
from cryptography import x509
from deployment import renewal
from deployment.settings import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

YEAR = timedelta(days=365)
NAMES = ["IP:127.0.0.1", "IP:10.80.0.1", "DNS:localhost"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As JupyterHub leaves it: authorities, what they signed, and who trusts whom."""
    made = tmp_path / "internal-ssl"
    certipy = Certipy(store_dir=str(made))
    certipy.trust_from_graph({"hub-ca": ["hub-ca", "notebooks-ca"], "notebooks-ca": ["hub-ca"]})
    certipy.create_signed_pair("hub-internal", "hub-ca", alt_names=NAMES)
    certipy.create_signed_pair("a-machine", "notebooks-ca", alt_names=NAMES)
    return made


def read(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def handshake(folder: Path, name: str, trust: bytes) -> str:
    """Return how a client that trusts `trust` greets the server `name`: empty where it believes it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / name / f"{name}.crt", folder / name / f"{name}.key")
    client = ssl.create_default_context(cadata=trust.decode())
    left, right = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(right, server_side=True).close()
        except OSError:
            right.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        client.wrap_socket(left, server_hostname="127.0.0.1").close()
    except ssl.SSLError as error:
        return str(error)
    finally:
        left.close()
        serving.join()
    return ""


def test_nothing_happens_while_they_last_for_more_than_a_year(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert renewal.renew(folder, now=datetime.now(UTC) + 4 * YEAR - timedelta(days=2)) == []
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_in_their_last_year_they_are_renewed_with_their_keys_and_names(folder: Path) -> None:
    keys = {path: path.read_bytes() for path in folder.rglob("*.key")}
    (before,) = read(folder / "hub-internal" / "hub-internal.crt")
    later = datetime.now(UTC) + 4 * YEAR + timedelta(days=2)
    assert renewal.renew(folder, now=later) == ["a-machine", "hub-ca", "hub-internal", "notebooks-ca"]
    (after,) = read(folder / "hub-internal" / "hub-internal.crt")
    assert after.serial_number != before.serial_number
    assert after.subject == before.subject
    assert list(after.extensions) == list(before.extensions)
    for path in [*folder.glob("*/*.crt"), *folder.glob("*_trust.crt")]:
        assert all(one.not_valid_after_utc > later + 4 * YEAR for one in read(path)), path
    assert {path: path.read_bytes() for path in folder.rglob("*.key")} == keys
    assert renewal.renew(folder, now=later) == []


def test_who_runs_believes_what_was_renewed_and_is_believed(folder: Path) -> None:
    """Machines keep what they were given at their start: their own certificate, and the hub's authority."""
    machines_trust = (folder / "notebooks-ca_trust.crt").read_bytes()
    machines_own = (folder / "a-machine" / "a-machine.crt").read_bytes()
    renewal.renew(folder, now=datetime.now(UTC) + 4 * YEAR + timedelta(days=2))
    (folder / "a-machine" / "a-machine.crt").write_bytes(machines_own)
    assert handshake(folder, "hub-internal", machines_trust) == ""
    assert handshake(folder, "a-machine", (folder / "hub-ca_trust.crt").read_bytes()) == ""
    assert "verify failed" in handshake(folder, "a-machine", machines_trust), "it is not of the hub"


def test_a_renewal_that_was_ended_in_the_middle_is_finished_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(UTC) + 4 * YEAR + timedelta(days=2)
    write, written = renewal._write, []

    def killed(path: Path, certificates: list[x509.Certificate]) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path)
        write(path, certificates)

    monkeypatch.setattr(renewal, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        renewal.renew(folder, now=later)
    monkeypatch.undo()
    assert renewal.renew(folder, now=later) == [], "certificates came first"
    for path in folder.glob("*_trust.crt"):
        assert all(one.not_valid_after_utc > later + YEAR for one in read(path)), path


def test_one_whose_authority_is_lost_is_said_before_it_ends(folder: Path) -> None:
    (folder / "hub-ca" / "hub-ca.key").unlink()
    with pytest.raises(SettingsError, match=r"ends on .*restore its folder from a backup"):
        renewal.renew(folder, now=datetime.now(UTC) + 4 * YEAR + timedelta(days=2))
