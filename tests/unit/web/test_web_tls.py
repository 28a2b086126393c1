"""Certificates and the two listeners."""

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from certipy import Certipy
from cryptography import x509
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmapi import AsyncClient
from cernvmapi.errors import ControllerUnreachable
from cernvmapi.models import API_PREFIX
from cernvmcontroller.web.server import Listeners
from cernvmcontroller.web.tls import ensure_certificate, mutual_context, own_context, renew

NAMES = ["127.0.0.1", "localhost", "::1"]


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_certificate_is_made_once(tmp_path):
    first = ensure_certificate(tmp_path / "tls", NAMES)
    before = [path.read_bytes() for path in (first.ca, first.certificate, first.key)]
    again = ensure_certificate(tmp_path / "tls", list(reversed(NAMES)))
    assert before == [path.read_bytes() for path in (again.ca, again.certificate, again.key)]
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in first.ca.read_bytes()


def test_a_certificate_is_renewed_before_it_ends_under_the_same_authority(tmp_path):
    files = ensure_certificate(tmp_path, NAMES)
    authority, serial = files.ca.read_bytes(), certificate(files.certificate).serial_number
    ensure_certificate(tmp_path, NAMES, now=datetime.now(UTC) + timedelta(days=330))
    assert certificate(files.certificate).serial_number == serial
    ensure_certificate(tmp_path, NAMES, now=datetime.now(UTC) + timedelta(days=340))
    assert certificate(files.certificate).serial_number != serial
    assert files.ca.read_bytes() == authority


def test_another_address_takes_another_certificate(tmp_path):
    files = ensure_certificate(tmp_path, ["10.80.0.1"])
    serial = certificate(files.certificate).serial_number
    ensure_certificate(tmp_path, ["10.81.0.1"])
    assert certificate(files.certificate).serial_number != serial


def test_an_authority_that_ends_is_replaced_with_all_it_signed(tmp_path):
    files = ensure_certificate(tmp_path, NAMES)
    authority = files.ca.read_bytes()
    ensure_certificate(tmp_path, NAMES, now=datetime.now(UTC) + timedelta(days=3640))
    assert files.ca.read_bytes() != authority
    certificate(files.certificate).verify_directly_issued_by(certificate(files.ca))


@pytest.mark.parametrize("lost", ["ca.crt", "controller/controller.crt", "controller-ca/controller-ca.crt"])
def test_what_is_lost_or_broken_is_made_again(tmp_path, lost):
    files = ensure_certificate(tmp_path, NAMES)
    (tmp_path / lost).write_text("not a certificate")
    ensure_certificate(tmp_path, NAMES)
    certificate(files.certificate).verify_directly_issued_by(certificate(files.ca))


@pytest.fixture
async def own(engine, hub, tmp_path):
    """A controller with TLS of its own on two addresses."""
    listeners = Listeners(services_for(engine, hub))
    files = ensure_certificate(tmp_path, NAMES)
    ports = listeners.listen_with_own_tls([("127.0.0.1", 0), ("::1", 0)], files, NAMES)
    yield files, ports
    await listeners.close()


async def test_machines_reach_the_controller_with_its_authority(own):
    files, (four, six) = own
    for place in (f"127.0.0.1:{four}", f"[::1]:{six}"):
        async with AsyncClient(f"https://{place}{API_PREFIX}", HUB_TOKEN, files.ca) as client:
            assert (await client.machines.list()).total == 2


async def test_who_does_not_have_the_authority_does_not_talk(own, tmp_path):
    _, (port, _) = own
    other = ensure_certificate(tmp_path / "other", NAMES)
    for ca in (None, other.ca):
        async with AsyncClient(f"https://127.0.0.1:{port}{API_PREFIX}", HUB_TOKEN, ca) as client:
            with pytest.raises(ControllerUnreachable, match=r"(?i)certificate"):
                await client.health()


async def test_on_the_machines_network_nobody_says_where_they_are(own, engine):
    files, (port, _) = own
    context = ssl.create_default_context(cafile=files.ca)
    from httpx import AsyncClient as Http  # noqa: PLC0415

    async with Http(
        verify=context, trust_env=False, headers={"Authorization": f"Bearer {HUB_TOKEN}"}
    ) as http:
        url = f"https://127.0.0.1:{port}{API_PREFIX}/machines/m-alice/start"
        assert (await http.post(url, headers={"X-Forwarded-For": "192.0.2.1"})).status_code == 202
        assert (await http.get(f"https://127.0.0.1:{port}/services/cernvm/")).status_code == 404
    assert engine.audit.rows[-1].address == "127.0.0.1"


async def test_new_connections_see_a_renewed_certificate(own, tmp_path):
    files, _ = own
    context = own_context(files)
    serial = certificate(files.certificate).serial_number
    renew(context, tmp_path, ["127.0.0.1", "extra.example"])
    assert certificate(files.certificate).serial_number != serial


@pytest.fixture
async def behind(engine, hub, tmp_path):
    """A controller behind the proxy, with certificates such as ``internal_ssl`` has."""
    maker = Certipy(store_dir=str(tmp_path / "internal"))
    maker.create_ca("proxy-api-ca")
    pairs = {}
    for name in ("controller", "proxy"):
        maker.create_signed_pair(name, "proxy-api-ca", alt_names=["IP:127.0.0.1"])
        pairs[name] = maker.store.get_record(name)["files"]
    ca = maker.store.get_record("proxy-api-ca")["files"]["cert"]
    listeners = Listeners(services_for(engine, hub))
    context = mutual_context(pairs["controller"]["cert"], pairs["controller"]["key"], ca)
    port = listeners.listen_behind_proxy("127.0.0.1", 0, context)
    yield f"https://127.0.0.1:{port}{API_PREFIX}", ca, pairs["proxy"]
    await listeners.close()


async def test_behind_the_proxy_only_the_proxy_talks(behind, tmp_path):
    url, ca, pair = behind
    proxy = ssl.create_default_context(cafile=ca)
    proxy.load_cert_chain(pair["cert"], pair["key"])
    async with AsyncClient(url, HUB_TOKEN, proxy) as client:
        assert (await client.machines.list()).total == 2
    stranger = ssl.create_default_context(cafile=ca)
    async with AsyncClient(url, HUB_TOKEN, stranger) as client:
        with pytest.raises(ControllerUnreachable):
            await client.machines.list()
    foreign = ensure_certificate(tmp_path / "foreign", NAMES)
    stranger.load_cert_chain(foreign.certificate, foreign.key)
    async with AsyncClient(url, HUB_TOKEN, stranger) as client:
        with pytest.raises(ControllerUnreachable):
            await client.machines.list()
