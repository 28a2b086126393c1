"""The hub waits longer than the controller's own deadlines: people read a reason, not a time-out."""

from __future__ import annotations

from deployment import credentials
from deployment.settings import ROOT, Settings
from traitlets.config import PyFileConfigLoader

from cernvmcontroller.app import CernVMController
from cernvmspawner.spawner import LAST_WORDS


async def test_a_start_ends_with_the_controllers_reason_before_the_hub_gives_it_up(
    spawner_of, monkeypatch, tmp_path
) -> None:
    controller = CernVMController()
    own = sum(
        (
            controller.boot_timeout,
            controller.session_timeout,
            controller.server_timeout,
            controller.reach_timeout,
        )
    )
    assert spawner_of().start_timeout - LAST_WORDS > own
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    credentials.ensure(Settings.from_environment())
    config = PyFileConfigLoader("jupyterhub_config.py", str(ROOT)).load_config()
    assert config.Spawner.start_timeout - LAST_WORDS > own
