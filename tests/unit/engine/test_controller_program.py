"""The controller as a program."""

from __future__ import annotations

import stat
from contextlib import AsyncExitStack

import pytest
from traitlets import TraitError

from cernvmcontroller.app import CernVMController, main
from cernvmcontroller.hypervisor.bandwidth import Bandwidth
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.fakehost import FakeHost
from cernvmcontroller.hypervisor.specs import FilterSpec, PoolSpec
from cernvmcontroller.inventory.localaddresses import local_addresses
from cernvmcontroller.statedir import StateError, hub_id, read_secret, take_lock
from cernvmcontroller.upkeep.cleaning import clean_host


def app(tmp_path, **options):
    program = CernVMController(state_dir=str(tmp_path), **options)
    program.initialize(["--config", str(empty(tmp_path))])
    return program


def empty(tmp_path):
    path = tmp_path / "controller_config.py"
    path.write_text("c = get_config()\n")
    return path


def test_every_option_says_what_it_does():
    own = {
        name: trait
        for name, trait in CernVMController.class_traits(config=True).items()
        if trait.this_class.__module__.startswith("cernvmcontroller")
    }
    assert len(own) > 30
    assert [name for name, trait in own.items() if not trait.help.strip()] == []


def test_a_second_controller_is_refused_with_a_clear_sentence(tmp_path):
    with take_lock(tmp_path / "controller.lock"):
        with pytest.raises(StateError, match=r"Another controller .* uses .* already"):
            take_lock(tmp_path / "controller.lock")
        with pytest.raises(SystemExit, match="end that one first"):
            main(["clean", "--config", str(empty(tmp_path)), "--state", str(tmp_path)])
    take_lock(tmp_path / "controller.lock").close()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hub_name": "averylonghubname"}, "hub_name 'averylonghubname' .* use up to 12 lower-case letters"),
        ({"hub_name": "../hub"}, "use up to 12 lower-case letters"),
        ({"bridge": "sixteen-letters1"}, "bridge 'sixteen-letters1' .* use up to 15"),
        ({"subnet": "ten"}, "subnet 'ten' is no network like 10.80.0.0/20"),
        ({"subnet": "10.80.0.0/28"}, "has no room for machines: use a /27 or a larger one"),
    ],
)
def test_what_no_host_could_ever_make_is_refused_at_the_start(tmp_path, options, sentence):
    lines = [f"c.CernVMController.{name} = {value!r}" for name, value in options.items()]
    empty(tmp_path).write_text("\n".join(["c = get_config()", *lines]))
    (tmp_path / "state").mkdir(mode=0o700)
    config = ["--config", str(tmp_path / "controller_config.py"), "--state", str(tmp_path / "state")]
    with pytest.raises(SystemExit, match=f"cernvm-controller: .*{sentence}"):
        main(config)


def test_a_large_subnet_is_used_as_far_as_a_network_takes_machines(tmp_path):
    network = app(tmp_path, subnet="10.64.0.0/16", hosts=[{"name": "a", "uris": ["test:///default"]}])
    assert network.host_specs()[0].network.hosts == 4000
    assert "4,000" in CernVMController.subnet.help


def test_the_identity_is_made_once(tmp_path):
    assert hub_id(tmp_path / "hub_id") == hub_id(tmp_path / "hub_id")
    (tmp_path / "hub_id").write_text("lost")
    with pytest.raises(StateError, match="Restore it"):
        hub_id(tmp_path / "hub_id")


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    secret = tmp_path / "hub_token"
    with pytest.raises(StateError, match="cannot be read"):
        read_secret(secret)
    secret.write_text("x\n")
    secret.chmod(0o644)
    with pytest.raises(StateError, match="chmod 600"):
        read_secret(secret)
    secret.chmod(0o600)
    assert read_secret(secret) == "x"


def test_a_context_that_is_too_large_is_refused_at_once(tmp_path):
    files = [{"path": "/etc/table", "content": "x" * 600_000}]
    program = CernVMController(state_dir=str(tmp_path), context={"write_files": files})
    with pytest.raises(StateError, match="The context has 585 KiB, and machines take 512 KiB"):
        program.settings()


def test_a_secret_in_the_sites_context_is_refused_before_a_machine_starts(tmp_path):
    program = app(tmp_path, context={"write_files": [{"path": "/etc/x", "api_token": "hush"}]})
    with pytest.raises(StateError, match=r"context\.write_files\.api_token looks like") as caught:
        program.settings()
    assert "hush" not in str(caught.value)
    assert app(tmp_path, context={"timezone": "UTC"}).settings().context == {"timezone": "UTC"}


