"""A real server with a real kernel, whose only sign of life is that it computes."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from cernvmextension.activity import SETTING

COMPUTE = """
import pathlib, time
while not pathlib.Path({enough!r}).exists():
    time.sleep(0.02)
"""

DEADLINE = 60


async def until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"After {DEADLINE} s still waiting: {what}."
        await asyncio.sleep(0.02)


@pytest.fixture
def jp_server_config(jp_server_config):
    return jp_server_config | {"CernVMExtension": {"busy_interval": 0.05}}


@pytest.fixture
def server(jp_serverapp, jp_asyncio_loop):
    """Jupyter's server, with its extensions started as its event loop does it."""
    jp_asyncio_loop.run_until_complete(jp_serverapp.extension_manager.start_all_extensions())
    yield jp_serverapp
    jp_asyncio_loop.run_until_complete(jp_serverapp.extension_manager.stop_all_extensions())


@asynccontextmanager
async def kernel_of(server, jp_fetch):
    answer = await jp_fetch("api", "kernels", method="POST", body=json.dumps({"name": "python3"}))
    kernel = server.kernel_manager.get_kernel(json.loads(answer.body)["id"])
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=DEADLINE)
    try:
        yield kernel, client
    finally:
        client.stop_channels()
        await server.kernel_manager.shutdown_all(now=True)


def test_a_kernel_that_computes_in_silence_keeps_its_server_in_use(
    server, jp_fetch, jp_asyncio_loop, tmp_path
):
    async def story():
        enough = tmp_path / "enough"
        async with kernel_of(server, jp_fetch) as (kernel, client):
            client.execute(COMPUTE.format(enough=str(enough)))
            await until(lambda: SETTING in server.web_app.settings, "the busy kernel is seen")
            last_message = server.kernel_manager.last_kernel_activity
            seen = server.web_app.last_activity()
            await until(lambda: server.web_app.last_activity() > seen, "the kernel goes on being seen")
            assert kernel.execution_state == "busy"
            assert server.kernel_manager.last_kernel_activity == last_message, "it said nothing meanwhile"
            enough.touch()
            await until(lambda: kernel.execution_state == "idle", "the cell ends")

    jp_asyncio_loop.run_until_complete(story())


def test_a_kernel_that_waits_for_its_user_does_not(server, jp_fetch, jp_asyncio_loop):
    async def story():
        async with kernel_of(server, jp_fetch) as (kernel, client):
            client.execute("1 + 1")
            await until(lambda: kernel.execution_state == "idle", "the cell ends")
            server.web_app.settings.pop(SETTING, None)
            (extension,) = server.extension_manager.extension_apps["cernvmextension"]
            await extension._busy_kernels.look()
            assert SETTING not in server.web_app.settings

    jp_asyncio_loop.run_until_complete(story())


def test_a_kernel_that_was_busy_when_it_died_does_not_keep_its_server_for_ever(
    server, jp_fetch, jp_asyncio_loop, tmp_path
):
    async def story():
        async with kernel_of(server, jp_fetch) as (kernel, client):
            client.execute(COMPUTE.format(enough=str(tmp_path / "never")))
            await until(lambda: SETTING in server.web_app.settings, "the busy kernel is seen")
            dead = kernel.provisioner.pid
            await kernel.signal_kernel(9)
            await until(lambda: kernel.provisioner.pid not in {None, dead}, "it has a successor")
            await until(kernel.ready.done, "the successor is started")
            assert kernel.execution_state != "busy"

    jp_asyncio_loop.run_until_complete(story())
