"""The contract of a hypervisor. The fake is kept honest by the tests that the real one passes."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.fixtures import rfb
from tests.unit.hypervisor.bench import Bench, bench, read_until, tiny_image, until

from cernvmapi.errors import CernVMError, HypervisorFailed, NotFound
from cernvmapi.models import Power
from cernvmcontroller.hypervisor import metadata
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.hypervisor.lifecycle import SAVED
from cernvmcontroller.hypervisor.offers import DomainKind
from cernvmcontroller.hypervisor.specs import MachineMetadata, VolumeRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cernvmcontroller.hypervisor.interface import ByteStream
    from cernvmcontroller.hypervisor.statistics import DomainStatistics

QEMU = pytest.param("qemu", marks=pytest.mark.machines)


@pytest.fixture(params=["fake", "test", QEMU])
async def domains(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(request.param, tmp_path) as made:
        await made.surroundings()
        yield made


@pytest.fixture(params=["fake", QEMU])
async def resettable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Yield what has a reset button; those of libvirt's test driver have none."""
    async with bench(request.param, tmp_path) as made:
        await made.surroundings()
        yield made


@pytest.fixture(params=["fake", QEMU])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(request.param, tmp_path) as made:
        await made.hypervisor.ensure_pool(made.pool)
        yield made