def test_a_configuration_is_generated(tmp_path, capsys):
    path = tmp_path / "new.py"
    main(["--generate-config", "--config", str(path)])
    assert "c.CernVMController.hosts" in path.read_text()
    with pytest.raises(SystemExit, match="left as it is"):
        main(["--generate-config", "--config", str(path)])


def test_a_missing_configuration_or_an_unknown_command_is_said(tmp_path):
    with pytest.raises(SystemExit, match="no configuration file"):
        main(["--config", str(tmp_path / "none.py")])
    with pytest.raises(SystemExit, match="no command dance"):
        main(["dance", "--config", str(empty(tmp_path)), "--state", str(tmp_path)])


def test_hosts_are_checked(tmp_path):
    local = {"name": "a", "uris": ["qemu:///system"]}
    with pytest.raises(SystemExit, match="Two hosts have the name a"):
        run_with(tmp_path, [local, {**local, "pool": "b"}])
    with pytest.raises(SystemExit, match="both have the storage pool"):
        run_with(tmp_path, [local, {**local, "name": "b"}])
    with pytest.raises(SystemExit, match="not configured well"):
        run_with(tmp_path, [{"name": "a"}])


def run_with(tmp_path, hosts):
    config = tmp_path / "controller_config.py"
    config.write_text(f"c = get_config()\nc.CernVMController.hosts = {hosts!r}\n")
    main(["clean", "--config", str(config), "--state", str(tmp_path)])


def test_machines_reach_hub_and_controller_and_no_other_port(tmp_path):
    program = app(tmp_path, hub_port=9002, blocked=["192.0.2.1"])
    program.machine_bind = [("127.0.0.1", 9004), ("10.80.0.1", 9004)]
    spec = program.host_specs()[0]
    assert spec.filter == FilterSpec("cernvmhub", "10.80.0.1", (9002, 9004), ("192.0.2.1",), "10.80.0.0/20")
    assert spec.pool == PoolSpec("cernvmhub", "/var/lib/libvirt/cernvmhub")
    assert (spec.network.bridge, spec.network.hosts) == ("cernvmhub-br", 4000)


def test_what_a_machine_may_send_and_receive_is_unlimited_unless_a_site_says_so(tmp_path):
    assert app(tmp_path).host_specs()[0].bandwidth == Bandwidth()
    limited = app(tmp_path, send_limit_mib=50, receive_limit_mib=100)
    assert limited.host_specs()[0].bandwidth == Bandwidth(send=50, receive=100)
    with pytest.raises(TraitError):
        app(tmp_path, send_limit_mib=-1)


def test_credentials_in_a_uri_are_not_shown(tmp_path):
    program = app(tmp_path, hosts=[{"name": "a", "uris": ["qemu+ssh://root:pw@far/system?keyfile=/k"]}])
    assert program.host_specs()[0].shown_uri == "qemu+ssh://far/system"


def test_the_machines_own_addresses_are_known(tmp_path):
    program = app(tmp_path)
    found = local_addresses(program.host_specs()[0].network.cidr)
    assert "127.0.0.1" not in found


async def test_it_opens_and_ends(tmp_path, monkeypatch):
    host = FakeHost()
    monkeypatch.setattr("cernvmcontroller.app.open_hypervisor", lambda uri: FakeHypervisor(uri, host=host))
    program = app(tmp_path, blocked=[])
    async with AsyncExitStack() as stack:
        engine = await program.open(stack)
        await engine.inventory.settled(5)
        await engine.inventory.links["local"].acceleration
        assert (await engine.health()).status == "ok"
        assert [found.name for found in await engine.inventory.hosts()] == ["local"]
        assert {*host.pools, *host.networks, *host.filters} == {"cernvmhub"}
    assert stat.S_IMODE((tmp_path / "controller.sqlite").stat().st_mode) == 0o600


async def test_clean_removes_what_is_of_this_hub_and_nothing_else(lab):
    lab.disagrees = "all that the database knows is removed"
    machine = await lab.started()
    xml = lab.host.domains[machine.uuid].xml
    other = xml.replace(machine.uuid, "11111111-2222-4333-8444-555555555555").replace(
        machine.id, "m-otherotherot"
    )
    other = other.replace("labhub-m-", "otherhub-m-")
    lab.host.define(other.replace(lab.engine.hub_id, "22222222-2222-4333-8444-555555555555"))
    spec = lab.engine.inventory.links["host1"].spec
    identity = lab.engine.hub_id
    await lab.end()
    hypervisor = FakeHypervisor(host=lab.host)
    await hypervisor.open()
    await clean_host(hypervisor, spec, "labhub", identity)
    assert list(lab.host.domains) == ["11111111-2222-4333-8444-555555555555"]
    assert not lab.host.pools
    assert not lab.host.networks
    await clean_host(hypervisor, spec, "labhub", identity)
