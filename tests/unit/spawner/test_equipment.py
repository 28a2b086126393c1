"""What a machine and its server are given: environment, sizes, certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from certipy.certipy import Certipy
from cryptography import x509
from msgspec.structs import replace
from tests.unit.spawner.as_the_hub import started
from tests.unit.spawner.standin_offer import TOKEN

from cernvmspawner.failure import ServerNotStarted

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import MakeSpawner, StandIn

    from cernvmapi.models import MachineCreate
    from cernvmspawner import CernVMSpawner


async def test_the_servers_environment_says_where_things_are(
    controller: StandIn, spawner_of: MakeSpawner, tmp_path: Any, free_port: int
) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("THE CA")
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    spawner = spawner_of(
        settings={
            "controller_guest_url": "https://10.80.0.1:8004/services/cernvm/api/v1",
            "controller_token": "",
            "controller_token_file": str(token),
            "environment": {"CPU_LIMIT": "mine", "GREETING": lambda one: f"Hello {one.user.name}"},
        }
    )
    # Read when the client is made, which plain HTTP does not need.
    await spawner.offer()
    spawner.controller_ca = str(ca)
    await started(spawner)
    session = controller.sessions[spawner.machine_id][0]
    env = session.env
    assert session.command == ["jupyterhub-singleuser"]
    assert session.port == free_port
    assert env["JUPYTERHUB_SERVICE_URL"] == f"http://0.0.0.0:{free_port}/user/alice/"
    assert env["JUPYTERHUB_ROOT_DIR"] == "/home/cernvm"
    assert env["JUPYTERHUB_DEFAULT_URL"] == "/lab"
    assert env["JUPYTERHUB_API_TOKEN"] == "secret-api-token"
    assert env["CERNVM_API_URL"].endswith("/api/v1")
    assert env["CERNVM_API_CA"] == "/run/cernvmhub/controller-ca.crt"
    assert env["CERNVM_MACHINE_ID"] == spawner.machine_id
    assert env["MEM_LIMIT"] == str(1024**3)
    assert env["CPU_LIMIT"] == "mine"
    assert env["GREETING"] == "Hello alice"
    assert [one.content for one in session.files] == ["THE CA"]


async def test_a_variable_that_cannot_be_one_is_named_without_its_value(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of(settings={"environment": {"MY VAR": "geheim"}})
    with pytest.raises(ServerNotStarted, match="'MY VAR' cannot be set") as caught:
        await started(spawner)
    assert "geheim" not in str(caught.value)
    await controller.until(lambda: not controller.machines)


async def test_a_group_can_have_larger_machines(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of(
        settings={
            "group_overrides": {
                "01-big": {"groups": ["big"], "spawner_override": {"mem_limit": "4G", "cpu_limit": 2.5}}
            }
        }
    )
    spawner.user.groups = [SimpleNamespace(name="big")]
    await started(spawner)
    assert (controller.only().memory_mib, controller.only().vcpus) == (4096, 3)


async def test_a_size_of_ones_own_keeps_within_the_groups_limit(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of(settings={"max_memory": "16G", "max_vcpus": 8, "mem_limit": "2G"})
    with pytest.raises(ServerNotStarted, match="from 64 to 2048"):
        await started(spawner, {"memory_mib": 4096})
    await started(spawner, {"memory_mib": 1536, "vcpus": 2})
    assert (controller.only().memory_mib, controller.only().vcpus) == (1536, 2)


async def test_a_profile_sets_what_it_says(controller: StandIn, spawner_of: MakeSpawner) -> None:
    async def listed(spawner: CernVMSpawner) -> list[dict[str, Any]]:
        return [
            {
                "slug": "one",
                "spawner_override": {"flavor": "large", "environment": {"EXPERIMENT": spawner.user.name}},
            }
        ]

    spawner = spawner_of(settings={"profile_list": listed})
    await started(spawner, {"profile": "one"})
    assert controller.only().flavor == "large"
    assert controller.sessions[spawner.machine_id][0].env["EXPERIMENT"] == "alice"
    assert "EXPERIMENT" not in spawner_of().environment


async def test_a_hook_has_the_last_word_on_the_machine(controller: StandIn, spawner_of: MakeSpawner) -> None:
    async def hook(spawner: CernVMSpawner, machine: MachineCreate) -> MachineCreate:
        return replace(machine, name=f"{spawner.user.name}'s", labels=machine.labels | {"hook": "yes"})

    settings = {"modify_machine_hook": hook, "extra_labels": {"who": "{username}"}, "home_capacity": "2G"}
    await started(spawner_of(settings=settings))
    assert controller.only().name == "alice's"
    assert controller.only().labels == {"who": "alice", "hook": "yes"}
    assert controller.requested[0].home_mib == 2048


async def test_certificates_name_the_machine_and_its_address_and_stay_nowhere(
    controller: StandIn, spawner_of: MakeSpawner, tmp_path: Any
) -> None:
    certipy = Certipy(store_dir=str(tmp_path))
    certipy.create_ca("notebooks-ca")
    trust = certipy.store.get_record("notebooks-ca")["files"]["cert"]
    spawner = spawner_of(
        "a-user-with-a-name-that-is-much-longer-than-what-fits-into-a-common-name",
        internal_ssl=True,
        trusted_alt_names=["IP:10.80.0.1", "DNS:hub.example.org"],
        internal_certs_location=str(tmp_path),
        internal_trust_bundles={"notebooks-ca": trust},
    )
    url = await started(spawner)
    assert url.startswith("https://127.80.0.")
    session = controller.sessions[spawner.machine_id][0]
    files = {one.path: one.content for one in session.files}
    assert session.env["JUPYTERHUB_SSL_KEYFILE"] == "/run/cernvmhub/tls/key.pem"
    assert session.env["JUPYTERHUB_SERVICE_URL"].startswith("https://0.0.0.0:")
    certificate = x509.load_pem_x509_certificate(files["/run/cernvmhub/tls/cert.pem"].encode())
    assert certificate.subject.rfc4514_string() == f"CN={spawner.machine_id}"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    # Neither loopback nor the hub: whoever has the key would pass for hub or controller at the proxy.
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [controller.only().address]
    assert names.get_values_for_type(x509.DNSName) == []
    assert certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=366)
    assert "PRIVATE KEY" in files["/run/cernvmhub/tls/key.pem"]
    assert not list(tmp_path.rglob(f"*{spawner.machine_id}*"))
    assert spawner.machine_id not in (tmp_path / "certipy.json").read_text()