@pytest.fixture(params=["fake", QEMU])
async def networks(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(request.param, tmp_path) as made:
        yield made


class TestConnection:
    async def test_an_open_hypervisor_is_alive_and_says_what_it_is(self, domains: Bench) -> None:
        assert domains.hypervisor.alive
        capabilities = await domains.hypervisor.capabilities()
        assert capabilities.cpus > 0
        assert capabilities.memory_mib > 0
        assert capabilities.host_uuid or domains.kind == "test"

    async def test_what_there_is_on_it_is_seen_whoever_made_it(self, domains: Bench) -> None:
        spec = await domains.defined()
        found = await domains.hypervisor.offers(DomainKind("x86_64", "q35", "qemu"))
        assert (type(found.uefi), type(found.tpm)) == (bool, bool)
        before = await domains.hypervisor.survey()
        await domains.hypervisor.start(spec.uuid)
        after = await domains.hypervisor.survey()
        assert (after.domains, after.running) == (before.domains, before.running + 1)
        pool = next(each for each in after.pools if each.name == domains.pool.name)
        assert (pool.active, pool.kind) == (True, "dir")
        assert 0 < pool.available_mib <= pool.capacity_mib
        network = next(each for each in after.networks if each.name == domains.network.name)
        assert (network.active, network.bridge) == (True, domains.network.bridge)
        assert network.forward == "nat"
        assert after.memory_free_mib or domains.kind == "test", "which says 0"

    async def test_a_closed_hypervisor_is_not_alive(self, domains: Bench) -> None:
        await domains.clean()
        await domains.hypervisor.close()
        assert not domains.hypervisor.alive
        await domains.hypervisor.open()


class TestDomains:
    async def test_a_defined_domain_is_off_and_says_whose_it_is(self, domains: Bench) -> None:
        spec = await domains.defined()
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert (state.name, state.power, state.metadata) == (spec.name, Power.OFF, spec.metadata)
        assert state in await domains.hypervisor.domains()

    async def test_metadata_keeps_any_script(self, domains: Bench) -> None:
        metadata = MachineMetadata(
            "hub", "m-x", owner='Łucja "O\'Brien" <&> 王', server_name="", address="10.0.0.1", port=8888
        )
        spec = await domains.defined(metadata=metadata)
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert state.metadata == metadata

    async def test_defining_again_replaces_the_definition(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.domains()
        other = MachineMetadata("hub", "m-y", owner="bob")
        again = domains.spec(uuid=spec.uuid, name=spec.name, metadata=other)
        await domains.hypervisor.define(domains.xml(again))
        await until(lambda: domains.kinds(spec.uuid).count("defined") == 2)
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert state.metadata == other

    async def test_starting_and_powering_off_can_be_repeated(self, domains: Bench) -> None:
        spec = await domains.defined()
        for _ in range(2):
            await domains.hypervisor.start(spec.uuid)
            assert await domains.power(spec.uuid) is Power.ON
        for _ in range(2):
            await domains.hypervisor.destroy(spec.uuid)
            assert await domains.power(spec.uuid) is Power.OFF

    async def test_only_what_is_on_goes_on(self, domains: Bench) -> None:
        spec = await domains.defined()
        with pytest.raises(WrongState):
            await domains.hypervisor.resume(spec.uuid)
        await domains.hypervisor.start(spec.uuid)
        await domains.hypervisor.resume(spec.uuid)
        assert await domains.power(spec.uuid) is Power.ON

    async def test_what_is_off_is_neither_suspended_nor_reset_nor_stored(self, domains: Bench) -> None:
        spec = await domains.defined()
        for verb in (domains.hypervisor.suspend, domains.hypervisor.reset, domains.hypervisor.store):
            with pytest.raises(WrongState):
                await verb(spec.uuid)
        with pytest.raises(NotFound):
            await domains.hypervisor.suspend(str(uuid4()))

    async def test_a_suspended_domain_stands_still_until_it_is_resumed(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.start(spec.uuid)
        for _ in range(2):
            await domains.hypervisor.suspend(spec.uuid)
            state = await domains.hypervisor.domain(spec.uuid)
            assert state is not None
            assert (state.power, state.reason) == (Power.PAUSED, "user")
        for _ in range(2):
            await domains.hypervisor.resume(spec.uuid)
            assert await domains.power(spec.uuid) is Power.ON
        await domains.hypervisor.destroy(spec.uuid)

    async def test_a_stored_domain_goes_on_where_it_was(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.start(spec.uuid)
        for _ in range(2):
            await domains.hypervisor.store(spec.uuid)
            state = await domains.hypervisor.domain(spec.uuid)
            assert state is not None
            assert (state.power, state.reason) == (Power.OFF, SAVED)
        await domains.hypervisor.start(spec.uuid)
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert state.power is Power.ON
        assert state.reason == "restored" or domains.kind == "test", "which says booted"
        await domains.hypervisor.destroy(spec.uuid)

    async def test_what_was_stored_can_be_thrown_away(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.discard(spec.uuid)
        await domains.hypervisor.start(spec.uuid)
        await domains.hypervisor.store(spec.uuid)
        await domains.hypervisor.discard(spec.uuid)
        await domains.hypervisor.start(spec.uuid)
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert state.reason == "booted"
        await domains.hypervisor.store(spec.uuid)
        await domains.hypervisor.undefine(spec.uuid)
        assert await domains.hypervisor.domain(spec.uuid) is None, "with its memory"

    async def test_a_reset_domain_runs_on(self, resettable: Bench) -> None:
        spec = await resettable.defined()
        await resettable.hypervisor.start(spec.uuid)
        await resettable.hypervisor.reset(spec.uuid)
        assert await resettable.power(spec.uuid) is Power.ON
        await resettable.hypervisor.destroy(spec.uuid)

    async def test_the_reason_of_a_state_is_told(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.start(spec.uuid)
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert state.reason == "booted"
        await domains.hypervisor.destroy(spec.uuid)
        state = await domains.hypervisor.domain(spec.uuid)
        assert state is not None
        assert state.reason == "destroyed"

    async def test_what_is_off_can_neither_shut_down_nor_reboot(self, domains: Bench) -> None:
        spec = await domains.defined()
        with pytest.raises(WrongState):
            await domains.hypervisor.shutdown(spec.uuid)
        with pytest.raises(WrongState):
            await domains.hypervisor.reboot(spec.uuid)

    async def test_a_running_domain_is_not_undefined(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.start(spec.uuid)
        with pytest.raises(WrongState):
            await domains.hypervisor.undefine(spec.uuid)
        assert await domains.power(spec.uuid) is Power.ON

    async def test_removing_can_be_repeated(self, domains: Bench) -> None:
        spec = await domains.defined()
        for _ in range(2):
            await domains.hypervisor.destroy(spec.uuid)
            await domains.hypervisor.undefine(spec.uuid)
        assert await domains.hypervisor.domain(spec.uuid) is None

    async def test_what_does_not_exist_is_not_found(self, domains: Bench) -> None:
        uuid = str(uuid4())
        assert await domains.hypervisor.domain(uuid) is None
        for verb in (
            domains.hypervisor.start,
            domains.hypervisor.shutdown,
            domains.hypervisor.reboot,
            domains.hypervisor.domain_xml,
            domains.hypervisor.open_console,
        ):
            with pytest.raises(NotFound):
                await verb(uuid)

    async def test_a_name_belongs_to_one_domain(self, domains: Bench) -> None:
        spec = await domains.defined()
        with pytest.raises(HypervisorFailed):
            await domains.hypervisor.define(domains.xml(domains.spec(name=spec.name)))

    async def test_its_xml_is_what_was_defined(self, domains: Bench) -> None:
        spec = await domains.defined()
        assert f"<name>{spec.name}</name>" in await domains.hypervisor.domain_xml(spec.uuid)

    @pytest.mark.parametrize("runs", [False, True], ids=["off", "running"])
    async def test_what_a_domain_tells_is_written_anew_whether_it_runs_or_not(
        self, domains: Bench, runs: bool
    ) -> None:
        spec = await domains.defined()
        if runs:
            await domains.hypervisor.start(spec.uuid)
        before = await domains.hypervisor.domain(spec.uuid)
        told = replace(spec.metadata, owner="<alicia> & 'co'", server_name="naïve", home=None)
        await domains.hypervisor.describe(spec.uuid, told)
        now = await domains.hypervisor.domain(spec.uuid)
        assert before is not None
        assert now == replace(before, metadata=told)
        assert told in [each.metadata for each in await domains.hypervisor.domains()]
        assert metadata.parse(await domains.hypervisor.domain_xml(spec.uuid)) == told
        if runs:
            await domains.hypervisor.destroy(spec.uuid)
            assert metadata.parse(await domains.hypervisor.domain_xml(spec.uuid)) == told

    async def test_what_runs_has_counters_and_each_run_is_another(self, domains: Bench) -> None:
        spec, off = await domains.defined(), await domains.defined()
        runs = []
        for _ in range(2):
            await domains.hypervisor.start(spec.uuid)
            first, second = await counters(domains), await counters(domains)
            assert off.uuid not in first
            runs.append(first[spec.uuid].run)
            assert runs[-1] == second[spec.uuid].run
            for before, after in zip(first[spec.uuid].counters, second[spec.uuid].counters, strict=True):
                assert (before or 0) <= (after or 0)
            await domains.hypervisor.destroy(spec.uuid)
            assert spec.uuid not in await counters(domains)
        assert runs[0] != runs[1]

    async def test_events_tell_of_each_change(self, domains: Bench) -> None:
        spec = await domains.defined()
        await domains.hypervisor.start(spec.uuid)
        await domains.hypervisor.destroy(spec.uuid)
        await domains.hypervisor.undefine(spec.uuid)
        await until(lambda: "undefined" in domains.kinds(spec.uuid))
        seen = [kind for kind in domains.kinds(spec.uuid) if kind != "resumed"]
        assert seen == ["defined", "started", "stopped", "undefined"]

    async def test_who_unsubscribed_hears_nothing(self, domains: Bench) -> None:
        heard: list[object] = []
        domains.hypervisor.subscribe(heard.append)()
        spec = await domains.defined()
        await until(lambda: "defined" in domains.kinds(spec.uuid))
        assert heard == []


async def counters(domains: Bench) -> dict[str, DomainStatistics]:
    return {each.uuid: each for each in await domains.hypervisor.statistics()}


class TestStorage:
    async def test_a_pool_is_made_once(self, storage: Bench) -> None:
        again = await storage.hypervisor.ensure_pool(storage.pool)
        assert 0 < again.available <= again.capacity
        assert (await storage.hypervisor.pool(storage.pool.name)).name == storage.pool.name

    async def test_an_unknown_pool_is_not_found(self, storage: Bench) -> None:
        with pytest.raises(NotFound):
            await storage.hypervisor.pool("hv-test-none")
        with pytest.raises(NotFound):
            await storage.hypervisor.volumes("hv-test-none")

    async def test_a_volume_that_exists_is_returned_as_it_is(self, storage: Bench) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        first = await hypervisor.create_volume(pool, "home-a.qcow2", capacity=1 << 20)
        again = await hypervisor.create_volume(pool, "home-a.qcow2", capacity=2 << 20)
        assert again.capacity == first.capacity == 1 << 20
        assert await hypervisor.volume(pool, "home-a.qcow2") == again
        assert [each.name for each in await hypervisor.volumes(pool)] == ["home-a.qcow2"]
        assert first.path == f"{storage.pool.path}/home-a.qcow2"

    async def test_an_overlay_is_larger_than_its_base_and_holds_nothing(self, storage: Bench) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        base = await hypervisor.create_volume(pool, "base-a.qcow2", capacity=1 << 20)
        disk = await hypervisor.create_volume(pool, "disk-a.qcow2", capacity=4 << 20, backing=base)
        assert disk.capacity == 4 << 20
        assert disk.allocation < 1 << 20

    async def test_an_overlay_stays_on_its_base(self, storage: Bench) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        old, new = [
            await hypervisor.create_volume(pool, f"base-{each}.qcow2", capacity=1 << 20) for each in "cd"
        ]
        first = await hypervisor.create_volume(pool, "disk-c.qcow2", capacity=1 << 20, backing=old)
        again = await hypervisor.create_volume(pool, "disk-c.qcow2", capacity=1 << 20, backing=new)
        assert first.backing == again.backing == old.path
        assert old.backing is None
        listed = {each.name: each.backing for each in await hypervisor.volumes(pool)}
        assert listed == {"base-c.qcow2": None, "base-d.qcow2": None, "disk-c.qcow2": old.path}
        assert await hypervisor.volume(pool, "disk-c.qcow2") == again

    async def test_an_overlay_is_told_from_its_base_by_every_driver(self, domains: Bench) -> None:
        hypervisor, pool = domains.hypervisor, domains.pool.name
        base = await hypervisor.volume(pool, "blank.qcow2")
        assert base is not None
        await hypervisor.create_volume(pool, "disk-e.qcow2", capacity=1 << 20, backing=base)
        disk = await hypervisor.volume(pool, "disk-e.qcow2")
        assert disk is not None
        assert (base.backing, disk.backing) == (None, base.path)

    async def test_an_overlay_needs_its_base(self, storage: Bench) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        base = await hypervisor.create_volume(pool, "base-b.qcow2", capacity=1 << 20)
        await hypervisor.delete_volume(pool, "base-b.qcow2")
        with pytest.raises(CernVMError):
            await hypervisor.create_volume(pool, "disk-b.qcow2", capacity=1 << 20, backing=base)
        assert await hypervisor.volume(pool, "disk-b.qcow2") is None

    async def test_uploaded_bytes_come_back(self, storage: Bench) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        sidecar = await hypervisor.upload_volume(pool, "home-a.json", b'{"version": 1}', format="raw")
        assert sidecar.capacity == len(b'{"version": 1}')
        assert await hypervisor.read_volume(pool, "home-a.json", 65536) == b'{"version": 1}'
        assert await hypervisor.read_volume(pool, "home-a.json", 3) == b'{"v'

    async def test_reading_what_is_not_there(self, storage: Bench) -> None:
        with pytest.raises(NotFound):
            await storage.hypervisor.read_volume(storage.pool.name, "home-none.json", 10)

    async def test_an_upload_is_done_once(self, storage: Bench, tmp_path: Path) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        source = tmp_path / "seed.iso"
        source.write_bytes(b"\0" * 70_000 + b"end")
        done: list[int] = []
        first = await hypervisor.upload_volume(pool, "seed-a.iso", source, format="raw", progress=done.append)
        await until(lambda: done[-1:] == [70_003])
        assert first.capacity == 70_003
        again = await hypervisor.upload_volume(
            pool, "seed-a.iso", b"other", format="raw", progress=done.append
        )
        assert again.capacity == first.capacity
        assert done == sorted(done)

    async def test_an_interrupted_upload_is_not_a_volume_and_is_begun_again(
        self, storage: Bench, tmp_path: Path
    ) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        source = tmp_path / "large.img"
        with source.open("wb") as file:
            file.truncate(256 << 20)
        upload = asyncio.ensure_future(
            hypervisor.upload_volume(
                pool, "base-c.img", source, format="raw", progress=lambda _done: upload.cancel() and None
            )
        )
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert await hypervisor.volume(pool, "base-c.img") is None
        assert await hypervisor.volumes(pool) == []
        assert await hypervisor.unfinished(pool) == ["base-c.img"]
        whole = await hypervisor.upload_volume(pool, "base-c.img", source, format="raw")
        assert whole.capacity == 256 << 20
        assert [each.name for each in await hypervisor.volumes(pool)] == ["base-c.img"]
        assert await hypervisor.unfinished(pool) == []

    async def test_deleting_can_be_repeated(self, storage: Bench) -> None:
        hypervisor, pool = storage.hypervisor, storage.pool.name
        await hypervisor.create_volume(pool, "disk-d.qcow2", capacity=1 << 20)
        for _ in range(2):
            await hypervisor.delete_volume(pool, "disk-d.qcow2")
        assert await hypervisor.volume(pool, "disk-d.qcow2") is None
        await hypervisor.delete_volume("hv-test-none", "disk-d.qcow2")

    async def test_removing_a_pool_can_be_repeated(self, storage: Bench) -> None:
        for _ in range(2):
            await storage.hypervisor.remove_pool(storage.pool.name)
        with pytest.raises(NotFound):
            await storage.hypervisor.pool(storage.pool.name)

    async def test_a_removed_pool_leaves_nothing_of_a_probe_that_was_killed(self, storage: Bench) -> None:
        await storage.hypervisor.create_volume(storage.pool.name, "probe-1.qcow2", capacity=1 << 20)
        await storage.hypervisor.remove_pool(storage.pool.name)
        assert not os.path.exists(storage.pool.path)  # noqa: ASYNC240, PTH110


class TestNetworks:
    async def test_networks_and_filters_are_made_and_removed_again_and_again(self, networks: Bench) -> None:
        for _ in range(2):
            await networks.hypervisor.ensure_network(networks.network)
            await networks.hypervisor.ensure_filter(networks.filter)
        for _ in range(2):
            await networks.hypervisor.remove_network(networks.network.name)
            await networks.hypervisor.remove_filter(networks.filter.name)

    async def test_a_domain_does_not_start_without_its_network(self, networks: Bench) -> None:
        await networks.surroundings()
        spec = await networks.defined()
        await networks.hypervisor.remove_network(networks.network.name)
        with pytest.raises(CernVMError):
            await networks.hypervisor.start(spec.uuid)

    async def test_a_filter_in_use_stays(self, networks: Bench) -> None:
        await networks.surroundings()
        spec = await networks.defined()
        await networks.hypervisor.start(spec.uuid)
        with pytest.raises(WrongState):
            await networks.hypervisor.remove_filter(networks.filter.name)


@pytest.fixture(params=["fake", QEMU])
async def guest(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Bench, str]]:
    """A guest that speaks on its console and whose agent says hello."""
    async with bench(request.param, tmp_path) as made:
        await made.surroundings()
        hypervisor, pool = made.hypervisor, made.pool.name
        image = tiny_image() if request.param == "qemu" else b"QFI\xfb" + bytes(100)
        base = await hypervisor.upload_volume(pool, "base-tiny.qcow2", image, format="qcow2")
        disk = await hypervisor.create_volume(pool, "disk-m.qcow2", capacity=64 << 20, backing=base)
        spec = await made.defined(root=VolumeRef(disk.path, "qcow2", ((base.path, "qcow2"),)))
        if isinstance(hypervisor, FakeHypervisor):
            hypervisor.host.consoles[spec.uuid] = b"CERNVMHUB-TINY-READY\n"
            hypervisor.on_channel = _play_agent
        yield made, spec.uuid


async def _play_agent(_uuid: str, _name: str, stream: ByteStream) -> None:
    await stream.write(b'{"type":"hello"}\n')
    while await stream.read():
        await stream.write(b'{"type":"hello"}\n')


class TestGuest:
    async def test_streams_of_a_domain_that_is_off(self, guest: tuple[Bench, str]) -> None:
        made, uuid = guest
        with pytest.raises(WrongState):
            await made.hypervisor.open_channel(uuid)
        with pytest.raises(WrongState):
            await made.hypervisor.open_console(uuid)

    async def test_a_guest_speaks_obeys_and_ends(self, guest: tuple[Bench, str]) -> None:
        made, uuid = guest
        await made.hypervisor.start(uuid)
        console = await made.hypervisor.open_console(uuid)
        channel = await made.hypervisor.open_channel(uuid)
        assert b'"hello"' in await read_until(channel, b"\n")
        assert b"CERNVMHUB-TINY-READY" in await read_until(console, b"READY")

        # Whoever opens the channel anew, as a controller that restarted does, takes it over.
        taken = await made.hypervisor.open_channel(uuid)
        await taken.write(b'{"type":"query"}\n')
        assert b'"hello"' in await read_until(taken, b"hello")
        await read_until(channel, b"only its end ends this")

        await made.hypervisor.shutdown(uuid)
        await until(lambda: "stopped" in made.kinds(uuid), 60)
        state = await made.hypervisor.domain(uuid)
        assert state is not None
        assert (state.power, state.reason) == (Power.OFF, "shutdown")
        await read_until(taken, b"only its end ends this")
        with pytest.raises(ConnectionError):
            await taken.write(b"x")
        await read_until(console, b"only its end ends this")
        await console.close()
        assert await console.read() == b""

    async def test_a_guest_that_runs_uses_something(self, guest: tuple[Bench, str]) -> None:
        made, uuid = guest
        await made.hypervisor.start(uuid)
        console = await made.hypervisor.open_console(uuid)
        await read_until(console, b"READY")
        if isinstance(made.hypervisor, FakeHypervisor):
            made.hypervisor.host.domains[uuid].used = {"cpu_ms": 900, "disk_read": 1, "disk_written": 0}
        said = (await counters(made))[uuid]
        assert said.memory_mib > 16
        assert None not in said.counters
        assert said.cpu_ms
        assert said.cpu_ms > 500
        assert said.disk_read


class TestScreens:
    async def test_the_screen_of_a_domain_that_is_off(self, guest: tuple[Bench, str]) -> None:
        made, uuid = guest
        assert made.hypervisor.graphics_refusal == ""
        with pytest.raises(WrongState):
            await made.hypervisor.open_graphics(uuid)
        with pytest.raises(WrongState):
            await made.hypervisor.screenshot(uuid)
        with pytest.raises(WrongState):
            await made.hypervisor.send_keys(uuid, [(28,)])

    async def test_the_screen_of_a_domain_that_does_not_exist(self, guest: tuple[Bench, str]) -> None:
        made, _ = guest
        for verb in (made.hypervisor.open_graphics, made.hypervisor.screenshot):
            with pytest.raises(NotFound):
                await verb(str(uuid4()))

    async def test_a_screen_has_pixels_for_two_and_a_keyboard(self, guest: tuple[Bench, str]) -> None:
        made, uuid = guest
        await made.hypervisor.start(uuid)
        console = await made.hypervisor.open_console(uuid)
        await read_until(console, b"READY")  # the firmware changes the screen's size, the guest does not
        await console.close()
        streams = [await made.hypervisor.open_graphics(uuid) for _ in range(2)]
        for stream in streams:
            viewer = rfb.Viewer(stream.read, stream.write)
            await viewer.shake_hands()
            picture = await viewer.picture()
            assert len(picture) == viewer.width * viewer.height * 4 > 0
        assert (await made.hypervisor.screenshot(uuid)).startswith(b"\x89PNG\r\n\x1a\n")
        await made.hypervisor.send_keys(uuid, [(28,), (42, 30)])

        await made.hypervisor.destroy(uuid)
        for stream in streams:
            await read_until(stream, b"only its end ends this")
            await stream.close()
            assert await stream.read() == b""
