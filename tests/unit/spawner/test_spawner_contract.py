"""The contract of JupyterHub's spawners, kept against a controller that misbehaves."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from certipy.certipy import Certipy
from cryptography import x509
from msgspec.structs import replace
from tests.unit.spawner.controller_standin import APPLIANCES, TOKEN, MakeSpawner, StandIn
from tornado.web import HTTPError

from cernvmapi.errors import NoRoom
from cernvmapi.models import MachineCreate, Phase, Power, Status, Target
from cernvmspawner.choosing import FilledPage
from cernvmspawner.failure import ServerNotStarted

if TYPE_CHECKING:
    from cernvmspawner import CernVMSpawner

DEADLINE = 30


async def started(spawner: CernVMSpawner, options: dict[str, Any] | None = None) -> str:
    """Do what the hub does with a spawner that starts."""
    spawner.user_options = options or {}
    token = spawner.api_token
    spawner.clear_state()
    spawner.api_token = token
    await spawner.apply_group_overrides()
    await spawner._run_apply_user_options(spawner.user_options)
    if spawner.internal_ssl:
        spawner.cert_paths = await spawner.move_certs(await spawner.create_certs())
    async with asyncio.timeout(DEADLINE):
        return await spawner.start()


async def test_a_start_without_options_gives_the_defaults(
    controller: StandIn, spawner_of: MakeSpawner, free_port: int
) -> None:
    spawner = spawner_of()
    url = await started(spawner)
    machine = controller.only()
    assert url == f"http://{machine.address}:{free_port}"
    assert (machine.appliance, machine.flavor, machine.owner, machine.server_name) == (
        "cernvm",
        "small",
        "alice",
        "",
    )
    assert controller.requested[0].home
    assert await spawner.poll() is None


async def test_options_are_what_the_machine_becomes(controller: StandIn, spawner_of: MakeSpawner) -> None:
    await started(spawner_of(), {"appliance": "cernvm-next", "flavor": "large"})
    assert (controller.only().appliance, controller.only().flavor) == ("cernvm-next", "large")


async def test_options_that_cannot_be_are_refused_before_anything_is_made(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    with pytest.raises(ServerNotStarted, match="did you mean cernvm") as caught:
        await started(spawner_of(), {"appliance": "cernvn"})
    assert caught.value.status_code == 400
    assert not controller.machines


async def test_a_poll_makes_no_request(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawners = [spawner_of(), spawner_of("bob"), spawner_of("alice", "second")]
    for spawner in spawners:
        await started(spawner)
    asked = list(controller.requests)
    for spawner in spawners * 100:
        assert await spawner.poll() is None
    assert controller.requests == asked
    assert asked.count(("GET", "/events")) == 1


async def test_a_poll_waits_until_the_machines_are_known(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    machine, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(machine.id, status=Status.RUNNING, target=Target.RUNNING, power=Power.ON)
    controller.hold["machines"] = asyncio.Event()
    spawner = spawner_of()
    spawner.load_state({"machine_id": machine.id, "address": machine.address, "port": 8888})
    polling = asyncio.ensure_future(spawner.poll())
    await controller.until(lambda: ("GET", "/machines") in controller.requests)
    assert not polling.done()
    controller.hold["machines"].set()
    assert await polling is None


async def test_a_host_out_of_reach_is_not_a_stopped_server(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of()
    await started(spawner)
    changed = controller.change(spawner.machine_id, power=Power.UNKNOWN)
    await watched(spawner, changed.revision)
    assert await spawner.poll() is None


async def watched(spawner: CernVMSpawner, revision: int) -> None:
    async with asyncio.timeout(DEADLINE):
        async for machine in spawner.watcher.follow(spawner.machine_id):
            if machine is None or machine.revision >= revision:
                return


async def test_a_spawner_that_was_never_started_does_not_run(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    spawner._begun = True
    assert await spawner.poll() == 0
    await spawner.stop()


async def test_a_poll_during_a_start_says_that_it_runs(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.hold["create"] = asyncio.Event()
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: ("POST", "/machines") in controller.requests)
    assert await spawner.poll() is None
    controller.hold["create"].set()
    await starting


async def test_a_server_that_died_is_cleaned_up_once(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    await started(spawner)
    changed = controller.change(spawner.machine_id, status=Status.STOPPED, target=Target.STOPPED)
    await watched(spawner, changed.revision)
    assert await spawner.poll() == 0
    assert await spawner.poll() == 0
    await controller.until(lambda: not controller.machines)
    await spawner.watcher.cleaned_up(("alice", ""))
    assert [method for method, _ in controller.requests].count("DELETE") == 1
    assert await spawner.poll() == 0
    assert len(controller.volumes) == 1


async def test_a_stop_returns_when_the_machine_is_gone_and_the_home_stays(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of()
    await started(spawner)
    await spawner.stop()
    assert not controller.machines
    assert len(controller.volumes) == 1
    await spawner.stop()
    assert await spawner.poll() == 0


async def test_a_machine_can_be_kept_for_the_next_start(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of(settings={"remove": False})
    await started(spawner)
    await spawner.stop()
    assert controller.only().status is Status.STOPPED
    kept = controller.only().id
    await started(spawner_of(settings={"remove": False}))
    assert controller.only().id == kept


async def test_a_kept_machine_starts_again_although_its_appliance_is_hidden_now(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    chosen = {"appliance": "cernvm-next", "flavor": "large"}
    spawner = spawner_of(settings={"remove": False})
    await started(spawner, chosen)
    await spawner.stop()
    kept = controller.only().id
    controller.appliances = [
        msgspec.structs.replace(one, hidden=one.hidden or one.id == "cernvm-next")
        for one in controller.appliances
    ]
    await started(spawner, chosen)
    assert controller.only().id == kept
    with pytest.raises(ServerNotStarted, match="There is no appliance “cernvm-next”"):
        await started(spawner_of("bob"), chosen)


async def test_another_appliance_replaces_the_machine_that_was_kept(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of(settings={"remove": False})
    await started(spawner)
    await spawner.stop()
    home = controller.only().home
    await started(spawner, {"appliance": "cernvm-next", "flavor": "large"})
    assert controller.only().appliance == "cernvm-next"
    assert controller.only().home == home


@pytest.mark.parametrize("status", [Status.STARTING, Status.RUNNING, Status.FAILED])
async def test_what_an_interrupted_start_left_is_replaced(
    controller: StandIn, spawner_of: MakeSpawner, status: Status
) -> None:
    left, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(left.id, status=status, target=Target.RUNNING)
    await started(spawner_of())
    assert controller.only().id != left.id
    assert controller.only().status is Status.RUNNING


async def test_what_a_hub_that_was_killed_in_a_start_left_is_removed_when_it_is_back(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    left, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(left.id, status=Status.RUNNING, target=Target.RUNNING, power=Power.ON)
    spawner = spawner_of()
    spawner.load_state({})
    assert await spawner.poll() == 0
    await controller.until(lambda: not controller.machines)


async def test_a_cancelled_start_leaves_nothing(controller: StandIn, spawner_of: MakeSpawner) -> None:
    for phase in Phase.PLACED, Phase.BOOT, Phase.SERVER:
        controller.hold_at = phase
        spawner = spawner_of()
        starting = asyncio.ensure_future(started(spawner))
        await controller.until(
            lambda phase=phase: any(one.phase is phase for one in controller.machines.values())
        )
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(starting, 1)
        async with asyncio.timeout(DEADLINE):
            if await spawner.poll() is None:
                await spawner.stop()
        await controller.until(lambda: not controller.machines)


async def test_a_start_that_is_cancelled_while_the_machine_is_made_leaves_nothing(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold["create"] = asyncio.Event()
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: ("POST", "/machines") in controller.requests)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(starting, 1)
    assert await spawner.poll() == 0
    spawner.clear_state()
    controller.hold["create"].set()
    await controller.until(lambda: controller.requested and not controller.machines)


@pytest.mark.parametrize("phase", [Phase.PLACED, Phase.DISK, Phase.BOOT, Phase.CONTEXT, Phase.SERVER])
async def test_a_start_that_fails_says_why_and_leaves_nothing(
    controller: StandIn, spawner_of: MakeSpawner, phase: Phase
) -> None:
    controller.fail_at = phase
    spawner = spawner_of()
    with pytest.raises(ServerNotStarted) as caught:
        await started(spawner)
    assert caught.value.message == controller.failure.detail
    assert "Linux version 6.1" in caught.value.message_html
    assert caught.value.reason == "start-failed"
    await controller.until(lambda: not controller.machines)
    assert await spawner.poll() in (0, 1)


async def test_a_start_that_fails_says_why_while_what_it_made_is_still_being_removed(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.fail_at = Phase.BOOT
    controller.undone.clear()
    with pytest.raises(ServerNotStarted) as caught:
        await started(spawner_of())
    assert caught.value.message == controller.failure.detail
    controller.undone.set()
    await controller.until(lambda: not controller.machines)


async def test_a_refusal_of_the_controller_reaches_the_person(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.refuse["create"] = NoRoom("No host has 8 GiB of memory free: choose a smaller size.")
    with pytest.raises(ServerNotStarted, match="choose a smaller size") as caught:
        await started(spawner_of())
    assert (caught.value.reason, caught.value.status_code) == ("no-room", 409)


async def test_a_machine_that_vanishes_ends_the_start(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.vanish_at = Phase.BOOT
    with pytest.raises(ServerNotStarted, match="deleted while it started"):
        await started(spawner_of())


async def test_a_start_that_takes_too_long_says_how_far_it_came(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold_at = Phase.BOOT
    spawner = spawner_of(settings={"start_timeout": 3})
    with pytest.raises(ServerNotStarted, match=r"in time \(1.5 seconds\).*The machine boots"):
        await started(spawner)


async def test_a_controller_that_is_away_is_named(controller: StandIn, spawner_of: MakeSpawner) -> None:
    await controller.down()
    spawner = spawner_of()
    with pytest.raises(ServerNotStarted, match="does not answer") as caught:
        await started(spawner)
    assert caught.value.status_code == 503
    assert "There is nothing to choose from at the moment" in await spawner.get_options_form()


async def test_a_controller_that_is_restarted_in_a_start_finishes_it(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold_at = Phase.BOOT
    controller.forget_session_at = Phase.CONTEXT
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: any(one.phase is Phase.BOOT for one in controller.machines.values()))
    await controller.down()
    controller.release()
    await controller.until(lambda: controller.only().awaiting_session)
    controller.up()
    assert await starting
    assert len(controller.sessions[spawner.machine_id]) == 1


async def test_a_machine_that_is_rebooted_gets_its_session_again(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of()
    await started(spawner)
    before = controller.sessions[spawner.machine_id][-1]
    controller.change(spawner.machine_id, awaiting_session=True)
    await controller.until(lambda: len(controller.sessions[spawner.machine_id]) == 2)
    assert controller.sessions[spawner.machine_id][-1] == before


async def test_a_machine_whose_address_comes_late_gets_its_session_then(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.addresses_known = False
    assert "127.80.1." in await started(spawner_of())


async def test_progress_tells_every_phase_to_every_listener(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold_at = Phase.BOOT
    spawner = spawner_of()

    async def listen() -> list[dict[str, Any]]:
        return [event async for event in spawner.progress()]

    starting = asyncio.ensure_future(started(spawner))
    early = asyncio.ensure_future(listen())
    await controller.until(lambda: any(one.phase is Phase.BOOT for one in controller.machines.values()))
    late = asyncio.ensure_future(listen())
    controller.release()
    await starting
    told = await early
    assert await late == told
    assert [event["progress"] for event in told] == [1, 5, 20, 34, 64, 80, 99]
    assert told[-1]["message"] == "Your notebook server answers"
    json.dumps(told)


async def test_progress_of_a_failed_start_ends(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.fail_at = Phase.DISK
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: ("POST", "/machines") in controller.requests)
    async with asyncio.timeout(DEADLINE):
        told = [event async for event in spawner.progress()]
    assert told[0]["progress"] == 1
    with pytest.raises(ServerNotStarted):
        await starting


async def test_a_long_wait_is_explained(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.hold_at = Phase.BOOT
    spawner = spawner_of(settings={"slow_start_threshold": 0.1, "slow_start_message": "Patience."})
    starting = asyncio.ensure_future(started(spawner))
    async with asyncio.timeout(DEADLINE):
        async for event in spawner.progress():
            if event["message"] == "Patience.":
                break
    controller.release()
    await starting


async def test_state_is_what_a_new_hub_needs(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    url = await started(spawner)
    state = json.loads(json.dumps(spawner.get_state()))
    assert state.keys() == {"machine_id", "address", "port", "uuid"}
    other = spawner_of()
    other.load_state(state)
    assert other.get_state() == state
    assert await other.get_url() == f"{url}/user/alice/"
    assert await other.poll() is None
    await controller.down()
    assert await other.get_url() == f"{url}/user/alice/"
    other.clear_state()
    assert other.get_state() == {}
    await other.get_url()


async def test_named_servers_are_machines_of_their_own(controller: StandIn, spawner_of: MakeSpawner) -> None:
    first, second = spawner_of(), spawner_of("alice", "second")
    await started(first)
    await started(second)
    assert len(controller.machines) == len(controller.volumes) == 2
    await second.stop()
    assert controller.only().server_name == ""
    assert await first.poll() is None


async def test_deleting_a_server_for_good_deletes_its_home_and_no_other(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    first, second = spawner_of(), spawner_of("alice", "second")
    for spawner in first, second:
        await started(spawner)
        await spawner.stop()
        spawner.clear_state()
    await second.delete_forever()
    assert [one.server_name for one in controller.volumes.values()] == [""]


async def test_a_home_follows_its_servers_new_name(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of("alice", "second")
    await spawner.rename("second", "third")
    await started(spawner)
    with pytest.raises(HTTPError, match="Delete the machine first: the home stays") as caught:
        await spawner.rename("second", "third")
    assert caught.value.status_code == 409
    await spawner.stop()
    await spawner.rename("second", "third")
    assert [one.server_name for one in controller.volumes.values()] == ["third"]


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
    assert str(names.get_values_for_type(x509.IPAddress)[0]) == controller.only().address
    assert "PRIVATE KEY" in files["/run/cernvmhub/tls/key.pem"]
    assert not list(tmp_path.rglob(f"*{spawner.machine_id}*"))
    assert spawner.machine_id not in (tmp_path / "certipy.json").read_text()


def request_with(**arguments: str) -> Any:
    return SimpleNamespace(
        request=SimpleNamespace(query_arguments={name: [value.encode()] for name, value in arguments.items()})
    )


async def test_a_link_opens_the_page_with_its_choice_made(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    spawner.handler = request_with(**{"opt-appliance": "cernvm-next", "opt-flavor": "large", "next": "/x"})
    with pytest.raises(FilledPage) as caught:
        await spawner.options_from_query({"appliance": ["cernvm-next"], "flavor": ["large"]})
    assert caught.value.status_code == 200
    page = await spawner.get_options_form()
    assert 'value="cernvm-next" data-title="CernVM Next 7.0-rc2"' in page
    assert page.count(" checked") == 2


async def test_a_link_can_start_at_once(spawner_of: MakeSpawner) -> None:
    chosen = await spawner_of().options_from_query({"flavor": ["large"], "start": ["yes"]})
    assert chosen == {"flavor": "large"}


async def test_a_link_to_what_is_gone_says_so(spawner_of: MakeSpawner) -> None:
    with pytest.raises(ServerNotStarted, match="There is no appliance"):
        await spawner_of().options_from_query({"appliance": ["cernvm-5"]})


async def test_the_page_refuses_what_cannot_be_before_it_is_remembered(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    assert await spawner.run_options_from_form({"appliance": ["cernvm"]}) == {"appliance": "cernvm"}
    with pytest.raises(ServerNotStarted, match="choose a larger one"):
        await spawner.run_options_from_form({"appliance": ["cernvm-next"], "flavor": ["small"]})


async def test_the_last_choice_is_remembered_for_each_server(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of("alice", "second", user_options={"flavor": "large"})
    assert 'value="large" data-title="Large"\n' in (await spawner.get_options_form()).replace("  ", "")
    assert APPLIANCES[0].title in await spawner.get_options_form()
